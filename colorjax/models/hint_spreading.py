"""Color hints for any network: spreads the error at each hint by feature similarity.

No training is needed. At hint j the network's error is delta_j = hint ab - predicted ab. Its weight
at position i is

    w_ij = exp(-((1 - cos_ij) / (T m))^2 - d_ij^2 / (2 s^2) - (L_i - L_j)^2 / (2 l^2))

where cos is the cosine of the features, m the mean of 1 - cos over all pairs of positions of the
photo, d the distance divided by the shorter side, and L the lightness divided by 100. The
correction is

    sum_j o_ij delta_j / sum_j o_ij * max_j w_ij,    o_ij = w_ij / (1 - w_ij).

The odds o rank the hints as w does, but are unbounded at a hint's own cell. There only its own
error counts, regardless of other hints nearby. Dividing by m makes one T suitable for every
network: m is 0.05 in the last features of zhang16-small and 0.6 in those of a small U-Net.

A network can have a trained `HintGuide`. At every position the guide has a vector q and two
factors, t and c. Their initial values 0, 1 and 1 leave the weights unchanged:

    w_ij = exp(-t_i ((1 - cos_ij) / (T m))^2 - |q_i - q_j|^2 - ...),

and the factor max_j w_ij of the correction becomes max_j w_ij^c_i.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from colorjax.models.blocks.convolution import Conv
from colorjax.models.blocks.shapes import enlarge_to

STRIDE = 4  # side of a grid cell, in pixels of the network's input
# Widths of the cosine, of the distance and of the lightness (benchmarks/hints.py).
TEMPERATURE, DISTANCE, LIGHTNESS_WIDTH = 0.8, 0.8, 0.2
_EPSILON = 1e-6
_LEAST_DISTANCE = 1e-4  # of a uniform photo
_FAR = 1e4  # exponent of an invalid hint

GUIDE_KEYS = 16  # channels of q
_GUIDE_FEATURES = 48


class Keys(NamedTuple):
    """Keys that measure the similarity of grid positions.

    Attributes:
        features: (..., h, w, C) of length 1, from `feature_keys`.
        guide: (..., h, w, 18), q and the logarithms of t and c; None: no guide.
    """

    features: jax.Array
    guide: jax.Array | None = None


class HintGuide(nn.Module):
    """Predicts from features how far hints spread: q, log t and log c of the module docstring."""

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


def grid_size(height: int, width: int) -> tuple[int, int]:
    """Returns the (height, width) in cells of the grid of a network's input.

    >>> grid_size(64, 88)
    (16, 22)
    """
    return -(-height // STRIDE), -(-width // STRIDE)


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


def exponents(
    keys: Keys,
    lightness: Any,
    cells: Any,
    *,
    temperature: float | jax.Array = TEMPERATURE,
    distance: float | jax.Array = DISTANCE,
    lightness_width: float | jax.Array = LIGHTNESS_WIDTH,
) -> Any:
    """Returns -log w_ij of the module docstring for K cells; arrays of NumPy or of JAX.

    Args:
        keys: of the grid (h, w).
        lightness: (h, w), L in [0, 100].
        cells: (K, 2) integers, row and column of each cell on the grid.
        temperature: T, as a multiple of m, above 0.
        distance: s, as a share of the shorter side, above 0.
        lightness_width: l, as a share of the range of L, above 0.

    Returns:
        (h, w, K), at least 0.
    """
    xp = _namespace(keys)
    height, width = lightness.shape
    rows, columns = cells[:, 0], cells[:, 1]
    features, guide = keys
    cosine = features @ features[rows, columns].T
    mean_distance = 1 - xp.sum(xp.square(features.mean((0, 1)))) + _LEAST_DISTANCE
    unlike = xp.square(xp.maximum(1 - cosine, 0) / (temperature * mean_distance))
    if guide is not None:
        q = guide[..., :GUIDE_KEYS]
        apart = xp.square(q[:, :, None] - q[rows, columns][None, None])
        unlike = unlike * xp.exp(guide[..., GUIDE_KEYS, None]) + xp.sum(apart, axis=-1)
    down = (xp.arange(height)[:, None] - rows[None]) / min(height, width)
    right = (xp.arange(width)[:, None] - columns[None]) / min(height, width)
    away = (xp.square(down)[:, None] + xp.square(right)[None]) / (2 * distance**2)
    step = (lightness[..., None] - lightness[rows, columns][None, None]) / 100
    return unlike + away + xp.square(step) / (2 * lightness_width**2)


def _namespace(keys: Keys) -> Any:
    is_numpy = all(x is None or isinstance(x, np.ndarray) for x in keys)
    return np if is_numpy else jnp


def log_odds_of(exponent: Any) -> Any:
    """Returns log(w / (1 - w)) for exponents -log w; far from all hints the odds underflow to 0."""
    xp = np if isinstance(exponent, np.ndarray) else jnp
    return -exponent - xp.log(_EPSILON - xp.expm1(-exponent))


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
    """Returns the correction of one photo's predicted ab by K hints.

    Args:
        ab: (h, w, 2) predicted, in Lab units, on the grid.
        keys: of the grid (h, w).
        lightness: (h, w), L in [0, 100].
        cells: (K, 2) integers, row and column of each hint on the grid.
        hint_ab: (K, 2), in Lab units.
        valid: (K,) booleans; invalid hints are ignored.
        temperature: T, as a multiple of m, above 0.
        distance: s, as a share of the shorter side, above 0.
        lightness_width: l, as a share of the range of L, above 0.

    Returns:
        (h, w, 2) float32, in Lab units; 0 everywhere without a valid hint.
    """
    delta = hint_ab - ab[cells[:, 0], cells[:, 1]]
    exponent = exponents(
        keys,
        lightness,
        cells,
        temperature=temperature,
        distance=distance,
        lightness_width=lightness_width,
    )
    exponent = jnp.where(valid[None, None], exponent, _FAR)
    mean = jnp.einsum("hwk,kc->hwc", jax.nn.softmax(log_odds_of(exponent), axis=-1), delta)
    sharpness = sharpness_of(keys)
    return mean * jnp.exp(-sharpness * exponent.min(-1, keepdims=True))


def sharpness_of(keys: Keys) -> Any:
    """Returns the factors c of a guide, (h, w, 1); (1, 1, 1) ones without a guide."""
    xp = _namespace(keys)
    if keys.guide is None:
        return xp.ones((1, 1, 1), np.float32)
    return xp.exp(keys.guide[..., GUIDE_KEYS + 1 :])
