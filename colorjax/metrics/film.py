"""Consistency of the colors of a film over time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

DISTANCES = (1, 2, 4)  # frames, of Liu et al.
_LEVELS = 256


def cdc(frames_u8: Iterable[Any]) -> float:
    """Returns the color distribution consistency index of a film (Liu et al. 2021, TCVC).

    The mean over the channels R, G and B, over the distances t = 1, 2 and 4, and over all frames i
    of JS(h_i, h_(i+t)), the Jensen-Shannon divergence in nats of the 256-bin histograms of a
    channel: as in the authors' code. A film of one color throughout has 0: compare it only beside a
    measure of quality, and with the value of the true film, which moves and so is above 0. It
    ignores positions; scene cuts count as inconsistency, so measure each scene.

    Args:
        frames_u8: (H, W, 3) uint8 sRGB each, in order; only their histograms are kept. The films of
            a set are averaged with equal weights.

    Returns:
        In [0, ln 2]; lower is more consistent.

    Raises:
        ValueError: fewer than 5 frames, or a frame that is not (H, W, 3) uint8.
    """
    shares = np.array([_histograms(frame) for frame in frames_u8])
    if len(shares) <= max(DISTANCES):
        raise ValueError(f"cdc needs at least {max(DISTANCES) + 1} frames, got {len(shares)}")
    return float(np.mean([_jensen_shannon(shares[:-t], shares[t:]).mean() for t in DISTANCES]))


def _histograms(frame: Any) -> np.ndarray:
    """Returns the share of each level in each channel, (3, 256)."""
    frame = np.asarray(frame)
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[-1] != 3 or not frame.size:
        raise ValueError(f"frames must be (H, W, 3) uint8, got {frame.dtype} {frame.shape}")
    counts = [np.bincount(channel, minlength=_LEVELS) for channel in frame.reshape(-1, 3).T]
    return np.array(counts) / counts[0].sum()


def _jensen_shannon(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Returns (KL(p, m) + KL(q, m)) / 2 with m = (p + q) / 2, over the last axis."""
    middle = (p + q) / 2
    return (_divergence(p, middle) + _divergence(q, middle)) / 2


def _divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    return np.sum(p * np.log(ratio), axis=-1)
