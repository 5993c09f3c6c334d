"""A method: what goes in, what is learned, and how an ab map comes out.

Training, evaluation and inference know a network through this alone.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from colorjax import color, losses, models
from colorjax.data import prior
from colorjax.data.targets import TargetEncoder
from colorjax.errors import RequestError

Variables = dict[str, Any]  # "params", and "batch_stats" where the network has them


@dataclasses.dataclass(frozen=True)
class Method:
    """One colorization method, built from a config by `build`.

    Attributes:
        network: `apply(variables, inputs, train=..., rngs=...) -> dict of outputs`.
        loss: compares outputs with the batch; None where the method only predicts.
        encode: RGB to the grey input and the ab target, for targets on the device.
        image_size: side of a training photo in pixels.
    """

    network: models.Network
    loss: losses.Loss | None
    encode: TargetEncoder
    image_size: int

    def init(self, key: jax.Array) -> Variables:
        """Returns fresh variables, float32."""
        grey = jnp.zeros((1, self.image_size, self.image_size, 1), jnp.float32)
        return self.network.init({"params": key}, self._inputs({"grey": grey}), train=False)

    @property
    def takes_hints(self) -> bool:
        """Whether the network has an input for a user's colour hints."""
        return "hint_ab" in self.network.inputs

    def _inputs(self, fields: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """Returns what the network takes; hints that are not there are none."""
        blank: dict[str, int] = {"hint_ab": 2, "hint_mask": 1} if self.takes_hints else {}
        shape = fields["grey"].shape[:3]
        for name, channels in blank.items():
            if name not in fields:
                fields = fields | {name: jnp.zeros((*shape, channels), jnp.float32)}
        return {name: fields[name] for name in self.network.inputs}

    def encoded(self, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """Returns the batch with `grey` and `ab`, computed from `rgb` where they are missing."""
        return batch if "grey" in batch else batch | self.encode(batch["rgb"])

    def loss_and_state(
        self, variables: Variables, batch: dict[str, jax.Array], key: jax.Array
    ) -> tuple[jax.Array, tuple[losses.Terms, Variables]]:
        """Runs the network on a training batch.

        Args:
            variables: of the network.
            batch: as `colorjax.data.pipeline.train_batches` gives it.
            key: for dropout.

        Returns:
            (scalar to minimize, (terms as (sum, count), updated collections such as batch_stats)).
        """
        assert self.loss is not None
        batch = self.encoded(batch)
        outputs, updated = self.network.apply(
            variables,
            self._inputs(batch),
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats"],
        )
        terms = self.loss(outputs, batch)
        chroma = {"chroma_ratio": (_chroma(outputs["ab"]), _chroma(batch["ab"]))}
        return self.loss.total(terms), (terms | chroma, updated)

    def predict(
        self,
        variables: Variables,
        lightness: jax.Array,
        hints: dict[str, jax.Array] | None = None,
    ) -> dict[str, jax.Array]:
        """Predicts colours.

        Args:
            variables: of the network.
            lightness: (N, H, W, 1) float32, L in [0, 100]. Any size: it is padded by its edge to
                what the network needs and cut back, or resized where the network has one size.
            hints: hint_ab (N, H, W, 2), ab / 110, and hint_mask (N, H, W, 1), 1 where there is a
                hint; None: none. Only for a method that takes hints.

        Returns:
            ab: (N, H, W, 2) float32, a and b of CIE Lab; and the network's other outputs as they
            are, at its own size.
        """
        n, height, width, _ = lightness.shape
        fields: dict[str, jax.Array] = {"grey": color.normalize_lightness(lightness)}
        fields |= hints or {}
        fixed = self.network.fixed_size
        if fixed:
            fields = {
                name: jax.image.resize(x, (n, fixed, fixed, x.shape[-1]), "linear")
                for name, x in fields.items()
            }
        else:
            down, right = (-side % self.network.size_multiple for side in (height, width))
            margins = ((0, 0), (0, down), (0, right), (0, 0))
            fields = {
                name: jnp.pad(x, margins, mode="edge" if name == "grey" else "constant")
                for name, x in fields.items()
            }
        outputs = self.network.apply(variables, self._inputs(fields), train=False)
        ab = outputs["ab"]
        if fixed:
            ab = jax.image.resize(ab, (n, height, width, 2), "linear")
        return outputs | {"ab": color.denormalize_ab(ab[:, :height, :width])}

    def predict_ab(
        self,
        variables: Variables,
        lightness: jax.Array,
        hints: dict[str, jax.Array] | None = None,
    ) -> jax.Array:
        """Returns the ab of `predict`, which see."""
        return self.predict(variables, lightness, hints)["ab"]


def _chroma(ab: jax.Array) -> jax.Array:
    """Sums the chroma of all pixels; never quite 0, so that it can divide."""
    return jnp.sum(jnp.linalg.norm(ab.astype(jnp.float32), axis=-1)) + 1e-6


def build_network(config: ConfigDict) -> models.Network:
    """Builds the network of `config.model` and `config.dtype`.

    Raises:
        RequestError: unknown names or options.
    """
    if config.dtype not in ("float32", "bfloat16"):
        raise RequestError(f"dtype is float32 or bfloat16, not {config.dtype!r}")
    options = config.model.to_dict()
    return models.create(options.pop("name"), **options, dtype=jnp.dtype(config.dtype))


def build_loss(config: ConfigDict, network: models.Network) -> losses.Loss:
    """Builds the loss of `config.loss`; reads its prior where it has one.

    Raises:
        RequestError: unknown name, a loss that needs what the network does not give, or a prior
            that cannot be read.
    """
    options = config.loss.to_dict()
    name, prior_file = options.pop("name"), options.pop("prior")
    missing = losses.outputs_of(name) - network.outputs
    if missing:
        able = [known for known in losses.LOSSES if losses.outputs_of(known) <= network.outputs]
        raise RequestError(
            f"loss {name} needs the output {', '.join(sorted(missing))} that model "
            f"{config.model.name} does not give; losses for it: {', '.join(sorted(able))}"
        )
    if name == "rebalanced_ce":
        options["prior"] = prior.load(prior_file)
    return losses.create(name, **options)


def build(config: ConfigDict, *, with_loss: bool = True) -> Method:
    """Builds the method that a config describes.

    Args:
        config: see configs/default.py.
        with_loss: False: for prediction alone; `config.loss` is not looked at.

    Raises:
        RequestError: unknown names, a loss that needs what the network does not give, or an image
            size that the network cannot take.
    """
    name, network = config.model.name, build_network(config)
    loss = build_loss(config, network) if with_loss else None
    size = config.data.image_size
    if network.fixed_size not in (None, size):
        raise RequestError(
            f"model {name} takes {network.fixed_size} px alone; set data.image_size="
            f"{network.fixed_size}, not {size}"
        )
    multiple = network.size_multiple
    if size <= 0 or size % multiple:
        raise RequestError(f"data.image_size is a multiple of {multiple} for {name}, not {size}")
    return Method(network, loss, TargetEncoder.from_config(config.data), size)
