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
from colorjax.data.targets import TargetEncoder
from colorjax.errors import RequestError

Variables = dict[str, Any]  # "params", and "batch_stats" where the network has them


@dataclasses.dataclass(frozen=True)
class Method:
    """One colorization method, built from a config by `build`.

    Attributes:
        network: `apply(variables, inputs, train=..., rngs=...) -> dict of outputs`.
        loss: compares outputs with the batch.
        encode: RGB to the grey input and the ab target, for targets on the device.
        image_size: side of a training photo in pixels.
    """

    network: models.Network
    loss: losses.Loss
    encode: TargetEncoder
    image_size: int

    def init(self, key: jax.Array) -> Variables:
        """Returns fresh variables, float32."""
        grey = jnp.zeros((1, self.image_size, self.image_size, 1), jnp.float32)
        return self.network.init({"params": key}, {"grey": grey}, train=False)

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
        batch = self.encoded(batch)
        outputs, updated = self.network.apply(
            variables, batch, train=True, rngs={"dropout": key}, mutable=["batch_stats"]
        )
        terms = self.loss(outputs, batch)
        return self.loss.total(terms), (terms, updated)

    def predict_ab(self, variables: Variables, lightness: jax.Array) -> jax.Array:
        """Predicts colours.

        Args:
            variables: of the network.
            lightness: (N, H, W, 1) float32, L in [0, 100]. Any size: it is padded by its edge to
                what the network needs and cut back, or resized where the network has one size.

        Returns:
            (N, H, W, 2) float32, a and b of CIE Lab.
        """
        n, height, width, _ = lightness.shape
        grey = color.normalize_lightness(lightness)
        fixed = self.network.fixed_size
        if fixed:
            inside = jax.image.resize(grey, (n, fixed, fixed, 1), "linear")
            ab = self.network.apply(variables, {"grey": inside}, train=False)["ab"]
            ab = jax.image.resize(ab, (n, height, width, 2), "linear")
        else:
            down, right = (-side % self.network.size_multiple for side in (height, width))
            padded = jnp.pad(grey, ((0, 0), (0, down), (0, right), (0, 0)), mode="edge")
            ab = self.network.apply(variables, {"grey": padded}, train=False)["ab"]
            ab = ab[:, :height, :width]
        return color.denormalize_ab(ab)


def build(config: ConfigDict) -> Method:
    """Builds the method that a config describes.

    Raises:
        RequestError: unknown names, a loss that needs what the network does not give, or an image
            size that the network cannot take.
    """
    if config.dtype not in ("float32", "bfloat16"):
        raise RequestError(f"dtype is float32 or bfloat16, not {config.dtype!r}")
    options = config.model.to_dict()
    name = options.pop("name")
    network = models.create(name, **options, dtype=jnp.dtype(config.dtype))
    options = config.loss.to_dict()
    loss = losses.create(options.pop("name"), **options)
    missing = loss.outputs - network.outputs
    if missing:
        able = [known for known in losses.LOSSES if losses.create(known).outputs <= network.outputs]
        raise RequestError(
            f"loss {loss.name} needs the output {', '.join(sorted(missing))} that model {name} "
            f"does not give; losses for it: {', '.join(sorted(able))}"
        )
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
