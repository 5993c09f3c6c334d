"""Several pictures of one photo: the best of them, and how much they differ."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from colorjax.color.lab import rgb_u8_to_lab
from colorjax.metrics.error import psnr
from colorjax.metrics.inputs import images


def best_of_n(samples_u8: Any, truth_u8: Any) -> dict[str, float]:
    """Compares samples with the true photo; the choice of the best one needs the truth.

    Report it with n and with `diversity`: more samples, and wider ones, raise the best of them.
    It is never comparable with the PSNR of one picture.

    Args:
        samples_u8: (n, H, W, 3) uint8 sRGB.
        truth_u8: (H, W, 3) uint8 sRGB.

    Returns:
        psnr_best_of_n, psnr_mean_of_n and psnr_worst_of_n in dB, and `diversity` in Lab units (0
        for one sample).

    Raises:
        ValueError: wrong shapes or dtypes.
    """
    samples, truth = np.asarray(samples_u8), np.asarray(truth_u8)
    if samples.dtype != np.uint8 or truth.dtype != np.uint8:
        raise ValueError(f"pictures must be uint8, got {samples.dtype} and {truth.dtype}")
    if samples.ndim != 4 or not len(samples) or samples.shape[1:] != truth.shape:
        raise ValueError(
            f"samples_u8 must be (n, H, W, 3) and truth_u8 (H, W, 3), got {samples.shape} and "
            f"{truth.shape}"
        )
    psnrs = np.array([psnr(sample, truth) for sample in samples], np.float64)
    return {
        "psnr_best_of_n": float(psnrs.max()),
        "psnr_mean_of_n": float(psnrs.mean()),
        "psnr_worst_of_n": float(psnrs.min()),
        "diversity": diversity(rgb_u8_to_lab(samples)[..., 1:]),
    }


def diversity(samples_ab: Any) -> float:
    """Returns the mean distance in the ab plane of two samples, over all pairs and all pixels.

    mean over i < j and over pixels of |ab_i - ab_j|, the Euclidean distance.

    Args:
        samples_ab: (n, H, W, 2) ab in Lab units.

    Returns:
        In Lab units, at least 0; 0 for one sample.

    Raises:
        ValueError: wrong shape, or no sample.
    """
    samples = np.asarray(images(samples_ab, "samples_ab", 2))
    if samples.ndim != 4 or not len(samples):
        raise ValueError(f"samples_ab must be (n, H, W, 2), got {samples.shape}")
    distances = [
        np.linalg.norm(first - second, axis=-1).mean(dtype=np.float64)
        for first, second in itertools.combinations(samples, 2)
    ]
    return float(np.mean(distances)) if distances else 0.0
