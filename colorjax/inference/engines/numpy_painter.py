"""Conversion of Lab to the pixels of a photo, in NumPy."""

from __future__ import annotations

import numpy as np

from colorjax import color
from colorjax.color.lab import Gamut


def paint(planes: tuple[np.ndarray, ...], *, is_8_bit: bool) -> np.ndarray:
    """Returns sRGB (n, W, 3), uint8 or float32 in [0, 1], of planes L, a and b, (n, W) each.

    Colors outside sRGB lose chroma, never lightness.
    """
    lab = np.stack(planes, axis=-1).astype(np.float32, copy=False)
    rgb = _encoded(lab, "clip", is_8_bit)
    outside = ~color.inside_srgb(lab)
    if outside.any():  # often a tenth of a photo; its chroma takes 16 bisection steps
        rgb[outside] = _encoded(lab[outside], "shrink_chroma", is_8_bit)
    return rgb


def _encoded(lab: np.ndarray, gamut: Gamut, is_8_bit: bool) -> np.ndarray:
    return color.lab_to_rgb_u8(lab, gamut) if is_8_bit else color.lab_to_rgb(lab, gamut)
