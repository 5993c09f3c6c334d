"""Colorization method: inputs, loss and decoding to an ab map.

Training, evaluation and inference use networks only through this interface.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from colorjax import color, losses, models
from colorjax.color.hint_spreading import spread_hints
from colorjax.data import hints
from colorjax.data.edges import EdgeDetector
from colorjax.data.targets import TargetEncoder
from colorjax.models.blocks import shapes
from colorjax.models.judges.critics import Critic
from colorjax.models.judges.features import FeatureNetwork

Variables = dict[str, Any]  # "params", and "batch_stats" where the network has them
Fields = dict[str, jax.Array]

# Channels of the inputs, other than gray, that have the photo's height and width.
_HINTS = {"hint_ab": 2, "hint_mask": 1}
_SIDE_INPUTS = _HINTS | {"edges": 1}
_PALETTE = color.PALETTE_SIZE + 1  # channels of global_colors, see `color.palette_input`
_OF_WHOLE_PHOTOS = {"global_colors", "global_gray"}  # inputs without the photo's height and width
# Sources of the predicted colors, see `Method.decode`.
DECODES = ("ab", "annealed", "blend")


@dataclasses.dataclass(frozen=True)
class Method:
    """One colorization method, built from a config by `build`.

    Attributes:
        network: `apply(variables, inputs, train=..., rngs=...) -> dict of outputs`.
        loss: compares outputs with the batch; None for prediction only.
        encode: maps RGB to the gray input and the ab target, for targets on the device.
        detect_edges: maps the gray input to the input `edges`, on the host.
        image_size: side of a training photo in pixels.
        keeps_lightness: whether a picture keeps the photo's lightness; False: it has the lightness
            that a network of space "lab" or "rgb" predicts.
        critic: distinguishes true from predicted colors; None unless the loss needs it.
        features: its layers compare pictures; None unless the loss needs it.
        remat: layers whose outputs are kept for the backward pass; all others are recomputed.
            ("none",): keep no layer's; empty: keep everything.
        trains: top layers that learn; all others run in evaluation mode. Empty: all learn.
        frozen: paths of layers whose parameters never learn, such as "encoder/stem"; the network
            decides whether their running statistics change.
        factors: (path, factor on the learning rate) of layers.
        saturation: factor on the ab that `predict` returns; not used in training.
        decode: where `predict` takes ab from. "ab": the network's own ab; "annealed": the annealed
            mean of its distribution over bins, at the network's `temperature`; "blend": the mean of
            the two. Not used in training.
        bin_bias: (313,) added to the logits of the bins, for calibrated probabilities; empty: 0.
            Neither this nor the next changes the colors of `predict`. Not used in training.
        bin_temperature: divisor of the logits after `bin_bias`, above 0.
        global_hints: share of the training photos whose own colors are given as `global_colors`,
            if the network has that input.
        judged_saturation: factor of `blend_saturation` on the true pictures that critics in RGB and
            feature networks see.
    """

    network: models.Network
    loss: losses.Loss | None
    encode: TargetEncoder
    detect_edges: EdgeDetector
    image_size: int
    keeps_lightness: bool = True
    critic: Critic | None = None
    features: FeatureNetwork | None = None
    remat: tuple[str, ...] = ()
    trains: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()
    factors: tuple[tuple[str, float], ...] = ()
    saturation: float = 1.0
    decode: str = "ab"
    bin_bias: tuple[float, ...] = ()
    bin_temperature: float = 1.0
    global_hints: float = 0.0
    judged_saturation: float = 1.0

    def init(self, key: jax.Array) -> Variables:
        """Returns fresh variables, float32."""
        shape = (1, self.image_size, self.image_size)
        blank = {name: jnp.zeros((*shape, depth)) for name, depth in _SIDE_INPUTS.items()}
        fields = self._inputs(blank | {"gray": jnp.zeros((*shape, 1))})
        return self.network.init({"params": key}, fields, train=False)

    @property
    def takes_hints(self) -> bool:
        """Whether the network has an input for a user's color hints."""
        return "hint_ab" in self.network.inputs

    @property
    def global_size(self) -> int | None:
        """Side in pixels at which the network computes global features; None: it has none."""
        return getattr(self.network, "global_size", None)

    @property
    def takes_palette(self) -> bool:
        """Whether the network has an input for the palette of the whole photo."""
        return "global_colors" in self.network.inputs

    def _inputs(self, fields: Fields) -> Fields:
        """Returns the network's inputs among the fields; missing hints become zeros."""
        wanted = self.network.inputs
        shape = fields["gray"].shape[:3]
        blank = {
            name: jnp.zeros((*shape, depth), jnp.float32)
            for name, depth in _HINTS.items()
            if name in wanted
        }
        if self.takes_palette:
            blank["global_colors"] = jnp.zeros((shape[0], _PALETTE), jnp.float32)
        inputs = blank | {name: value for name, value in fields.items() if name in wanted}
        missing = wanted - inputs.keys() - {"global_gray"}
        if missing:
            raise ValueError(f"the network also takes {', '.join(sorted(missing))}")
        return {name: jnp.asarray(value, jnp.float32) for name, value in inputs.items()}

    @property
    def space(self) -> str:
        """What the network predicts: "ab", "lab" or "rgb"; see `colorjax.color.lab_to_space`."""
        return getattr(self.network, "space", "ab")

    @property
    def wanted(self) -> frozenset[str]:
        """Names of the fields that a training batch needs in addition to gray and ab, or to rgb."""
        judged_in_rgb = (
            self.features is not None
            or (self.critic and self.critic.space == "rgb")
            or (self.loss and "picture" in self.loss.judges)
        )
        needs_lightness = self.space != "ab" or judged_in_rgb
        needs_rgb = needs_lightness and not self.encode.gives_lightness
        return self.network.inputs | ({"rgb"} if needs_rgb else set())

    def encoded(self, batch: Fields) -> Fields:
        """Returns the batch with `gray` and `ab`, computed from `rgb` where they are missing.

        If the network's space is not ab, adds `color`, the truth in that space.
        """
        if "ab" not in batch:
            batch = self.encode(batch["rgb"]) | batch  # the batch may hold an aged `gray`
        return batch if self.space == "ab" else batch | {"color": self.truth(batch, self.space)}

    def _reveal_palettes(self, batch: Fields, key: jax.Array) -> Fields:
        """Adds the true `global_colors` of randomly drawn photos to an encoded batch."""
        if not (self.takes_palette and self.global_hints):
            return batch
        ab = color.denormalize_ab(batch["ab"][:, ::4, ::4].astype(jnp.float32))
        is_given = jax.random.bernoulli(key, self.global_hints, (len(ab), 1))
        return batch | {"global_colors": is_given * color.palette_input(ab)}

    def _hinted(self, outputs: Fields, batch: Fields, key: jax.Array) -> Fields:
        """Returns `ab_hinted`, the prediction after random true hints; {} if the loss ignores it.

        (N, h, w, 2), ab / 110, on the grid of the network's hint_keys.
        """
        if self.loss is None or "hint_keys" not in self.loss.outputs:
            return {}
        keys: Any = outputs["hint_keys"]
        ab = color.denormalize_ab(outputs["ab_quarter"])
        number, *grid = ab.shape[:3]
        side = batch["ab"].shape[1] // grid[0]  # of a cell, in pixels
        means = {
            name: losses.block_means(batch[name].astype(jnp.float32), side)
            for name in ("ab", "gray")
        }
        truth = color.denormalize_ab(means["ab"])
        lightness = color.denormalize_lightness(means["gray"])[..., 0]
        cells, valid = hints.draw_cells(key, number, tuple(grid))
        hint_ab = jax.vmap(lambda ab, at: ab[at[:, 0], at[:, 1]])(truth, cells)
        correction = jax.vmap(spread_hints)(ab, keys, lightness, cells, hint_ab, valid)
        return {"ab_hinted": color.normalize_ab(ab + correction)}

    def truth(self, batch: Fields, space: str) -> jax.Array:
        """Returns the true colors of an encoded batch in a space; "own": the network's space."""
        space = self.space if space == "own" else space
        return self._with_lightness(batch["ab"].astype(jnp.float32), batch, space)

    def judged_truth(self, batch: Fields, space: str) -> jax.Array:
        """Returns `truth` for a critic or a feature network, in RGB by `judged_saturation`."""
        truth = self.truth(batch, space)
        if self.judged_saturation == 1 or space != "rgb":
            return truth
        return 2 * color.blend_saturation((truth + 1) / 2, self.judged_saturation) - 1

    def colors(self, outputs: Fields, batch: Fields, space: str) -> jax.Array:
        """Returns the predicted colors in a space; "own": the network's space.

        In any other space the prediction has the lightness of the photo.
        """
        if space in ("own", self.space):
            return outputs["color"] if "color" in outputs else outputs["ab"]
        return self._with_lightness(outputs["ab"], batch, space)

    def _with_lightness(self, ab: jax.Array, batch: Fields, space: str) -> jax.Array:
        """Returns ab / 110 with the true lightness of a batch, in a space."""
        if space == "ab":
            return ab
        if self.encode.gives_lightness:
            lightness = color.denormalize_lightness(batch["gray"].astype(jnp.float32))
        else:
            lightness = color.rgb_u8_to_lab(batch["rgb"])[..., :1]
        lab = jnp.concatenate([lightness, color.denormalize_ab(ab)], axis=-1)
        return color.lab_to_space(lab, space)

    def blank_colors(self, space: str) -> jax.Array:
        """Returns one photo of zeros in a space, (1, S, S, 2 or 3), for shape inference."""
        channels = color.SPACES[self.space if space == "own" else space]
        return jnp.zeros((1, self.image_size, self.image_size, channels))

    def forward(
        self, variables: Variables, batch: Fields, key: jax.Array
    ) -> tuple[Fields, Variables]:
        """Runs the network on an encoded training batch; some photos get their true palette.

        Returns:
            (outputs, updated collections such as batch_stats).
        """

        def run(variables: Variables, inputs: Fields, key: jax.Array):
            if self.trains or self.frozen:
                held = models.stop_gradients_except(variables["params"], self.trains, self.frozen)
                variables = variables | {"params": held}
            train, rngs = not self.trains, {"dropout": key}
            return self.network.apply(
                variables, inputs, train=train, rngs=rngs, mutable=["batch_stats"]
            )

        if self.remat:
            kept = jax.checkpoint_policies.save_only_these_names(*self.remat)
            run = jax.checkpoint(run, policy=kept)
        batch = self._reveal_palettes(batch, jax.random.fold_in(key, 2))
        return run(variables, self._inputs(batch), key)

    def layers(self) -> tuple[str, ...]:
        """Returns the names of the network's convolutions, for `remat`."""
        params = jax.eval_shape(self.init, jax.random.key(0))["params"]
        return models.convolutions(params)

    def loss_and_state(
        self,
        variables: Variables,
        batch: Fields,
        key: jax.Array,
        judge: Callable[[Fields, Fields], Fields] = lambda outputs, batch: {},
    ) -> tuple[jax.Array, tuple[losses.Terms, Variables]]:
        """Runs the network on a training batch.

        Args:
            variables: of the network.
            batch: from `colorjax.data.pipeline.train_batches`.
            key: for dropout.
            judge: (outputs, encoded batch) -> the outputs of the loss's judges.

        Returns:
            (scalar to minimize, (terms as (sum, count), updated collections such as batch_stats)).
        """
        assert self.loss is not None
        batch = self.encoded(batch)
        outputs, updated = self.forward(variables, batch, key)
        outputs |= self._hinted(outputs, batch, jax.random.fold_in(key, 3))
        terms = self.loss(outputs | judge(outputs, batch), batch)
        chroma = {"chroma_ratio": (_chroma(outputs["ab"]), _chroma(batch["ab"]))}
        return self.loss.total(terms), (terms | chroma, updated)

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """Returns the height and width, in pixels, at which the network processes a photo."""
        fixed, multiple = self.network.fixed_size, self.network.size_multiple
        if fixed:
            return fixed, fixed
        if height % multiple == 0 and width % multiple == 0:
            return height, width
        if self.network.fit == "pad":
            return -(-height // multiple) * multiple, -(-width // multiple) * multiple
        rounded = [max(1, round(side / multiple)) * multiple for side in (height, width)]
        return rounded[0], rounded[1]

    def predict(self, variables: Variables, fields: Fields) -> Fields:
        """Predicts colors.

        Photos of any size are fitted to the network's size, as its `fit` says: padded with edge
        pixels and cropped back, or resized. The colors are returned at the size of the photos.

        Args:
            variables: of the network.
            fields: gray (N, H, W, 1) in [-1, 1], from `encode`. Depending on the network's inputs:
                hint_ab (N, H, W, 2), ab / 110, and hint_mask (N, H, W, 1), 1 at hints (default: no
                hints); edges (N, H, W, 1), from `detect_edges`; global_gray (N, h, w, 1), a photo
                whose global features replace the photo's own; global_colors (N, 315), see
                `color.palette_input` (default: the network chooses). Other fields are ignored.

        Returns:
            ab: (N, H, W, 2) float32, a and b of CIE Lab, decoded as `decode` says, times
            `saturation`; if `predicts_lightness`, lightness: (N, H, W, 1), L; and the network's
            other outputs unchanged, at its own size.
        """
        size = fields["gray"].shape[1:3]
        outputs = self.network.apply(variables, self.fit(fields), train=False)
        ab = color.denormalize_ab(self.fit_back(self.decoded(outputs), size))
        picture = {"ab": self.saturation * ab}
        if self.predicts_lightness:
            lab = color.space_to_lab(outputs["color"], self.space, None)
            picture["lightness"] = self.fit_back(lab[..., :1], size)
        return outputs | picture

    def decoded(self, outputs: Fields) -> jax.Array:
        """Returns ab / 110, (N, h, w, 2), decoded from a network's outputs as `decode` says."""
        own = outputs["ab"]
        if self.decode == "ab":
            return own
        temperature = self.network.temperature  # pyrefly: ignore
        annealed = color.annealed_mean(outputs["bin_logits"], temperature)
        annealed = shapes.enlarge_to(color.normalize_ab(annealed), own.shape[1:3])
        return annealed if self.decode == "annealed" else (own + annealed) / 2

    def log_shares(self, logits: jax.Array) -> jax.Array:
        """Returns calibrated log probabilities, log softmax((logits + bin_bias) / bin_temperature).

        Args:
            logits: (..., 313), the network's output bin_logits.
        """
        if self.bin_bias:
            bias = jnp.asarray(self.bin_bias, jnp.float32)
            logits = logits + bias.reshape((1,) * (logits.ndim - 1) + (-1,))
        return jax.nn.log_softmax(logits / self.bin_temperature, axis=-1)

    def fit(self, fields: Fields) -> Fields:
        """Selects the network's inputs and pads or resizes them to the network's size."""
        size = self.network_size(*fields["gray"].shape[1:3])
        bring = shapes.padded if self.network.fit == "pad" else shapes.resized
        return {
            name: x if name in _OF_WHOLE_PHOTOS else bring(name, x, size)
            for name, x in self._inputs(fields).items()
        }

    def fit_back(self, x: jax.Array, size: tuple[int, ...]) -> jax.Array:
        """Crops or resizes an output of the network, (N, h, w, C), to the (H, W) of the photos."""
        if self.network.fit != "pad" and x.shape[1:3] != size:
            x = jax.image.resize(x, (x.shape[0], *size, x.shape[-1]), "linear")
        return x[:, : size[0], : size[1]]

    @property
    def predicts_lightness(self) -> bool:
        """Whether `predict` returns a lightness that replaces the photo's."""
        return self.space != "ab" and not self.keeps_lightness

    def predict_shown(self, variables: Variables, fields: Fields) -> jax.Array:
        """Returns the picture channels of `predict`: ab, or the predicted lightness and ab."""
        return self.to_picture(self.predict(variables, fields))

    def to_picture(self, predicted: Fields) -> jax.Array:
        """Returns the picture channels of a result of `predict`; see `predict_shown`."""
        if not self.predicts_lightness:
            return predicted["ab"]
        return jnp.concatenate([predicted["lightness"], predicted["ab"]], axis=-1)

    def predict_ab(self, variables: Variables, fields: Fields) -> jax.Array:
        """Same as `predict(...)["ab"]`."""
        return self.predict(variables, fields)["ab"]


def _chroma(ab: jax.Array) -> jax.Array:
    """Sums the chroma of all pixels, plus 1e-6 so that it can be a divisor."""
    return jnp.sum(jnp.linalg.norm(ab.astype(jnp.float32), axis=-1)) + 1e-6
