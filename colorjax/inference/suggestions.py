"""Likely colors of a pixel."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from colorjax import color

APART = 9.0  # ab units, least distance of two suggestions: neighboring bins are 10 apart
REACH = 10.0  # ab units: the probability of a suggestion is that of the colors this near
_OFFSETS = np.arange(-4, 5, 2)  # where the colors of a bin lie, in ab units along each axis


class Suggestion(NamedTuple):
    """A likely color of a pixel.

    Attributes:
        color: "#rrggbb", at the pixel's own lightness.
        probability: of colors within `REACH` of this one, without those of earlier suggestions.
    """

    color: str
    probability: float


def suggest(log_shares: np.ndarray, lightness: float, k: int) -> list[Suggestion]:
    """Returns up to k likely colors that are at least `APART` from each other, most likely first.

    Each is the bin that covers most of the probability that is left. Bins outside sRGB at this
    lightness count as the nearest color inside.

    Args:
        log_shares: (313,) log probabilities of the bins.
        lightness: L of the pixel.
        k: number of colors.
    """
    lab = np.concatenate([np.full((color.NUM_BINS, 1), lightness), color.ab_bins()], axis=-1)
    codes = np.asarray(color.lab_to_rgb_u8(lab.astype(np.float32), "shrink_chroma"))
    ab = np.asarray(color.rgb_u8_to_lab(codes))[:, 1:]
    left = np.bincount(color.nearest_bin(ab), np.exp(log_shares), minlength=color.NUM_BINS)
    is_allowed = np.linalg.norm(ab - color.ab_bins(), axis=-1) < REACH / 2
    covers = _covers()
    result = []
    for _ in range(k):
        near = np.where(is_allowed, covers @ left, 0)
        best = int(np.argmax(near))
        if near[best] <= 0:
            break
        result.append(Suggestion("#" + codes[best].tobytes().hex(), float(near[best])))
        left = left * (1 - covers[best])
        is_allowed &= np.linalg.norm(ab - ab[best], axis=-1) >= APART
    return result


@functools.cache
def _covers() -> np.ndarray:
    """Returns (313, 313): the share of the colors of bin j that lie within `REACH` of bin i."""
    bins = color.ab_bins().astype(np.float32)
    apart_a, apart_b = np.moveaxis(bins[:, None] - bins, -1, 0)
    inside = np.zeros(apart_a.shape, np.float32)
    for a in _OFFSETS:
        for b in _OFFSETS:
            inside += np.square(apart_a - a) + np.square(apart_b - b) <= REACH**2
    return inside / len(_OFFSETS) ** 2
