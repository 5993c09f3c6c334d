"""The 313 color bins of Zhang et al. 2016: encodes ab as bins and decodes bins to ab.

Bins are the points of an ab grid with spacing 10 that lie in or near the sRGB gamut.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from colorjax.color.arrays import Array, check_last_axis, float_array, is_jax, namespace
from colorjax.color.lab import rgb_to_lab

if TYPE_CHECKING:
    import jax

NUM_BINS = 313
SPACING = 10  # ab units between neighboring bins
_REACH = 11  # bins lie in -110 ... 110
_SIDE = 2 * _REACH + 1
NUM_GRID_CELLS = _SIDE**2  # 529: the whole grid, in gamut or outside
# A bin is kept if it lies in the convex hull of the gamut, widened by this square. Every value in
# 9.74 ... 10.05 gives the same 313 points.
_MARGIN = 9.9
_SAMPLES = 33  # on each edge of the RGB cube


@functools.cache
def _bins() -> np.ndarray:
    from scipy.spatial import ConvexHull

    ramp = np.linspace(0, 1, _SAMPLES)
    ends = np.stack(np.meshgrid([0.0, 1.0], [0.0, 1.0], indexing="ij"), -1).reshape(-1, 2)
    edges = [np.insert(end, axis, value) for axis in range(3) for end in ends for value in ramp]
    gamut = rgb_to_lab(np.array(edges))[:, 1:]
    widened = gamut[:, None] + _MARGIN * (2 * ends - 1)
    hull = ConvexHull(widened.reshape(-1, 2))
    line = SPACING * np.arange(-_REACH, _REACH + 1)
    grid = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    is_inside = np.all(hull.equations[:, :2] @ grid.T + hull.equations[:, 2:] <= 0, axis=0)
    bins = grid[is_inside]
    assert len(bins) == NUM_BINS, len(bins)
    bins.setflags(write=False)
    return bins


@functools.cache
def _bin_of_cell() -> np.ndarray:
    """Returns (23, 23) int32: the bin at each grid point, -1 for none."""
    table = np.full((_SIDE, _SIDE), -1, np.int32)
    a, b = _bins().T // SPACING + _REACH
    table[a, b] = np.arange(NUM_BINS)
    return table


def ab_bins() -> np.ndarray:
    """Returns the 313 bins (Zhang et al. 2016, section 2.1; the paper's Q).

    They are the points of the grid with spacing 10 inside the convex hull of the (a, b) of the sRGB
    gamut, dilated by a square of +-9.9. They equal the published `pts_in_hull.npy`, in its order.

    Returns:
        (313, 2) int64, a and b in Lab units, sorted by a, then by b; read-only.

    >>> ab_bins()[0], len(ab_bins())
    (array([-90,  50]), 313)
    """
    return _bins()


def _cells(xp: Any, ab: Array) -> Array:
    return xp.clip(xp.round(ab / SPACING), -_REACH, _REACH).astype(np.int32) + _REACH


def grid_cell(ab: Any) -> Array:
    """Returns the nearest point of the whole 23 x 23 grid (Zhang et al. 2017).

    Args:
        ab: (..., 2) floating point, Lab units; clipped to [-110, 110].

    Returns:
        (...) int32 in 0 ... 528: 23 round((a + 110) / 10) + round((b + 110) / 10).

    Raises:
        ValueError: `ab` is not (..., 2) or holds integers.
    """
    ab = float_array(ab, "ab")
    check_last_axis(ab, 2, "ab")
    cells = _cells(namespace(ab), ab)
    return cells[..., 0] * _SIDE + cells[..., 1]


def nearest_bin(ab: Any) -> Array:
    """Returns the nearest bin of each color.

    Rounding to the grid is exact for every sRGB color. Only colors far outside sRGB, whose grid
    point is not a bin, need a search over all bins.

    Args:
        ab: (..., 2) floating point, Lab units.

    Returns:
        (...) int32 in 0 ... 312, in the kind of `ab`.

    Raises:
        ValueError: `ab` is not (..., 2) or holds integers.

    >>> ab_bins()[nearest_bin(np.array([3.0, -61.0]))]
    array([  0, -60])
    """
    ab = float_array(ab, "ab")
    check_last_axis(ab, 2, "ab")
    xp = namespace(ab)
    cells = _cells(xp, ab)
    bins = xp.asarray(_bin_of_cell())[cells[..., 0], cells[..., 1]]
    if xp is np:
        outside = bins < 0
        if not outside.any():
            return bins
        return np.where(outside, np.argmin(_squared_distances(ab), axis=-1), bins).astype(np.int32)
    from jax import lax

    return lax.cond(
        xp.any(bins < 0),
        lambda: xp.where(
            bins < 0, xp.argmin(_squared_distances(ab), axis=-1).astype(np.int32), bins
        ),
        lambda: bins,
    )


def _squared_distances(ab: Array) -> Array:
    """Returns (..., 313): the squared distance of (..., 2) colors to every bin."""
    xp = namespace(ab)
    a, b = (xp.asarray(line, ab.dtype).reshape((1,) * (ab.ndim - 1) + (-1,)) for line in _bins().T)
    return xp.square(ab[..., :1] - a) + xp.square(ab[..., 1:] - b)


def soft_encode(ab: Any, k: int = 5, sigma: float = 5.0) -> Array:
    """Spreads each color over its k nearest bins (Zhang et al. 2016, soft encoding H^-1).

    The weights are exp(-d^2 / (2 sigma^2)) of the distances d, divided by their sum. The paper uses
    k = 5, its released training code k = 10. Of equally distant bins the first ones are taken.

    Args:
        ab: (..., 2) floating point, Lab units.
        k: number of bins, 1 ... 313.
        sigma: width in ab units, above 0.

    Returns:
        (..., 313) in the dtype and kind of `ab`; each row sums to 1 and has at most k values
        above 0.

    Raises:
        ValueError: `ab` is not (..., 2) or holds integers; k or sigma is out of range.
    """
    bins, weights = nearest_bins(ab, k, sigma)
    shape = (*weights.shape[:-1], NUM_BINS)
    if isinstance(weights, np.ndarray):
        encoded = np.zeros(shape, weights.dtype)
        np.put_along_axis(encoded, bins, weights, axis=-1)
        return encoded
    import jax.numpy as jnp

    column = jnp.arange(NUM_BINS).reshape((1,) * (weights.ndim - 1) + (-1,))
    encoded = jnp.zeros(shape, weights.dtype)
    for rank in range(k):
        encoded += jnp.where(bins[..., rank, None] == column, weights[..., rank, None], 0.0)
    return encoded


def nearest_bins(ab: Any, k: int = 5, sigma: float = 5.0) -> tuple[Array, Array]:
    """Returns the soft encoding in sparse form: k bins and their weights; see `soft_encode`.

    Args:
        ab: (..., 2) floating point, Lab units.
        k: number of bins, 1 ... 313.
        sigma: width in ab units, above 0.

    Returns:
        The bins (..., k), int32, the nearest first, and their weights (..., k) in the dtype and
        kind of `ab`; each row of weights sums to 1.

    Raises:
        ValueError: as `soft_encode`.
    """
    ab = float_array(ab, "ab")
    check_last_axis(ab, 2, "ab")
    if not 1 <= k <= NUM_BINS:
        raise ValueError(f"k must be in 1 ... {NUM_BINS}, got {k}")
    if not sigma > 0:
        raise ValueError(f"sigma must be above 0, got {sigma}")
    if is_jax(ab):
        return _nearest_bins_jax(ab, k, sigma)
    squared = _squared_distances(ab)
    bins = np.argsort(squared, axis=-1, kind="stable")[..., :k].astype(np.int32)
    closest = np.take_along_axis(squared, bins, axis=-1)
    weights = np.exp((closest[..., :1] - closest) / (2 * sigma**2))
    return bins, weights / weights.sum(axis=-1, keepdims=True)


@functools.cache
def _neighbor_bins(k: int) -> np.ndarray:
    """Returns (313, C) int32: for each bin, the candidates for the k nearest bins of its colors.

    A color is at most 5 units from its bin along each axis. So its k nearest bins are within the
    k-th distance of that bin plus half the diagonal of a cell. Rows are padded with 313.
    """
    bins = _bins()
    apart = np.abs(bins[:, None] - bins)
    half = SPACING / 2
    reach = np.sort(np.hypot(*apart.T), axis=-1)[:, k - 1 : k] + half * np.sqrt(2) + 1e-6
    is_near = np.hypot(*np.maximum(apart - half, 0).T) <= reach
    width = is_near.sum(axis=-1).max()
    order = np.argsort(~is_near, axis=-1, kind="stable")[:, :width]
    return np.where(np.take_along_axis(is_near, order, axis=-1), order, NUM_BINS).astype(np.int32)


def _nearest_bins_jax(ab: jax.Array, k: int, sigma: float) -> tuple[jax.Array, jax.Array]:
    """Searches the neighbors of the rounded color only: ten times as fast as a search of all."""
    import jax.numpy as jnp
    from jax import lax

    cells = _cells(jnp, ab)
    own = jnp.asarray(_bin_of_cell())[cells[..., 0], cells[..., 1]]
    every = jnp.arange(NUM_BINS, dtype=jnp.int32).reshape((1,) * own.ndim + (-1,))
    return lax.cond(
        jnp.any(own < 0),  # colors far outside sRGB
        lambda: _nearest_among(ab, every, k, sigma),
        lambda: _nearest_among(ab, jnp.asarray(_neighbor_bins(k))[own], k, sigma),
    )


def _nearest_among(
    ab: jax.Array, bins: jax.Array, k: int, sigma: float
) -> tuple[jax.Array, jax.Array]:
    """Returns the k candidate bins nearest to colors (..., 2), and their weights.

    `bins` are the candidates, (..., C) or a shape that broadcasts to it; 313: none.
    """
    import jax
    import jax.numpy as jnp

    centers = jnp.asarray(np.append(_bins(), [[np.inf, np.inf]], axis=0), ab.dtype)[bins]
    squared = jnp.sum(jnp.square(ab[..., None, :] - centers), axis=-1)
    nearest, distances = [], []
    for _ in range(k):  # faster than lax.top_k on a CPU
        index = jnp.argmin(squared, axis=-1, keepdims=True)
        nearest.append(jnp.take_along_axis(bins, index, axis=-1))
        distances.append(jnp.take_along_axis(squared, index, axis=-1))
        column = jnp.arange(bins.shape[-1]).reshape((1,) * (ab.ndim - 1) + (-1,))
        squared = jnp.where(column == index, jnp.inf, squared)
    weights = jax.nn.softmax(jnp.concatenate(distances, axis=-1) / (-2 * sigma**2), axis=-1)
    return jnp.concatenate(nearest, axis=-1), weights


def annealed_mean(logits: Any, temperature: float = 0.38, centers: Any = None) -> Array:
    """Decodes a distribution over bins into one color (Zhang et al. 2016, equation 5).

    Takes the mean of f_T(z) = exp(log(z) / T) / sum exp(log(z) / T), in float32 and log space.

    Args:
        logits: (..., 313) floating point: logarithms of probabilities, up to a constant.
        temperature: T >= 0. 1: the mean of the distribution; 0: its mode (the first of equal
            ones); in between: the annealed mean.
        centers: (313, 2) colors of the bins; None: `ab_bins()`.

    Returns:
        (..., 2) float32, in the units of `centers`: Lab.

    Raises:
        ValueError: `logits` is not (..., 313) or holds integers, or the temperature is negative.

    >>> logits = np.zeros(313)
    >>> logits[nearest_bin(np.array([20.0, 30.0]))] = 9
    >>> annealed_mean(logits, 0)
    array([20., 30.], dtype=float32)
    """
    logits = float_array(logits, "logits")
    check_last_axis(logits, NUM_BINS, "logits")
    if not temperature >= 0:
        raise ValueError(f"temperature must be at least 0, got {temperature}")
    xp = namespace(logits, centers)
    logits = xp.asarray(logits, np.float32)
    centers = xp.asarray(_bins() if centers is None else centers, np.float32)
    if temperature == 0:
        return centers[xp.argmax(logits, axis=-1)]
    scaled = (logits - xp.max(logits, axis=-1, keepdims=True)) / np.float32(temperature)
    weights = xp.exp(scaled)
    shares = weights / xp.sum(weights, axis=-1, keepdims=True)
    # HIGHEST: accelerators round the products of a plain matmul to TF32 or bfloat16.
    if xp is np:
        return shares @ centers
    return xp.matmul(shares, centers, precision="highest")


def rebalancing_weights(prior: Any, lam: float = 0.5) -> np.ndarray:
    """Returns the loss weight of each bin (Zhang et al. 2016, equation 4).

    w_q = c / ((1 - lam) p_q + lam u), u = 1 / (number of bins with p > 0), c such that
    sum_q p_q w_q = 1. (The paper writes u = 1 / Q; no bin of its prior is empty.)

    Args:
        prior: (313,) share of pixels in each bin, at least 0; scaled to sum 1.
        lam: share of the uniform distribution; 1: all weights are 1. With 0 the
            weight of an empty bin would be infinite.

    Returns:
        (313,) float32.

    Raises:
        ValueError: `prior` is not (313,), has a negative value or no positive one; `lam` is not in
            [0, 1], or is 0 although a bin is empty.
    """
    prior = np.asarray(prior, np.float64)
    if prior.shape != (NUM_BINS,):
        raise ValueError(f"prior must have shape ({NUM_BINS},), got {prior.shape}")
    if not (np.all(np.isfinite(prior)) and prior.min() >= 0 and prior.sum() > 0):
        raise ValueError("prior must hold shares of pixels: finite, at least 0, not all 0")
    if not 0 <= lam <= 1:
        raise ValueError(f"lam must be in [0, 1], got {lam}")
    prior = prior / prior.sum()
    mixed = (1 - lam) * prior + lam / np.count_nonzero(prior)
    if mixed.min() == 0:
        raise ValueError("lam is 0 and the prior has empty bins: their weight would be infinite")
    weights = 1 / mixed
    return (weights / np.sum(prior * weights)).astype(np.float32)
