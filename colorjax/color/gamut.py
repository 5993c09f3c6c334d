"""Gamut mapping: moves Lab colors into sRGB at fixed lightness and hue."""

from collections.abc import Callable
from typing import Any

import numpy as np

from colorjax.color import cie
from colorjax.color.arrays import Array, color_array, namespace

Bounds = tuple[Array, Array]

# Bisections of the interval of chroma factors: 2 ** -16 of the largest chroma, 180, is 0.003.
_BISECTION_STEPS = 16

# A channel may leave [0, 1] by this much, in linear light, and still count as inside. It exceeds
# the float32 rounding error of a round trip of sRGB colors through Lab. The clip that follows
# changes L by at most 903.3 * 5e-6 = 0.0045, near black.
_LINEAR_TOLERANCE = 5e-6


def shrink_chroma(lab: Any) -> Array:
    """Scales ab toward gray, at fixed lightness and hue, until the color is inside sRGB.

    The result is (L, s a, s b), with s in [0, 1] from a fixed number of bisection steps. Colors
    inside sRGB are returned unchanged. Gradients treat s as a constant.

    Args:
        lab: (..., 3) floating point. L is clipped to [0, 100]; a and b may have any finite value.

    Returns:
        (..., 3) Lab in the kind and dtype of `lab`. After `lab_to_rgb`, L is kept within 0.01, and
        within 0.392 (1/255 of its range) once the RGB is rounded to 8 bits.

    Raises:
        ValueError: if `lab` is not (..., 3) or holds integers.

    >>> shrink_chroma(np.array([[50.0, 10.0, 10.0], [50.0, 200.0, 0.0]])).round(1).tolist()
    [[50.0, 10.0, 10.0], [50.0, 79.0, 0.0]]
    """
    lab = color_array(lab, "lab")
    xp = namespace(lab)
    lightness = xp.clip(lab[..., :1], 0.0, 100.0)
    ab = lab[..., 1:]
    factor = _largest_factor(xp, lightness, ab)
    return xp.concatenate([lightness, factor * ab], axis=-1)


def inside_srgb(lab: Any) -> Array:
    """Returns which colors are inside sRGB: those that `shrink_chroma` does not change.

    Args:
        lab: (..., 3) floating point.

    Returns:
        (...) bool, in the kind of `lab`.

    Raises:
        ValueError: if `lab` is not (..., 3) or holds integers.

    >>> inside_srgb(np.array([[50.0, 10.0, 10.0], [50.0, 200.0, 0.0]])).tolist()
    [True, False]
    """
    lab = color_array(lab, "lab")
    return _fits(namespace(lab), lab)


def _fits(xp: Any, lab: Array) -> Array:
    linear = cie.linear_from_lab(xp, lab)
    if xp is np:  # NumPy reduces a last axis of length 3 at a tenth of this speed
        r, g, b = (linear[..., channel] for channel in range(3))
        low, high = np.minimum(np.minimum(r, g), b), np.maximum(np.maximum(r, g), b)
    else:
        low, high = xp.min(linear, axis=-1), xp.max(linear, axis=-1)
    return (low >= -_LINEAR_TOLERANCE) & (high <= 1.0 + _LINEAR_TOLERANCE)


def _largest_factor(xp: Any, lightness: Array, ab: Array) -> Array:
    """Returns the chroma factor (..., 1) in [0, 1]: one tested to be inside, or 0 or 1."""
    if xp is not np:
        import jax

        lightness, ab = jax.lax.stop_gradient((lightness, ab))

    def inside(factor: Array) -> Array:
        return _fits(xp, xp.concatenate([lightness, factor * ab], axis=-1))[..., None]

    def halve(_: Any, bounds: Bounds) -> Bounds:
        low, high = bounds
        middle = 0.5 * (low + high)
        fits = inside(middle)
        return xp.where(fits, middle, low), xp.where(fits, high, middle)

    nothing, everything = xp.zeros_like(lightness), xp.ones_like(lightness)
    low, _ = _repeat(xp, _BISECTION_STEPS, halve, (nothing, everything))
    return xp.where(inside(everything), everything, low)


def _repeat(xp: Any, steps: int, body: Callable[[Any, Bounds], Bounds], bounds: Bounds) -> Bounds:
    """Loops in Python for NumPy; for JAX with `fori_loop`, which compiles the body once."""
    if xp is not np:
        import jax

        return jax.lax.fori_loop(0, steps, body, bounds)
    for step in range(steps):
        bounds = body(step, bounds)
    return bounds
