"""Color histogram of a picture without positions: the global hint of Zhang et al. 2017."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from colorjax.color.arrays import Array, check_last_axis, float_array, namespace
from colorjax.color.bins import NUM_BINS, nearest_bins, soft_encode
from colorjax.color.scaling import AB_SCALE

if TYPE_CHECKING:
    import jax

PALETTE_SIZE = NUM_BINS + 1


def palette(ab: Any) -> Array:
    """Returns the color histogram of pictures over the bins, and their mean chroma.

    Args:
        ab: (..., H, W, 2) floating point, Lab units.

    Returns:
        (..., 314) in the kind of `ab`: the mean of the soft encoding (k = 5, sigma = 5) over the
        pixels, which sums to 1, then the mean chroma over 110.

    Raises:
        ValueError: `ab` is not (..., 2) or holds integers.

    >>> palette(np.zeros((8, 8, 2)))[-1]
    np.float64(0.0)
    """
    ab = float_array(ab, "ab")
    check_last_axis(ab, 2, "ab")
    xp = namespace(ab)
    shares = xp.mean(soft_encode(ab), axis=(-3, -2)) if xp is np else _mean_shares(ab)
    # Squares before the root: the chroma of gray has a gradient too, where one is asked for.
    chroma = xp.mean(xp.sqrt(xp.sum(xp.square(ab), axis=-1)), axis=(-2, -1))
    return xp.concatenate([shares, chroma[..., None] / np.float32(AB_SCALE)], axis=-1)


def palette_input(ab: Any) -> Array:
    """Returns the input `global_colors` that requests the colors of these pictures.

    Args:
        ab: (N, H, W, 2) float, Lab units.

    Returns:
        (N, 315): `palette`, followed by a 1 as the flag "palette given".
    """
    colors = palette(ab)
    xp = namespace(colors)
    return xp.concatenate([colors, xp.ones((len(ab), 1), colors.dtype)], axis=-1)


def _mean_shares(ab: jax.Array) -> jax.Array:
    """Returns (..., 313): the mean soft encoding, without storing that of each pixel."""
    import jax.numpy as jnp

    *leading, height, width, _ = ab.shape
    bins, weights = (x.reshape(-1, height * width * x.shape[-1]) for x in nearest_bins(ab))
    pictures = jnp.arange(len(bins))[:, None]
    sums = jnp.zeros((len(bins), NUM_BINS), ab.dtype).at[pictures, bins].add(weights)
    return sums.reshape(*leading, NUM_BINS) / (height * width)
