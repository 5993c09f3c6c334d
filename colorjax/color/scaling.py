"""Normalization of Lab for networks: lightness and ab are both roughly in [-1, 1]."""

from typing import Any

from colorjax.color.arrays import Array, float_array

AB_SCALE = 110.0


def normalize_lightness(lightness: Any) -> Array:
    """Maps L in [0, 100] to [-1, 1], as L / 50 - 1, for an array of any shape."""
    return float_array(lightness, "lightness") / 50.0 - 1.0


def denormalize_lightness(normalized: Any) -> Array:
    """Maps [-1, 1] to L in [0, 100]; the inverse of `normalize_lightness`."""
    return (float_array(normalized, "normalized") + 1.0) * 50.0


def rescale_gray(gray: Any, bounds: tuple[float, float]) -> Array:
    """Maps gray in [-1, 1] to (value of black, value of white), for an array of any shape.

    >>> float(rescale_gray(0.5, (0.0, 255.0)))
    191.25
    """
    low, high = bounds
    gray = float_array(gray, "gray")
    return gray if (low, high) == (-1, 1) else low + (gray + 1.0) * ((high - low) / 2)


def normalize_ab(ab: Any) -> Array:
    """Maps ab to ab / 110, which is in [-1, 1] for every sRGB color, for an array of any shape."""
    return float_array(ab, "ab") / AB_SCALE


def denormalize_ab(normalized: Any) -> Array:
    """Maps normalized ab back to Lab units; the inverse of `normalize_ab`."""
    return float_array(normalized, "normalized") * AB_SCALE
