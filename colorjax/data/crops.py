"""Crops and resizing: center crops and random resized crops."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from colorjax.data.decode import Box


def center_square(width: int, height: int) -> Box:
    """Returns the largest centered square of a photo.

    >>> center_square(6, 4)
    (1.0, 0.0, 5.0, 4.0)
    """
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return (left, top, left + side, top + side)


def random_resized(
    width: int,
    height: int,
    rng: np.random.Generator,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> Box:
    """Returns a random region, to be resized to a square (Szegedy et al. 2015).

    Args:
        width: of the photo, px.
        height: of the photo, px.
        rng: draws the region.
        scale: bounds of the region's share of the photo's area, in (0, 1].
        ratio: bounds of the region's width / height; drawn evenly in its logarithm.

    Returns:
        Box with whole-pixel edges inside the photo. A region that does not fit is clipped to
        the photo.
    """
    area = width * height * rng.uniform(*scale)
    aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
    box_width = min(width, max(1, round(math.sqrt(area * aspect))))
    box_height = min(height, max(1, round(math.sqrt(area / aspect))))
    left = int(rng.integers(width - box_width + 1))
    top = int(rng.integers(height - box_height + 1))
    return (left, top, left + box_width, top + box_height)


def cut_center_square(rgb: np.ndarray) -> np.ndarray:
    """Cuts the center square out of (H, W, 3)."""
    height, width = rgb.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return rgb[top : top + side, left : left + side]


def resized(rgb: np.ndarray, side: int, resampling: str) -> np.ndarray:
    """Resizes (H, W, 3) uint8 to a square, rounded to 8 bits; `side` 0 does not change it."""
    if side in (0, rgb.shape[0]) and side in (0, rgb.shape[1]):
        return rgb
    if resampling == "bicubic":
        image = Image.fromarray(np.ascontiguousarray(rgb))
        return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))
    rows, columns = (_areas(length, side) for length in rgb.shape[:2])
    averaged = np.einsum("ih,hwc,jw->ijc", rows, rgb.astype(np.float64), columns, optimize=True)
    return np.clip(np.rint(averaged), 0, 255).astype(np.uint8)


def _areas(length: int, side: int) -> np.ndarray:
    """Returns area overlaps (side, length): the weight of each old pixel in each new one."""
    edges = np.arange(side + 1) * (length / side)
    old = np.arange(length)
    high = np.minimum(edges[1:, None], old + 1)
    low = np.maximum(edges[:-1, None], old)
    return np.maximum(high - low, 0) / (length / side)
