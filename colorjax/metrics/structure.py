"""Structural similarity (Wang, Bovik, Sheikh and Simoncelli 2004)."""

from typing import Any

import numpy as np

from colorjax.color.arrays import Array, namespace
from colorjax.metrics.inputs import image_pair

WINDOW = 11  # pixels
_SIGMA = 1.5
_C1 = (0.01 * 255.0) ** 2
_C2 = (0.03 * 255.0) ** 2
_MIDDLE = 127.5


def _gaussian_window() -> list[float]:
    offsets = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-0.5 * np.square(offsets / _SIGMA))
    return (weights / weights.sum()).tolist()


_WEIGHTS = _gaussian_window()


def ssim(rgb_a: Any, rgb_b: Any) -> Array:
    """Returns the mean structural similarity of each image, averaged over the RGB channels.

    With means mu, variances v and covariance c in a Gaussian window of 11 pixels, sigma 1.5, over
    the positions where the window lies inside the image:
    (2 mu_a mu_b + C1) (2 c + C2) / ((mu_a^2 + mu_b^2 + C1) (v_a + v_b + C2)),
    C1 = (0.01 * 255)^2, C2 = (0.03 * 255)^2. Equal to scikit-image's `structural_similarity` with
    `gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255`; its default
    window differs and gives other values.

    Args:
        rgb_a: (..., H, W, 3) sRGB in [0, 255], rounded; any real dtype; H and W at least 11.
        rgb_b: the same shape.

    Returns:
        (...,) floating point in [-1, 1]; 1 for equal images.

    Raises:
        ValueError: if a shape is not (..., H, W, 3), the shapes differ, or a side is below 11.
    """
    rgb_a, rgb_b = image_pair(rgb_a, rgb_b, ("rgb_a", "rgb_b"), 3)
    height, width = rgb_a.shape[-3:-1]
    if min(height, width) < WINDOW:
        raise ValueError(
            f"rgb_a and rgb_b must be at least {WINDOW} pixels high and wide for ssim, got "
            f"{height} x {width}"
        )
    xp = namespace(rgb_a, rgb_b)
    # (Co)variances do not change with the origin; the middle of the range rounds least in float32.
    a, b = rgb_a - _MIDDLE, rgb_b - _MIDDLE
    mean_a, mean_b = _window_mean(a), _window_mean(b)
    variance_a = _window_mean(a * a) - mean_a * mean_a
    variance_b = _window_mean(b * b) - mean_b * mean_b
    covariance = _window_mean(a * b) - mean_a * mean_b
    mean_a, mean_b = mean_a + _MIDDLE, mean_b + _MIDDLE
    luminance = (2.0 * mean_a * mean_b + _C1) / (mean_a * mean_a + mean_b * mean_b + _C1)
    contrast_structure = (2.0 * covariance + _C2) / (variance_a + variance_b + _C2)
    return xp.mean(luminance * contrast_structure, axis=(-3, -2, -1))


def _window_mean(channels: Array) -> Array:
    """Returns Gaussian means over inner windows: (..., H, W, C) -> (..., H-10, W-10, C)."""
    height, width = (size - WINDOW + 1 for size in channels.shape[-3:-1])
    rows: Any = sum(w * channels[..., i : i + height, :, :] for i, w in enumerate(_WEIGHTS))
    means: Any = sum(w * rows[..., i : i + width, :] for i, w in enumerate(_WEIGHTS))
    return means
