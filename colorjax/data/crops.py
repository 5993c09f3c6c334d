"""Regions of photos: center squares and random regions, to be resized to a square."""

from __future__ import annotations

import math

import numpy as np

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
