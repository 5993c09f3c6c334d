"""Per-image errors between two images: in RGB, and in the ab plane of Lab.

RGB is on the uint8 scale, rounded to whole values, in any dtype.
"""

from typing import Any

from colorjax.color.arrays import Array, namespace
from colorjax.metrics.inputs import image_pair

_PEAK = 255.0
SMALLEST_MSE = 1e-10  # equal images: 148.13 dB instead of infinity


def mse(rgb_a: Any, rgb_b: Any) -> Array:
    """Returns the mean squared error over the pixels and the three channels of each image.

    Args:
        rgb_a: (..., H, W, 3) sRGB in [0, 255], rounded; any real dtype.
        rgb_b: the same shape.

    Returns:
        (...,) floating point, in squared uint8 units.

    Raises:
        ValueError: if a shape is not (..., H, W, 3), or the shapes differ.
    """
    rgb_a, rgb_b = image_pair(rgb_a, rgb_b, ("rgb_a", "rgb_b"), 3)
    xp = namespace(rgb_a, rgb_b)
    return xp.mean(xp.square(rgb_a - rgb_b), axis=(-3, -2, -1))


def mae_rgb(rgb_a: Any, rgb_b: Any) -> Array:
    """Returns the mean absolute error over the pixels and three channels of each image.

    Args:
        rgb_a: (..., H, W, 3) sRGB in [0, 255], rounded; any real dtype.
        rgb_b: the same shape.

    Returns:
        (...,) floating point, in uint8 units.

    Raises:
        ValueError: if a shape is not (..., H, W, 3), or the shapes differ.
    """
    rgb_a, rgb_b = image_pair(rgb_a, rgb_b, ("rgb_a", "rgb_b"), 3)
    return namespace(rgb_a, rgb_b).mean(abs(rgb_a - rgb_b), axis=(-3, -2, -1))


def psnr(rgb_a: Any, rgb_b: Any) -> Array:
    """Returns the PSNR of each image: 10 log10(255^2 / MSE), MSE at least 1e-10.

    Args:
        rgb_a: (..., H, W, 3) sRGB in [0, 255], rounded; any real dtype.
        rgb_b: the same shape.

    Returns:
        (...,) floating point, in dB; 148.13 for equal images.

    Raises:
        ValueError: if a shape is not (..., H, W, 3), or the shapes differ.

    >>> import numpy as np
    >>> round(float(psnr(np.full((8, 8, 3), 100), np.full((8, 8, 3), 110))), 2)
    28.13
    """
    return psnr_of_mse(mse(rgb_a, rgb_b))


def psnr_of_mse(error: Any) -> Array:
    """Returns 10 log10(255^2 / MSE) in dB, MSE at least 1e-10, of mean squared errors of RGB."""
    xp = namespace(error)
    return 10.0 * xp.log10(_PEAK**2 / xp.maximum(error, SMALLEST_MSE))


def mae_ab(ab_a: Any, ab_b: Any) -> Array:
    """Returns the mean absolute error over the pixels and both ab channels of each image.

    Args:
        ab_a: (..., H, W, 2) ab in Lab units.
        ab_b: the same shape.

    Returns:
        (...,) floating point, in Lab units.

    Raises:
        ValueError: if a shape is not (..., H, W, 2), or the shapes differ.
    """
    ab_a, ab_b = image_pair(ab_a, ab_b, ("ab_a", "ab_b"), 2)
    xp = namespace(ab_a, ab_b)
    return xp.mean(xp.abs(ab_a - ab_b), axis=(-3, -2, -1))


def rmse_ab(ab_a: Any, ab_b: Any) -> Array:
    """Returns the root mean squared distance in the ab plane of each image.

    sqrt(mean((a_a - a_b)^2 + (b_a - b_b)^2)), the vector form. The form that averages the two
    channels is smaller by sqrt(2).

    Args:
        ab_a: (..., H, W, 2) ab in Lab units.
        ab_b: the same shape.

    Returns:
        (...,) floating point, in Lab units.

    Raises:
        ValueError: if a shape is not (..., H, W, 2), or the shapes differ.
    """
    ab_a, ab_b = image_pair(ab_a, ab_b, ("ab_a", "ab_b"), 2)
    xp = namespace(ab_a, ab_b)
    squared_distance = xp.sum(xp.square(ab_a - ab_b), axis=-1)
    return xp.sqrt(xp.mean(squared_distance, axis=(-2, -1)))
