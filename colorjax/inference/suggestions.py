"""Likely colors of a pixel."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from colorjax import color

APART = 9.0  # ab units, least distance of two suggestions: neighboring bins are 10 apart
REACH = 10.0  # ab units: the probability of a suggestion is that of the colors this near
_OFFSETS = np.arange(-4, 5, 2)  # where the colors of a bin lie, in ab units along each axis
_LLOYD_ROUNDS = 8


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

    k-means: each is the mean of the colors that are nearer to it than to the others, so that the
    expected squared distance of the true color to the nearest one is small. The first means are
    bins, one after another the one that covers most of the probability that is left. Bins outside
    sRGB at this lightness count as the nearest color inside. Where two of the means are nearer than
    `APART`, the first means are the result.

    Args:
        log_shares: (313,) log probabilities of the bins.
        lightness: L of the pixel.
        k: number of colors; all of them depend on it.
    """
    codes, ab = _inside(color.ab_bins(), lightness)
    shares = np.bincount(color.nearest_bin(ab), np.exp(log_shares), minlength=color.NUM_BINS)
    chosen = _first_means(shares, ab, k)
    codes, ab = codes[chosen], ab[chosen]
    means = _inside(_means(shares, ab), lightness)
    if _least_distance(means[1]) >= APART:
        codes, ab = means
    covers = _shares_near(ab)
    result = []
    while len(codes):
        near = covers @ shares
        best = int(np.argmax(near))
        result.append(Suggestion("#" + codes[best].tobytes().hex(), float(near[best])))
        shares = shares * (1 - covers[best])
        codes, covers = np.delete(codes, best, axis=0), np.delete(covers, best, axis=0)
    return result


def _inside(ab: np.ndarray, lightness: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns colors (N, 2) at a lightness as (N, 3) uint8 of sRGB, and the ab of those."""
    lab = np.concatenate([np.full((len(ab), 1), lightness), ab], axis=-1)
    codes = np.asarray(color.lab_to_rgb_u8(lab.astype(np.float32), "shrink_chroma"))
    return codes, np.asarray(color.rgb_u8_to_lab(codes))[:, 1:]


def _first_means(shares: np.ndarray, ab: np.ndarray, k: int) -> list[int]:
    """Returns up to k bins, the one that covers most first, from those with a color in sRGB."""
    is_allowed = np.linalg.norm(ab - color.ab_bins(), axis=-1) < REACH / 2
    covers = _shares_near_bins()
    result: list[int] = []
    for _ in range(k):
        near = np.where(is_allowed, covers @ shares, 0)
        best = int(np.argmax(near))
        if near[best] <= 0:
            break
        result.append(best)
        shares = shares * (1 - covers[best])
        is_allowed &= np.linalg.norm(ab - ab[best], axis=-1) >= APART
    return result


def _means(shares: np.ndarray, ab: np.ndarray) -> np.ndarray:
    """Returns the k-means of the bins that Lloyd's algorithm finds from colors (k, 2)."""
    bins = color.ab_bins()
    for _ in range(_LLOYD_ROUNDS):
        nearest = np.linalg.norm(bins[:, None] - ab, axis=-1).argmin(axis=-1)
        parts = shares * (nearest == np.arange(len(ab))[:, None])
        totals = parts.sum(axis=-1, keepdims=True)
        ab = np.where(totals > 0, parts @ bins / np.maximum(totals, 1e-30), ab)
    return ab


def _least_distance(ab: np.ndarray) -> float:
    apart = np.linalg.norm(ab[:, None] - ab, axis=-1)
    return float((apart + np.diag(np.full(len(ab), np.inf))).min(initial=np.inf))


def _shares_near(ab: np.ndarray) -> np.ndarray:
    """Returns (k, 313): the share of the colors of each bin within `REACH` of colors (k, 2)."""
    bins = color.ab_bins().astype(np.float32)
    apart_a, apart_b = np.moveaxis(bins - ab[:, None].astype(np.float32), -1, 0)
    inside = np.zeros(apart_a.shape, np.float32)
    for a in _OFFSETS:
        for b in _OFFSETS:
            inside += np.square(apart_a + a) + np.square(apart_b + b) <= REACH**2
    return inside / len(_OFFSETS) ** 2


@functools.cache
def _shares_near_bins() -> np.ndarray:
    return _shares_near(color.ab_bins())
