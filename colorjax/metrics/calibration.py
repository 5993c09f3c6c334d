"""Calibration of a predicted distribution over color bins: the top-1 error (Guo et al. 2017)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from colorjax.color.arrays import Array, namespace
from colorjax.color.bins import NUM_BINS, nearest_bin
from colorjax.metrics.inputs import images

ECE_BINS = 15


class Reliability(NamedTuple):
    """Points of a reliability diagram, from the least to the most confident.

    Attributes:
        confidence: (K,) float64, the mean confidence of each point.
        accuracy: (K,) float64, the share of right answers of each point.
        count: (K,) int64, the number of answers of each point.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray


def top_confidence(logits: Any, true_ab: Any) -> tuple[Array, Array]:
    """Returns the probability of the most likely bin, and whether it is the true color's.

    Args:
        logits: (..., h, w, 313) floating point, in the order of `colorjax.color.ab_bins`.
        true_ab: (..., h, w, 2) true ab in Lab units at the same positions.

    Returns:
        (..., h, w) float32 in (0, 1], and (..., h, w) bool: the truth is the nearest bin.

    Raises:
        ValueError: wrong shapes, or shapes that differ in any axis except the last.
    """
    logits, true_ab = images(logits, "logits", NUM_BINS), images(true_ab, "true_ab", 2)
    if logits.shape[:-1] != true_ab.shape[:-1]:
        raise ValueError(
            "logits and true_ab must have the same shape except for the last axis, got "
            f"{tuple(logits.shape)} and {tuple(true_ab.shape)}: subsample the truth"
        )
    xp = namespace(logits, true_ab)
    logits = xp.asarray(logits, np.float32)
    below_best = logits - xp.max(logits, axis=-1, keepdims=True)
    is_hit = xp.argmax(logits, axis=-1) == xp.asarray(nearest_bin(true_ab))
    return 1 / xp.sum(xp.exp(below_best), axis=-1), is_hit


def reliability_points(confidence: Any, is_hit: Any, num_bins: int = ECE_BINS) -> Reliability:
    """Returns the reliability diagram over bins of equal mass.

    The answers, sorted by confidence, are divided into `num_bins` parts of equal size, up to one.
    Answers of the same confidence count alike, with their mean accuracy, so that the result does
    not depend on their order.

    Args:
        confidence: any shape, in [0, 1]; pooled over the photos of a set.
        is_hit: the same shape, whether each answer is right.
        num_bins: number of points; fewer if there are fewer answers.

    Raises:
        ValueError: no answer, shapes that differ, confidences outside [0, 1], or no bin.
    """
    confidence, is_hit = np.asarray(confidence, np.float64), np.asarray(is_hit)
    if confidence.shape != is_hit.shape or not confidence.size:
        raise ValueError(
            "confidence and is_hit must have one shape and at least one answer, got "
            f"{confidence.shape} and {is_hit.shape}"
        )
    if not (confidence >= 0).all() or not (confidence <= 1 + 1e-5).all():
        raise ValueError("confidence must be in [0, 1]")
    if num_bins < 1:
        raise ValueError(f"num_bins must be at least 1, got {num_bins}")
    levels, level, count = np.unique(confidence, return_inverse=True, return_counts=True)
    of_level = np.bincount(level.ravel(), weights=is_hit.ravel()) / count
    parts = min(num_bins, confidence.size)
    confidences = np.array_split(np.repeat(levels, count), parts)
    accuracies = np.array_split(np.repeat(of_level, count), parts)
    return Reliability(
        np.array([part.mean() for part in confidences]),
        np.array([part.mean() for part in accuracies]),
        np.array([part.size for part in confidences]),
    )


def ece(confidence: Any, is_hit: Any, num_bins: int = ECE_BINS) -> float:
    """Returns the expected calibration error over bins of equal mass.

    sum_k count_k / n |accuracy_k - confidence_k| over the points of `reliability_points`. A
    predictor that always answers the prior can have 0: read it together with `bits_per_pixel`.

    Args:
        confidence: any shape, in [0, 1]; the first result of `top_confidence`, over all positions
            of all photos.
        is_hit: the same shape; the second one.
        num_bins: 15 in colorjax's results.

    Returns:
        In [0, 1]; 0 is calibrated.

    Raises:
        ValueError: as `reliability_points`.

    >>> round(ece([0.9, 0.9, 0.5, 0.5], [True, True, True, False], num_bins=2), 3)
    0.05
    """
    points = reliability_points(confidence, is_hit, num_bins)
    gaps = np.abs(points.accuracy - points.confidence)
    return float(np.average(gaps, weights=points.count))
