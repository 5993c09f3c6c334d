"""Top-k accuracy of a classifier."""

from __future__ import annotations

from typing import Any

import numpy as np


def in_top(logits: Any, classes: Any, k: int) -> np.ndarray:
    """Returns whether each photo's class is among the k highest logits.

    Of equal logits the class with the lower number comes first.

    Args:
        logits: (N, C) floating point, finite.
        classes: (N,) integers; below 0 for a photo without one.
        k: 1 for top-1.

    Returns:
        (N,) float64: 1 yes, 0 no, NaN for a photo without a class. Exclude NaN from means.

    Raises:
        ValueError: wrong shapes, a class above C - 1, or logits that are not finite.

    >>> in_top(np.array([[0.1, 0.9, 0.5]] * 3), np.array([1, 2, -1]), 1).tolist()
    [1.0, 0.0, nan]
    """
    logits, classes = np.asarray(logits), np.asarray(classes)
    if logits.ndim != 2 or classes.shape != logits.shape[:1]:
        raise ValueError(f"shapes must be (N, C) and (N,), got {logits.shape} and {classes.shape}")
    if not np.isfinite(logits).all():
        raise ValueError("logits must be finite")
    if classes.size and classes.max() >= logits.shape[1]:
        raise ValueError(f"class {classes.max()} of {logits.shape[1]}, counted from 0")
    known = np.maximum(classes, 0)
    own = np.take_along_axis(logits, known[:, None], axis=1)
    before = np.arange(logits.shape[1])[None] < known[:, None]
    rank = (logits > own).sum(1) + ((logits == own) & before).sum(1)
    return np.where(classes < 0, np.nan, (rank < k).astype(np.float64))
