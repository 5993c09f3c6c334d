"""A method: what goes in, what is learned, and how an ab map comes out.

Training, evaluation and inference know a network through this alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from colorjax import color, losses, models
from colorjax.data import hints
from colorjax.data.edges import EdgeDetector
from colorjax.data.targets import TargetEncoder
from colorjax.models.blocks import shapes
from colorjax.models.hint_spreading import spread_hints
from colorjax.models.judges.critics import Critic
from colorjax.models.judges.features import FeatureNetwork

Variables = dict[str, Any]  # "params", and "batch_stats" where the network has them
Fields = dict[str, jax.Array]

# Inputs of the size of the photo beside grey, and their channels.
_HINTS = {"hint_ab": 2, "hint_mask": 1}
_SIDE_INPUTS = _HINTS | {"edges": 1}
_PALETTE = color.PALETTE_SIZE + 1  # channels of global_colors, see `palette_input`
_OF_WHOLE_PHOTOS = {"global_colors", "global_grey"}  # inputs without the photo's height and width
# What the colors of a picture are taken from, see `Method.decode`.
DECODES = ("ab", "annealed", "blend")


@dataclasses.dataclass(frozen=True)
class Method:
    """One colorization method, built from a config by `build`.

    Attributes:
        network: `apply(variables, inputs, train=..., rngs=...) -> dict of outputs`.
        loss: compares outputs with the batch; None where the method only predicts.
        encode: RGB to the grey input and the ab target, for targets on the device.
        detect_edges: the grey input to the input `edges`, on the host.
        image_size: side of a training photo in pixels.
        keeps_lightness: whether a picture has the lightness of the photo, and not the one that a
            network of space "lab" or "rgb" predicts with the colours.
        critic: tells true from predicted colours, where the loss asks for one.
        features: its layers compare pictures, where the loss asks for one.
        remat: layers whose outputs are kept for the backward pass, while all else is computed
            again; ("none",): keep no layer's; empty: keep everything.
        trains: top layers that learn, while all else stays as in an evaluation; empty: all learn.
        frozen: paths of layers whose parameters never learn, such as "encoder/stem"; whether their
            running statistics move is the network's concern.
        factors: (path, factor on the learning rate) of layers.
        saturation: factor on the ab that `predict` gives; training does not know of it.
        decode: what `predict` takes ab from. "ab": the network's own ab; "annealed": the annealed
            mean of its distribution over bins, at the network's `temperature`; "blend": the mean of
            the two. Training does not know of it.
        global_hints: share of the training photos whose own colors are given as `global_colors`,
            to a network that takes them.
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
    global_hints: float = 0.0

    def init(self, key: jax.Array) -> Variables:
        """Returns fresh variables, float32."""
        shape = (1, self.image_size, self.image_size)
        blank = {name: jnp.zeros((*shape, depth)) for name, depth in _SIDE_INPUTS.items()}
        fields = self._inputs(blank | {"grey": jnp.zeros((*shape, 1))})
        return self.network.init({"params": key}, fields, train=False)

    @property
    def takes_hints(self) -> bool:
        """Whether the network has an input for a user's colour hints."""
        return "hint_ab" in self.network.inputs

    @property
    def global_size(self) -> int | None:
        """Side, in pixels, at which the network sees the photo that lends its global features.

        None: it has no such features.
        """
        return getattr(self.network, "global_size", None)

    @property
    def takes_palette(self) -> bool:
        """Whether the network takes the colors that a whole photo shall have."""
        return "global_colors" in self.network.inputs

    def _inputs(self, fields: Fields) -> Fields:
        """Returns what the network takes of the fields; hints that are not there are none."""
        wanted = self.network.inputs
        shape = fields["grey"].shape[:3]
        blank = {
            name: jnp.zeros((*shape, depth), jnp.float32)
            for name, depth in _HINTS.items()
            if name in wanted
        }
        if self.takes_palette:
            blank["global_colors"] = jnp.zeros((shape[0], _PALETTE), jnp.float32)
        found = blank | {name: value for name, value in fields.items() if name in wanted}
        missing = wanted - found.keys() - {"global_grey"}
        if missing:
            raise ValueError(f"the network also takes {', '.join(sorted(missing))}")
        return {name: jnp.asarray(value, jnp.float32) for name, value in found.items()}

    @property
    def space(self) -> str:
        """What the network predicts: "ab", "lab" or "rgb"; see `colorjax.color.lab_to_space`."""
        return getattr(self.network, "space", "ab")

    @property
    def wanted(self) -> frozenset[str]:
        """Names of what a training batch has to hold beside grey and ab, or rgb alone."""
        judged_in_rgb = self.features is not None or (self.critic and self.critic.space == "rgb")
        needs_lightness = self.space != "ab" or judged_in_rgb
        needs_rgb = needs_lightness and not self.encode.gives_lightness
        return self.network.inputs | ({"rgb"} if needs_rgb else set())

    def encoded(self, batch: Fields) -> Fields:
        """Returns the batch with `grey` and `ab`, computed from `rgb` where they are missing.

        And with `color`, the truth in the network's space, where that is not ab.
        """
        if "ab" not in batch:
            batch = self.encode(batch["rgb"]) | batch  # which may hold an aged `grey`
        return batch if self.space == "ab" else batch | {"color": self.truth(batch, self.space)}

    def _reveal_palettes(self, batch: Fields, key: jax.Array) -> Fields:
        """Adds the true `global_colors` of some photos of an encoded batch, drawn by the key."""
        if not (self.takes_palette and self.global_hints):
            return batch
        ab = color.denormalize_ab(batch["ab"][:, ::4, ::4].astype(jnp.float32))
        is_given = jax.random.bernoulli(key, self.global_hints, (len(ab), 1))
        return batch | {"global_colors": is_given * palette_input(ab)}

    def _hinted(self, outputs: Fields, batch: Fields, key: jax.Array) -> Fields:
        """Returns `ab_hinted`, the prediction after drawn hints of true colors, where it counts.

        (N, h, w, 2), ab / 110, on the grid of the network's hint_keys.
        """
        if self.loss is None or "hint_keys" not in losses.outputs_of(self.loss.name):
            return {}
        keys: Any = outputs["hint_keys"]
        ab = color.denormalize_ab(outputs["ab_quarter"])
        number, *grid = ab.shape[:3]
        side = batch["ab"].shape[1] // grid[0]  # of a cell, in pixels
        means = {
            name: losses.block_means(batch[name].astype(jnp.float32), side)
            for name in ("ab", "grey")
        }
        truth = color.denormalize_ab(means["ab"])
        lightness = color.denormalize_lightness(means["grey"])[..., 0]
        cells, valid = hints.draw_cells(key, number, tuple(grid))
        hint_ab = jax.vmap(lambda ab, at: ab[at[:, 0], at[:, 1]])(truth, cells)
        correction = jax.vmap(spread_hints)(ab, keys, lightness, cells, hint_ab, valid)
        return {"ab_hinted": color.normalize_ab(ab + correction)}

    def truth(self, batch: Fields, space: str) -> jax.Array:
        """Returns the true colours of an encoded batch in a space; "own": the network's."""
        space = self.space if space == "own" else space
        return self._with_lightness(batch["ab"].astype(jnp.float32), batch, space)

    def colors(self, outputs: Fields, batch: Fields, space: str) -> jax.Array:
        """Returns the predicted colours in a space; "own": the network's. The rest is as `truth`.

        In another space than its own a prediction has the lightness of the photo.
        """
        if space in ("own", self.space):
            return outputs["color"] if "color" in outputs else outputs["ab"]
        return self._with_lightness(outputs["ab"], batch, space)

    def _with_lightness(self, ab: jax.Array, batch: Fields, space: str) -> jax.Array:
        """Returns ab / 110 with the true lightness of a batch, in a space."""
        if space == "ab":
            return ab
        if self.encode.gives_lightness:
            lightness = color.denormalize_lightness(batch["grey"].astype(jnp.float32))
        else:
            lightness = color.rgb_u8_to_lab(batch["rgb"])[..., :1]
        lab = jnp.concatenate([lightness, color.denormalize_ab(ab)], axis=-1)
        return color.lab_to_space(lab, space)

    def blank_colors(self, space: str) -> jax.Array:
        """Returns one photo of zeros in a space, (1, S, S, 2 or 3), for shapes."""
        channels = color.SPACES[self.space if space == "own" else space]
        return jnp.zeros((1, self.image_size, self.image_size, channels))

    def forward(
        self, variables: Variables, batch: Fields, key: jax.Array
    ) -> tuple[Fields, Variables]:
        """Runs the network on an encoded training batch, of some photos with their palette.

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
        """Returns the names of the network's convolutions, as `remat` takes them."""
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
            batch: as `colorjax.data.pipeline.train_batches` gives it.
            key: for dropout.
            judge: (outputs, encoded batch) -> the outputs that the loss's judges add.

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
        """Returns the height and width at which the network sees a photo, in pixels."""
        fixed, multiple = self.network.fixed_size, self.network.size_multiple
        if fixed:
            return fixed, fixed
        if self.network.fit == "pad":
            return -(-height // multiple) * multiple, -(-width // multiple) * multiple
        rounded = [max(1, round(side / multiple)) * multiple for side in (height, width)]
        return rounded[0], rounded[1]

    def predict(self, variables: Variables, fields: Fields) -> Fields:
        """Predicts colours.

        Photos of any size are brought to what the network takes, as its `fit` says, padded by
        their edge and cut back or resized, and the colours back to the size of the photos.

        Args:
            variables: of the network.
            fields: grey (N, H, W, 1) in [-1, 1], as `encode` gives it. Where the network takes
                them: hint_ab (N, H, W, 2), ab / 110, and hint_mask (N, H, W, 1), 1 where there is a
                hint (left out: no hints); edges (N, H, W, 1), as `detect_edges` gives them;
                global_grey (N, h, w, 1), a photo whose global features count instead of its own;
                global_colors (N, 315), see `palette_input` (left out: the network is free).
                Others are ignored.

        Returns:
            ab: (N, H, W, 2) float32, a and b of CIE Lab, as `decode` says, times `saturation`;
            where the network predicts the lightness and it counts, lightness: (N, H, W, 1), L; and
            the network's other outputs as they are, at its own size.
        """
        size = fields["grey"].shape[1:3]
        outputs = self.network.apply(variables, self.fit(fields), train=False)
        ab = color.denormalize_ab(self.fit_back(self.decoded(outputs), size))
        found = {"ab": self.saturation * ab}
        if self.predicts_lightness:
            lab = color.space_to_lab(outputs["color"], self.space, None)
            found["lightness"] = self.fit_back(lab[..., :1], size)
        return outputs | found

    def decoded(self, outputs: Fields) -> jax.Array:
        """Returns ab / 110, (N, h, w, 2), of a network's outputs, as `decode` says."""
        own = outputs["ab"]
        if self.decode == "ab":
            return own
        temperature = self.network.temperature  # pyrefly: ignore
        annealed = color.annealed_mean(outputs["bin_logits"], temperature)
        annealed = jax.image.resize(color.normalize_ab(annealed), own.shape, "linear")
        return annealed if self.decode == "annealed" else (own + annealed) / 2

    def fit(self, fields: Fields) -> Fields:
        """Brings the fields that the network takes to a size that it takes."""
        size = self.network_size(*fields["grey"].shape[1:3])
        bring = shapes.padded if self.network.fit == "pad" else shapes.resized
        return {
            name: x if name in _OF_WHOLE_PHOTOS else bring(name, x, size)
            for name, x in self._inputs(fields).items()
        }

    def fit_back(self, x: jax.Array, size: tuple[int, ...]) -> jax.Array:
        """Brings what the network gives, (N, h, w, C), back to the (H, W) of the photos."""
        if self.network.fit != "pad" and x.shape[1:3] != size:
            x = jax.image.resize(x, (x.shape[0], *size, x.shape[-1]), "linear")
        return x[:, : size[0], : size[1]]

    @property
    def predicts_lightness(self) -> bool:
        """Whether `predict` gives a lightness that counts instead of the photo's."""
        return self.space != "ab" and not self.keeps_lightness

    def predict_shown(self, variables: Variables, fields: Fields) -> jax.Array:
        """Returns what of `predict` makes a picture: ab, or the predicted lightness and ab."""
        return self.to_picture(self.predict(variables, fields))

    def to_picture(self, found: Fields) -> jax.Array:
        """Returns what of the result of `predict` makes a picture; see `predict_shown`."""
        if not self.predicts_lightness:
            return found["ab"]
        return jnp.concatenate([found["lightness"], found["ab"]], axis=-1)

    def predict_ab(self, variables: Variables, fields: Fields) -> jax.Array:
        """Returns the ab of `predict`, which see."""
        return self.predict(variables, fields)["ab"]


def palette_input(ab: jax.Array) -> jax.Array:
    """Returns the input `global_colors` for pictures that shall have these colors.

    Args:
        ab: (N, H, W, 2) float, Lab units.

    Returns:
        (N, 315): `colorjax.color.palette`, and a 1, which says that there is one.
    """
    colors = color.palette(ab)
    return jnp.concatenate([colors, jnp.ones((len(ab), 1), colors.dtype)], axis=-1)


def _chroma(ab: jax.Array) -> jax.Array:
    """Sums the chroma of all pixels; never quite 0, so that it can divide."""
    return jnp.sum(jnp.linalg.norm(ab.astype(jnp.float32), axis=-1)) + 1e-6
