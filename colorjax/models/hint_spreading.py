"""Color hints for any network: the error at a hint, spread by the similarity of features.

No training is needed. At hint j the network's error is delta_j = hint ab - predicted ab. Position i
weighs it by

    w_ij = exp(-((1 - cos_ij) / (T m))^2 - d_ij^2 / (2 s^2) - (L_i - L_j)^2 / (2 l^2))

with the cosine of the features, its mean distance m = mean of 1 - cos over all pairs of positions
of the photo, the distance d in parts of the shorter side and the lightness L in parts of 100. The
correction is

    sum_j o_ij delta_j / sum_j o_ij * max_j w_ij,    o_ij = w_ij / (1 - w_ij).

The odds o rank the hints as w does but are unbounded at a hint's own cell, where only its own error
counts, however many hints are near. m makes one T serve every network: the mean distance is 0.05
in the last features of zhang16-small and 0.6 in those of a small U-Net.

A network may have learned to guide hints (`HintGuide`). Its guide has at every position a vector q
and two factors, t and c, which start at 0, 1 and 1, where nothing changes:

    w_ij = exp(-t_i ((1 - cos_ij) / (T m))^2 - |q_i - q_j|^2 - ...),

and the correction is multiplied by max_j w_ij^c_i.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from colorjax.models.blocks.convolution import Conv

STRIDE = 4  # pixels of the network's input that a cell of the grid has on each side
# Widths of the cosine, of the distance and of the lightness (benchmarks/hints.py).
TEMPERATURE, DISTANCE, LIGHTNESS_WIDTH = 0.8, 0.8, 0.2
_EPSILON = 1e-6
_LEAST_DISTANCE = 1e-4  # of a photo that is the same everywhere
_FAR = 1e4  # exponent of a hint that does not count

GUIDE_KEYS = 16  # channels of q
_GUIDE_FEATURES = 48


class Keys(NamedTuple):
    """What says which positions of a grid are alike.

    Attributes:
        features: (..., h, w, C) of length 1, from `feature_keys`.
        guide: (..., h, w, 18), q and the logarithms of t and c; None: not learned.
    """

    features: jax.Array
    guide: jax.Array | None = None


class HintGuide(nn.Module):
    """Learns from features how far hints reach: q, log t and log c of the module's docstring."""

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps float32 features (N, h, w, C) to a guide (N, h, w, 18), 0 at the start."""
        x = nn.relu(Conv(_GUIDE_FEATURES, 1, name="conv1")(x, train=train))
        x = nn.relu(Conv(_GUIDE_FEATURES, name="conv2")(x, train=train))
        zeros = nn.initializers.zeros
        return Conv(GUIDE_KEYS + 2, 1, kernel_init=zeros, name="conv3")(x, train=train)


def feature_layers(network: Any) -> tuple[str, ...]:
    """Returns the submodules whose outputs are a network's feature maps; empty: it shows none."""
    return tuple(getattr(network, "feature_layers", ()))


def keyed(network: Any) -> Any:
    """Returns a network that has `feature_layers` as one that also returns hint_keys."""
    return network if "hint_keys" in network.outputs else Keyed(network)


class Keyed:
    """A network that also returns the keys of its grid; in all else the network that it wraps.

    The feature maps are the outputs of the submodules that `network.feature_layers` names by their
    paths, such as "block8" or "low_level/conv4", best the last ones before the head. Where a
    submodule is called several times, its first output counts.
    """

    def __init__(self, network: Any):
        """Wraps a network that has `feature_layers`."""
        self._network = network

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def apply(self, variables: Any, inputs: dict[str, jax.Array], **options: Any) -> Any:
        """Returns the network's outputs and hint_keys, `Keys` of ceil(H/4) x ceil(W/4).

        Raises:
            ValueError: the network has no submodule of such a path.
        """
        names = feature_layers(self._network)

        def is_shown(module: nn.Module, method: str) -> bool:
            return method == "__call__" and "/".join(module.path) in names

        outputs, state = self._network.apply(
            variables, inputs, capture_intermediates=is_shown, mutable=["intermediates"], **options
        )
        shown = state.get("intermediates", {})
        features = [_output_of(shown, name) for name in names]
        size = grid_size(*inputs["grey"].shape[1:3])
        return outputs | {"hint_keys": Keys(feature_keys(features, size))}


