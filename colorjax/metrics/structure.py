"""Structural similarity of RGB and of ab, at one scale and at several.

Wang, Bovik, Sheikh and Simoncelli 2004; several scales: Wang, Simoncelli and Bovik 2003.
"""

from typing import Any

import numpy as np

from colorjax.color.arrays import Array, namespace
from colorjax.metrics.inputs import image_pair

WINDOW = 11  # pixels
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of Wang et al. 2003, the finest first
_SIGMA = 1.5
# The range of 8-bit RGB, and of a and b in 8-bit Lab: C1 = 6.5 and C2 = 58.5.
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
    # The middle of the range rounds least in float32.
    luminance, contrast_structure = ssim_terms(rgb_a - _MIDDLE, rgb_b - _MIDDLE, _MIDDLE)
    return namespace(rgb_a, rgb_b).mean(luminance * contrast_structure, axis=(-3, -2, -1))


def ssim_ab(ab_a: Any, ab_b: Any) -> Array:
    """Returns the mean structural similarity of a and b of each image, the mean of both channels.

    As `ssim`, with the same window and the same constants (data range 255, that of 8-bit Lab), but
    of a and b as signed numbers: the first factor has the sign of mu_a mu_b, so that a color and
    its opposite are dissimilar. On a and b shifted to 0 ... 255, as OpenCV stores them, that factor
    is nearly 1 everywhere.

    Args:
        ab_a: (..., H, W, 2) ab in Lab units; H and W at least 11.
        ab_b: the same shape.

    Returns:
        (...,) floating point in [-1, 1]; 1 for equal images.

    Raises:
        ValueError: if a shape is not (..., H, W, 2), the shapes differ, or a side is below 11.
    """
    ab_a, ab_b = _large_pair(ab_a, ab_b, "ssim_ab")
    luminance, contrast_structure = ssim_terms(ab_a, ab_b)
    return namespace(ab_a, ab_b).mean(luminance * contrast_structure, axis=(-3, -2, -1))


def ms_ssim_ab(ab_a: Any, ab_b: Any) -> Array:
    """Returns the multi-scale structural similarity of a and b of each image.

    For each channel prod_j cs_j^w_j * s_M^w_M, with cs_j the mean of the second factor of `ssim_ab`
    at scale j, s_M the mean of the whole product at the coarsest scale, and the weights of Wang et
    al. 2003; the mean of both channels. Each scale halves the image by the mean of 2x2 pixels. A
    negative mean counts as 0, as in PyTorch packages: its power is not real.

    Scales into which the window of 11 pixels does not fit are omitted and the weights of the others
    divided by their sum: all five scales need sides of at least 176 pixels, and values with
    different numbers of scales are not comparable.

    Args:
        ab_a: (..., H, W, 2) ab in Lab units; H and W at least 11.
        ab_b: the same shape.

    Returns:
        (...,) floating point in [0, 1]; 1 for equal images.

    Raises:
        ValueError: as `ssim_ab`.
    """
    return ssim_and_ms_ssim_ab(ab_a, ab_b)[1]


def ssim_and_ms_ssim_ab(ab_a: Any, ab_b: Any) -> tuple[Array, Array]:
    """Returns `ssim_ab` and `ms_ssim_ab`, which share the finest scale."""
    ab_a, ab_b = _large_pair(ab_a, ab_b, "ms_ssim_ab")
    xp = namespace(ab_a, ab_b)
    fitting = [k for k in range(len(SCALE_WEIGHTS)) if min(ab_a.shape[-3:-1]) >> k >= WINDOW]
    weights = np.array(SCALE_WEIGHTS[: len(fitting)])
    product, finest = xp.ones((), ab_a.dtype), None
    for scale, weight in enumerate((weights / weights.sum()).tolist()):
        luminance, contrast_structure = ssim_terms(ab_a, ab_b)
        if scale == 0:
            finest = xp.mean(luminance * contrast_structure, axis=(-3, -2, -1))
        is_last = scale == len(fitting) - 1
        similarity = luminance * contrast_structure if is_last else contrast_structure
        product = product * xp.maximum(xp.mean(similarity, axis=(-3, -2)), 0) ** weight
        ab_a, ab_b = halved(ab_a), halved(ab_b)
    return finest, xp.mean(product, axis=-1)


def _large_pair(ab_a: Any, ab_b: Any, metric: str) -> tuple[Array, Array]:
    ab_a, ab_b = image_pair(ab_a, ab_b, ("ab_a", "ab_b"), 2)
    height, width = ab_a.shape[-3:-1]
    if min(height, width) < WINDOW:
        raise ValueError(
            f"ab_a and ab_b must be at least {WINDOW} pixels high and wide for {metric}, got "
            f"{height} x {width}"
        )
    return ab_a, ab_b


def ssim_terms(a: Array, b: Array, origin: float = 0.0) -> tuple[Array, Array]:
    """Returns both factors of SSIM, (..., H-10, W-10, C), of values minus `origin`."""
    mean_a, mean_b = _window_mean(a), _window_mean(b)
    variance_a = _window_mean(a * a) - mean_a * mean_a
    variance_b = _window_mean(b * b) - mean_b * mean_b
    covariance = _window_mean(a * b) - mean_a * mean_b
    mean_a, mean_b = mean_a + origin, mean_b + origin
    luminance = (2.0 * mean_a * mean_b + _C1) / (mean_a * mean_a + mean_b * mean_b + _C1)
    return luminance, (2.0 * covariance + _C2) / (variance_a + variance_b + _C2)


def halved(channels: Array) -> Array:
    """Returns means of 2x2 pixels; an odd last row or column is dropped."""
    height, width = (size - size % 2 for size in channels.shape[-3:-1])
    rows = channels[..., 0:height:2, :width, :] + channels[..., 1:height:2, :width, :]
    return 0.25 * (rows[..., 0::2, :] + rows[..., 1::2, :])


def _window_mean(channels: Array) -> Array:
    """Returns Gaussian means over inner windows: (..., H, W, C) -> (..., H-10, W-10, C)."""
    height, width = (size - WINDOW + 1 for size in channels.shape[-3:-1])
    rows: Any = sum(w * channels[..., i : i + height, :, :] for i, w in enumerate(_WEIGHTS))
    means: Any = sum(w * rows[..., i : i + width, :] for i, w in enumerate(_WEIGHTS))
    return means
