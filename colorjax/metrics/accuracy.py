"""Accuracy: the share of pixels within a tolerance of the truth (Nazeri, Ng and Ebrahimi 2018)."""

import math
from typing import Any

from colorjax.color.arrays import Array, namespace
from colorjax.metrics.inputs import image_pair


def accuracy_within(lab: Any, true_lab: Any, percent: float) -> Array:
    """Returns the share of each image's pixels whose L, a and b are all within a tolerance.

    Every value is rounded to an integer, half to even. A pixel counts where |dL| <= percent,
    |da| <= 2.2 percent and |db| <= 2.2 percent: percentages of the ranges 0 ... 100 and
    -110 ... 110. The published numbers are for 2 and 5 percent.

    L counts. In the Lab of a finished picture it differs from the truth, because colors outside
    sRGB were clipped. Predictions joined with the true L have an easier task: use
    `accuracy_within_ab` for them.

    Args:
        lab: (..., H, W, 3) predicted Lab, L in [0, 100].
        true_lab: (..., H, W, 3) true Lab.
        percent: at least 0.

    Returns:
        (...,) floating point in [0, 1].

    Raises:
        ValueError: if a shape is not (..., H, W, 3), the shapes differ, or `percent` is negative.

    >>> import numpy as np
    >>> near, far = np.array([[[50.0, 11.0, 0.0]]]), np.array([[[50.0, 12.0, 0.0]]])
    >>> gray = np.array([[[50.0, 0.0, 0.0]]])
    >>> float(accuracy_within(near, gray, 5)), float(accuracy_within(far, gray, 5))
    (1.0, 0.0)
    """
    lab, true_lab = image_pair(lab, true_lab, ("lab", "true_lab"), 3)
    lightness_limit, ab_limit = _limits(percent)
    return _share_within(lab, true_lab, (lightness_limit, ab_limit, ab_limit))


def accuracy_within_ab(ab: Any, true_ab: Any, percent: float) -> Array:
    """Returns `accuracy_within` of a and b only, each within 2.2 percent; L does not count.

    Args:
        ab: (..., H, W, 2) predicted ab in Lab units.
        true_ab: (..., H, W, 2) true ab in Lab units.
        percent: at least 0.

    Returns:
        (...,) floating point in [0, 1].

    Raises:
        ValueError: if a shape is not (..., H, W, 2), the shapes differ, or `percent` is negative.
    """
    ab, true_ab = image_pair(ab, true_ab, ("ab", "true_ab"), 2)
    _, ab_limit = _limits(percent)
    return _share_within(ab, true_ab, (ab_limit, ab_limit))


def _limits(percent: float) -> tuple[int, int]:
    """Returns the largest whole differences allowed in L, and in a and b.

    The limits are computed as 22 * percent / 10, which is exact for 5: rounding, as in
    2.2 * 5 = 11.000000000000002, never decides about a pixel.
    """
    if not 0.0 <= percent < math.inf:
        raise ValueError(f"percent must be a finite number of at least 0, got {percent}")
    return math.floor(percent), math.floor(22 * percent / 10)


def _share_within(color: Array, true_color: Array, limits: tuple[int, ...]) -> Array:
    xp = namespace(color, true_color)
    apart = xp.abs(xp.round(color) - xp.round(true_color))
    is_right: Any = True
    for channel, limit in enumerate(limits):
        is_right = is_right & (apart[..., channel] <= limit)
    return xp.mean(is_right, axis=(-2, -1), dtype=apart.dtype)
