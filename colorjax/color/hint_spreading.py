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

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from colorjax.color.arrays import Array, namespace

if TYPE_CHECKING:
    import jax

STRIDE = 4  # side of a grid cell, in pixels of the network's input
# Widths of the cosine, of the distance and of the lightness (benchmarks/hints.py).
TEMPERATURE, DISTANCE, LIGHTNESS_WIDTH = 0.8, 0.8, 0.2
_EPSILON = 1e-6
_LEAST_DISTANCE = 1e-4  # of a uniform photo
_FAR = 1e4  # exponent of an invalid hint
GUIDE_KEYS = 16  # channels of q


class Keys(NamedTuple):
    """Keys that measure the similarity of grid positions.

    Attributes:
        features: (..., h, w, C) of length 1, see `colorjax.models.hint_spreading`.
        guide: (..., h, w, 18), q and the logarithms of t and c; None: no guide.
    """

    features: Array
    guide: Array | None = None

    def part(self, index: Any) -> Keys:
        """Returns the keys at an index."""
        return Keys(self.features[index], None if self.guide is None else self.guide[index])


def grid_size(height: int, width: int) -> tuple[int, int]:
    """Returns the (height, width) in cells of the grid of a network's input.

    >>> grid_size(64, 88)
    (16, 22)
    """
    return -(-height // STRIDE), -(-width // STRIDE)


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
    xp = _namespace_of(keys)
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


def _namespace_of(keys: Keys) -> Any:
    return namespace(*(x for x in keys if x is not None))


def log_odds_of(exponent: Any) -> Any:
    """Returns log(w / (1 - w)) for exponents -log w; far from all hints the odds underflow to 0."""
    xp = namespace(exponent)
    return -exponent - xp.log(_EPSILON - xp.expm1(-exponent))


def spread_hints(
    ab: Any,
    keys: Keys,
    lightness: Any,
    cells: Any,
    hint_ab: Any,
    valid: Any,
    *,
    temperature: float | jax.Array = TEMPERATURE,
    distance: float | jax.Array = DISTANCE,
    lightness_width: float | jax.Array = LIGHTNESS_WIDTH,
) -> Array:
    """Returns the correction of one photo's predicted ab by K hints; arrays of NumPy or of JAX.

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
    xp = namespace(exponent)
    exponent = xp.where(valid[None, None], exponent, _FAR)
    mean = xp.einsum("hwk,kc->hwc", softmax(log_odds_of(exponent)), delta)
    sharpness = sharpness_of(keys)
    return mean * xp.exp(-sharpness * exponent.min(-1, keepdims=True))


def softmax(logits: Any) -> Array:
    """Returns the softmax over the last axis, in the kind of `logits`."""
    if namespace(logits) is np:
        odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return odds / odds.sum(axis=-1, keepdims=True)
    import jax

    return jax.nn.softmax(logits, axis=-1)


def sharpness_of(keys: Keys) -> Any:
    """Returns the factors c of a guide, (h, w, 1); (1, 1, 1) ones without a guide."""
    xp = _namespace_of(keys)
    if keys.guide is None:
        return xp.ones((1, 1, 1), np.float32)
    return xp.exp(keys.guide[..., GUIDE_KEYS + 1 :])
