"""CIEDE2000, the perceptual difference of two colors (Sharma, Wu and Dalal 2005)."""

import math
from typing import Any

from colorjax.color.arrays import Array, color_array, namespace
from colorjax.metrics.inputs import image_pair

_TURN = 2.0 * math.pi
# Hues this much more than half a turn apart count as half a turn: of opposite hues, where CIEDE2000
# jumps, float32 must choose the same side as exact arithmetic.
_HUE_ROUNDING = 2e-6


def delta_e_2000(lab_a: Any, lab_b: Any) -> Array:
    """Returns the mean CIEDE2000 over the pixels of each image; see `delta_e_2000_pixels`.

    Args:
        lab_a: (..., H, W, 3) Lab, L in [0, 100].
        lab_b: the same shape.

    Returns:
        (...,) floating point, at least 0; about 1 is a just noticeable difference.

    Raises:
        ValueError: if a shape is not (..., H, W, 3), or the shapes differ.
    """
    lab_a, lab_b = image_pair(lab_a, lab_b, ("lab_a", "lab_b"), 3)
    return namespace(lab_a, lab_b).mean(delta_e_2000_pixels(lab_a, lab_b), axis=(-2, -1))


def delta_e_2000_p90(lab_a: Any, lab_b: Any) -> Array:
    """Returns the 90th percentile of CIEDE2000 over the pixels of each image.

    A tenth of the pixels differs more; between two pixels it is interpolated linearly.

    Args:
        lab_a: (..., H, W, 3) Lab, L in [0, 100].
        lab_b: the same shape.

    Returns:
        (...,) floating point, at least 0.

    Raises:
        ValueError: as `delta_e_2000`.
    """
    lab_a, lab_b = image_pair(lab_a, lab_b, ("lab_a", "lab_b"), 3)
    pixels = delta_e_2000_pixels(lab_a, lab_b)
    return namespace(lab_a, lab_b).percentile(pixels, 90, axis=(-2, -1)).astype(pixels.dtype)


def delta_e_2000_pixels(lab_a: Any, lab_b: Any) -> Array:
    """Returns CIEDE2000 of pairs of colors, with kL = kC = kH = 1.

    With C the mean of the two chromas and g(C) = sqrt(C^7 / (C^7 + 25^7)), a' = (1.5 - g(C) / 2) a;
    C' and h' are the chroma and hue of (a', b), and primed means and differences are theirs:
    sqrt((dL / SL)^2 + (dC' / SC)^2 + (dH' / SH)^2 + RT (dC' / SC) (dH' / SH)),
    dH' = 2 sqrt(C'_a C'_b) sin(dh' / 2),
    SL = 1 + 0.015 (L - 50)^2 / sqrt(20 + (L - 50)^2), SC = 1 + 0.045 C', SH = 1 + 0.015 C' T,
    T = 1 - 0.17 cos(h' - 30) + 0.24 cos(2 h') + 0.32 cos(3 h' + 6) - 0.2 cos(4 h' - 63),
    RT = -2 g(C') sin(60 exp(-((h' - 275) / 25)^2)), in degrees.
    It is symmetric. Gray has no hue: dH' is 0 there.

    Args:
        lab_a: (..., 3) floating-point Lab, L in [0, 100].
        lab_b: the same shape; nothing is broadcast.

    Returns:
        (...,) floating point, at least 0. Values are finite at gray; gradients there are not.

    Raises:
        ValueError: if a shape is not (..., 3), the shapes differ, or one holds integers.

    >>> import numpy as np
    >>> pair = np.array([[50.0, 2.5, 0.0], [73.0, 25.0, -18.0]])
    >>> round(float(delta_e_2000_pixels(*pair)), 4)
    27.1492
    """
    lab_a, lab_b = color_array(lab_a, "lab_a"), color_array(lab_b, "lab_b")
    if lab_a.shape != lab_b.shape:
        raise ValueError(
            f"lab_a and lab_b must have the same shape, got {tuple(lab_a.shape)} and "
            f"{tuple(lab_b.shape)}"
        )
    xp = namespace(lab_a, lab_b)
    lightness_a, a_a, b_a = lab_a[..., 0], lab_a[..., 1], lab_a[..., 2]
    lightness_b, a_b, b_b = lab_b[..., 0], lab_b[..., 1], lab_b[..., 2]

    stretch = 1.5 - 0.5 * _saturating(xp, 0.5 * (xp.hypot(a_a, b_a) + xp.hypot(a_b, b_b)))
    a_a, a_b = stretch * a_a, stretch * a_b
    chroma_a, chroma_b = xp.hypot(a_a, b_a), xp.hypot(a_b, b_b)
    chroma = 0.5 * (chroma_a + chroma_b)
    hue_step, hue = _hue_difference_and_mean(xp, _hue(xp, a_a, b_a), _hue(xp, a_b, b_b))

    centered = xp.square(0.5 * (lightness_a + lightness_b) - 50.0)
    by_lightness = (lightness_b - lightness_a) / (1.0 + 0.015 * centered / xp.sqrt(20.0 + centered))
    by_chroma = (chroma_b - chroma_a) / (1.0 + 0.045 * chroma)
    ripple = (
        1.0
        - 0.17 * xp.cos(hue - math.radians(30.0))
        + 0.24 * xp.cos(2.0 * hue)
        + 0.32 * xp.cos(3.0 * hue + math.radians(6.0))
        - 0.20 * xp.cos(4.0 * hue - math.radians(63.0))
    )
    # The roots are taken apart: their product has no NaN and no overflow at any chroma.
    chord = 2.0 * xp.sqrt(chroma_a) * xp.sqrt(chroma_b) * xp.sin(0.5 * hue_step)
    by_hue = chord / (1.0 + 0.015 * chroma * ripple)
    is_blue = xp.exp(-xp.square((hue - math.radians(275.0)) / math.radians(25.0)))
    rotation = -2.0 * _saturating(xp, chroma) * xp.sin(math.radians(60.0) * is_blue)
    squared = xp.square(by_lightness) + xp.square(by_chroma) + xp.square(by_hue)
    # Never negative: |rotation| < 2 sin(60 degrees) < 2.
    return xp.sqrt(squared + rotation * by_chroma * by_hue)


def _saturating(xp: Any, chroma: Array) -> Array:
    ratio = chroma / 25.0
    cubed = ratio * ratio * ratio
    power = cubed * cubed * ratio
    return xp.sqrt(power / (1.0 + power))


def _hue(xp: Any, a: Array, b: Array) -> Array:
    return xp.mod(xp.arctan2(b, a), _TURN)  # 0 or pi for gray, by the signs of the zeros


def _hue_difference_and_mean(xp: Any, hue_a: Array, hue_b: Array) -> tuple[Array, Array]:
    """Returns the signed hue difference along the shorter arc, and the middle of that arc."""
    step = hue_b - hue_a
    is_over_zero = xp.abs(step) > math.pi + _HUE_ROUNDING
    middle = 0.5 * (hue_a + hue_b)
    other_side = xp.where(middle < math.pi, middle + math.pi, middle - math.pi)
    short_step = step - xp.sign(step) * _TURN
    return xp.where(is_over_zero, short_step, step), xp.where(is_over_zero, other_side, middle)
