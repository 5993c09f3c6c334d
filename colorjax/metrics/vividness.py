"""Colorfulness and chroma of an image, without a reference."""

from typing import Any

from colorjax.color.arrays import Array, namespace
from colorjax.metrics.inputs import images


def colorfulness(rgb: Any) -> Array:
    """Returns the colorfulness of each image (Hasler and Suesstrunk 2003).

    With rg = R - G and yb = (R + G) / 2 - B over the pixels of an image:
    sqrt(var(rg) + var(yb)) + 0.3 sqrt(mean(rg)^2 + mean(yb)^2), with population variances.

    Args:
        rgb: (..., H, W, 3) sRGB in [0, 255]; any real dtype.

    Returns:
        (...,) floating point, at least 0; 0 for gray, about 40 for photos.

    Raises:
        ValueError: if `rgb` is not (..., H, W, 3).

    >>> import numpy as np
    >>> red = np.zeros((4, 4, 3), np.uint8)
    >>> red[..., 0] = 255
    >>> round(float(colorfulness(red)), 2)
    85.53
    """
    return _strength(*_opponents(rgb))


def colorfulness_abs(rgb: Any) -> Array:
    """Returns the colorfulness of each image with |rg| and |yb|, as in much later code.

    The published formula has signed differences; see `colorfulness`.

    Args:
        rgb: (..., H, W, 3) sRGB in [0, 255]; any real dtype.

    Returns:
        (...,) floating point, at least 0.

    Raises:
        ValueError: if `rgb` is not (..., H, W, 3).
    """
    red_green, yellow_blue = _opponents(rgb)
    return _strength(abs(red_green), abs(yellow_blue))


def mean_chroma(ab: Any) -> Array:
    """Returns the mean chroma sqrt(a^2 + b^2) over the pixels of each image.

    Args:
        ab: (..., H, W, 2) ab in Lab units.

    Returns:
        (...,) floating point, in Lab units. The chroma ratio of a model is the sum of this over its
        predictions divided by the sum over the true photos.

    Raises:
        ValueError: if `ab` is not (..., H, W, 2).
    """
    ab = images(ab, "ab", 2)
    xp = namespace(ab)
    return xp.mean(xp.sqrt(xp.sum(xp.square(ab), axis=-1)), axis=(-2, -1))


def _opponents(rgb: Any) -> tuple[Array, Array]:
    rgb = images(rgb, "rgb", 3)
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    return red - green, 0.5 * (red + green) - blue


def _strength(red_green: Array, yellow_blue: Array) -> Array:
    xp = namespace(red_green)
    pixels = (-2, -1)
    spread = xp.sqrt(xp.var(red_green, axis=pixels) + xp.var(yellow_blue, axis=pixels))
    means = xp.square(xp.mean(red_green, axis=pixels)) + xp.square(
        xp.mean(yellow_blue, axis=pixels)
    )
    return spread + 0.3 * xp.sqrt(means)
