"""Features of networks by which color hints spread; see `colorjax.color.hint_spreading`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from colorjax.color.hint_spreading import GUIDE_KEYS, Keys, grid_size
from colorjax.models.blocks.convolution import Conv
from colorjax.models.blocks.shapes import enlarge_to

_EPSILON = 1e-6
_GUIDE_FEATURES = 48


class HintGuide(nn.Module):
    """Predicts from features how far hints spread: q, log t and log c."""

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps float32 features (N, h, w, C) to a guide (N, h, w, 18), initially 0."""
        x = nn.relu(Conv(_GUIDE_FEATURES, 1, name="conv1")(x, train=train))
        x = nn.relu(Conv(_GUIDE_FEATURES, name="conv2")(x, train=train))
        zeros = nn.initializers.zeros
        return Conv(GUIDE_KEYS + 2, 1, kernel_init=zeros, name="conv3")(x, train=train)


def feature_layers(network: Any) -> tuple[str, ...]:
    """Returns the submodules whose outputs are a network's feature maps; empty: it has none."""
    return tuple(getattr(network, "feature_layers", ()))


def keyed(network: Any) -> Any:
    """Wraps a network that has `feature_layers`, so that it also returns hint_keys."""
    return network if "hint_keys" in network.outputs else Keyed(network)


class Keyed:
    """Wrapper of a network that also returns the keys of its grid.

    The feature maps are the outputs of the submodules whose paths are in `network.feature_layers`,
    such as "block8" or "low_level/conv4"; the last ones before the head work best. If a submodule
    is called several times, its first output is used.
    """

    def __init__(self, network: Any):
        """Wraps a network that has `feature_layers`."""
        self._network = network

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def apply(self, variables: Any, inputs: dict[str, jax.Array], **options: Any) -> Any:
        """Returns the network's outputs and hint_keys, `Keys` of ceil(H/4) x ceil(W/4).

        Raises:
            ValueError: unknown path in `feature_layers`.
        """
        names = feature_layers(self._network)

        def is_feature_layer(module: nn.Module, method: str) -> bool:
            return method == "__call__" and "/".join(module.path) in names

        outputs, state = self._network.apply(
            variables,
            inputs,
            capture_intermediates=is_feature_layer,
            mutable=["intermediates"],
            **options,
        )
        captured = state.get("intermediates", {})
        features = [_output_of(captured, name) for name in names]
        size = grid_size(*inputs["gray"].shape[1:3])
        return outputs | {"hint_keys": Keys(feature_keys(features, size))}


def _output_of(captured: Any, name: str) -> jax.Array:
    for part in name.split("/"):
        if part not in captured:
            raise ValueError(f"feature_layers contains {name!r}, which is no layer of the network")
        captured = captured[part]
    return captured["__call__"][0]


def feature_keys(features: Sequence[jax.Array], size: tuple[int, int]) -> jax.Array:
    """Returns the keys of a grid; their dot products are mean cosines of features.

    Args:
        features: feature maps (N, h, w, C) of the same pictures, with any sizes and channels.
        size: (height, width) of the grid; each map is resized to it bilinearly.

    Returns:
        (N, height, width, sum of C) float32, each of length 1.
    """
    levels = []
    for x in features:
        x = x.astype(jnp.float32)
        if x.shape[1:3] != size:
            x = enlarge_to(x, size)
        levels.append(x / (jnp.linalg.norm(x, axis=-1, keepdims=True) + _EPSILON))
    return jnp.concatenate(levels, axis=-1) / len(levels) ** 0.5
