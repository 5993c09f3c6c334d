"""Fast conversion of Lab to sRGB for previews: one look-up per pixel."""

from __future__ import annotations

import functools

import jax
import numpy as np
from scipy import ndimage

from colorjax import color

# Steps of the table. A color is at most half a step away from its entry in a and b, less than can
# be seen in a moving preview; colors outside the ranges are outside sRGB at every lightness.
_LEVELS = 256  # of L
_STEP = 1.5  # of a and b
_A, _B = (-88.5, 99.0), (-109.5, 96.0)  # ranges of sRGB
_CHUNK = 16  # levels of L that are converted at a time
_HUES = 360
_ABOVE_ALL = 180.0  # a chroma outside sRGB at every lightness and hue
_NUM_A, _NUM_B = (round((high - low) / _STEP) + 1 for low, high in (_A, _B))


@functools.cache
def table() -> np.ndarray:
    """Returns the sRGB of Lab colors, inside sRGB at their own lightness and hue.

    Returns:
        (256 * number of a * number of b,) uint32, each the bytes R, G, B and 255.
    """
    a, b = (np.arange(n) * _STEP + low for n, (low, _) in ((_NUM_A, _A), (_NUM_B, _B)))
    a, b = np.meshgrid(a, b, indexing="ij")
    levels = np.arange(_LEVELS) * (100 / (_LEVELS - 1))
    chroma = np.maximum(np.hypot(a, b), 1e-3)
    hue = np.degrees(np.arctan2(b, a))
    # Of the neighbors too: the limit falls steeply near yellow. Clipping does the small rest.
    most = ndimage.maximum_filter(_most_chroma(levels), 3, mode=("nearest", "wrap"))
    convert = jax.jit(functools.partial(color.lab_to_rgb_u8, gamut="clip"))
    result = np.full((_LEVELS, _NUM_A, _NUM_B, 4), 255, np.uint8)
    for first in range(0, _LEVELS, _CHUNK):
        chunk = slice(first, first + _CHUNK)
        limits = most[chunk, np.rint(hue).astype(int) % _HUES]
        factor = np.minimum(1, limits / chroma)
        lightness = np.broadcast_to(levels[chunk, None, None], factor.shape)
        lab = np.stack([lightness, factor * a, factor * b], axis=-1).astype(np.float32)
        result[chunk, ..., :3] = convert(lab)
    return result.reshape(-1, 4).view(np.uint32)[:, 0]


def _most_chroma(levels: np.ndarray) -> np.ndarray:
    """Returns the largest chroma inside sRGB, (number of levels, 360), at each degree of hue."""
    hue = np.radians(np.arange(_HUES))
    shape = (len(levels), len(hue))
    lab = np.stack(
        [
            np.broadcast_to(levels[:, None], shape),
            np.broadcast_to(_ABOVE_ALL * np.cos(hue), shape),
            np.broadcast_to(_ABOVE_ALL * np.sin(hue), shape),
        ],
        axis=-1,
    )
    inside = np.asarray(jax.jit(color.shrink_chroma)(lab.astype(np.float32)))
    return np.hypot(inside[..., 1], inside[..., 2])


def to_rgbx(planes: tuple[np.ndarray, ...]) -> np.ndarray:
    """Returns the sRGB of planes L, a and b, (n, W) float32 each.

    Returns:
        (n, W, 4) uint8: R, G, B and 255. Exact to 1.5 units of a and b and 0.4 of L.
    """
    lightness, a, b = planes
    index = _steps(lightness, 0.0, 100 / (_LEVELS - 1), _LEVELS)
    index *= _NUM_A
    index += _steps(a, _A[0], _STEP, _NUM_A)
    index *= _NUM_B
    index += _steps(b, _B[0], _STEP, _NUM_B)
    return np.take(table(), index, mode="clip").view(np.uint8).reshape(*index.shape, 4)


def _steps(plane: np.ndarray, low: float, step: float, number: int) -> np.ndarray:
    """Returns the nearest step of each value, int32."""
    scaled = np.multiply(plane, np.float32(1 / step), dtype=np.float32)
    scaled += np.float32(0.5 - low / step)
    np.clip(scaled, 0, number - 1, out=scaled)
    return scaled.astype(np.int32)