def _output_of(shown: Any, name: str) -> jax.Array:
    for part in name.split("/"):
        if part not in shown:
            raise ValueError(f"feature_layers names {name!r}, which is no layer of the network")
        shown = shown[part]
    return shown["__call__"][0]


def grid_size(height: int, width: int) -> tuple[int, int]:
    """Returns the (height, width) in cells of the grid of a network's input.

    >>> grid_size(64, 88)
    (16, 22)
    """
    return -(-height // STRIDE), -(-width // STRIDE)


def feature_keys(features: Sequence[jax.Array], size: tuple[int, int]) -> jax.Array:
    """Returns the keys of a grid, whose dot products are mean cosines of features.

    Args:
        features: feature maps (N, h, w, C) of the same pictures, of any sizes and channels.
        size: (height, width) of the grid, to which each map is resized bilinearly.

    Returns:
        (N, height, width, sum of C) float32, each of length 1.
    """
    levels = []
    for x in features:
        x = x.astype(jnp.float32)
        if x.shape[1:3] != size:
            x = jax.image.resize(x, (x.shape[0], *size, x.shape[-1]), "linear")
        levels.append(x / (jnp.linalg.norm(x, axis=-1, keepdims=True) + _EPSILON))
    return jnp.concatenate(levels, axis=-1) / len(levels) ** 0.5


def spread_hints(
    ab: jax.Array,
    keys: Keys,
    lightness: jax.Array,
    cells: jax.Array,
    hint_ab: jax.Array,
    valid: jax.Array,
    *,
    temperature: float | jax.Array = TEMPERATURE,
    distance: float | jax.Array = DISTANCE,
    lightness_width: float | jax.Array = LIGHTNESS_WIDTH,
) -> jax.Array:
    """Returns what K hints add to the predicted ab of one photo.

    Args:
        ab: (h, w, 2) predicted, in Lab units, on the grid.
        keys: of the grid (h, w).
        lightness: (h, w), L in [0, 100].
        cells: (K, 2) integers, row and column of each hint on the grid.
        hint_ab: (K, 2), in Lab units.
        valid: (K,) booleans; the other hints do not count.
        temperature: T, in parts of the mean distance of the cosine, above 0.
        distance: s, in parts of the shorter side, above 0.
        lightness_width: l, in parts of the range of L, above 0.

    Returns:
        (h, w, 2) float32, in Lab units; 0 everywhere without a valid hint.
    """
    height, width = lightness.shape
    rows, columns = cells[:, 0], cells[:, 1]
    delta = hint_ab - ab[rows, columns]
    features, guide = keys
    cosine = jnp.einsum("hwc,kc->hwk", features, features[rows, columns])
    mean_distance = 1 - jnp.sum(jnp.square(features.mean((0, 1)))) + _LEAST_DISTANCE
    unlike = jnp.square(jnp.maximum(1 - cosine, 0) / (temperature * mean_distance))
    sharpness = jnp.ones((1, 1, 1))
    if guide is not None:
        q = guide[..., :GUIDE_KEYS]
        apart = jnp.square(q[:, :, None] - q[rows, columns][None, None])
        unlike = unlike * jnp.exp(guide[..., GUIDE_KEYS, None]) + jnp.sum(apart, axis=-1)
        sharpness = jnp.exp(guide[..., GUIDE_KEYS + 1 :])
    down = (jnp.arange(height)[:, None] - rows[None]) / min(height, width)
    right = (jnp.arange(width)[:, None] - columns[None]) / min(height, width)
    away = (jnp.square(down)[:, None] + jnp.square(right)[None]) / (2 * distance**2)
    step = (lightness[..., None] - lightness[rows, columns][None, None]) / 100
    exponent = unlike + away + jnp.square(step) / (2 * lightness_width**2)
    exponent = jnp.where(valid[None, None], exponent, _FAR)
    # Shares of the odds from their logarithms: far from all hints the odds themselves are 0.
    log_odds = -exponent - jnp.log(_EPSILON - jnp.expm1(-exponent))
    mean = jnp.einsum("hwk,kc->hwc", jax.nn.softmax(log_odds, axis=-1), delta)
    return mean * jnp.exp(-sharpness * exponent.min(-1, keepdims=True))
