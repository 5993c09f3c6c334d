"""Likely colors of a pixel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from colorjax import color

APART = 14.0  # ab units, least distance of two suggestions
_REACH = 10.0  # ab units: the probability of a suggestion is that of the colors this near


class Suggestion(NamedTuple):
    """A likely color of a pixel.

    Attributes:
        color: "#rrggbb", at the pixel's own lightness.
        probability: of colors like this one.
    """

    color: str
    probability: float


def suggest(log_shares: np.ndarray, lightness: float, k: int) -> list[Suggestion]:
    """Returns up to k likely colors that are at least `APART` from each other, most likely first.

    Args:
        log_shares: (313,) log probabilities of the bins.
        lightness: L of the pixel.
        k: number of colors.
    """
    lab = np.concatenate([np.full((color.NUM_BINS, 1), lightness), color.ab_bins()], axis=-1)
    codes = np.asarray(color.lab_to_rgb_u8(lab.astype(np.float32), "shrink_chroma"))
    ab = np.asarray(color.rgb_u8_to_lab(codes))[:, 1:]
    shares = np.exp(log_shares)
    apart = np.linalg.norm(ab[:, None] - ab, axis=-1)
    left, allowed, result = shares.copy(), np.ones(color.NUM_BINS, bool), []
    for _ in range(k):
        near = (apart <= _REACH) @ left
        best = int(np.argmax(np.where(allowed, near, -1)))
        if not allowed[best] or near[best] <= 0:
            break
        result.append(Suggestion("#" + codes[best].tobytes().hex(), float(near[best])))
        left[apart[best] <= _REACH] = 0
        allowed &= apart[best] >= APART
    return sorted(result, key=lambda each: -each.probability)
