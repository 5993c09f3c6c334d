"""What a network believes about the colors of a photo: distributions on a grid, given hints."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from colorjax import color
from colorjax.color.hint_spreading import Keys, exponents, log_odds_of, sharpness_of

# Grids of more cells than this are thinned out for questions and samples, which compare cells with
# each other.
MOST_CELLS = 2560
# A hint of reliability r is evidence for its color elsewhere: a normal distribution of ab with
# this standard deviation, times sqrt((1 - r) / r).
EVIDENCE_WIDTH = 20.0
EPSILON = 1e-3  # least 1 - r


class Known(NamedTuple):
    """Colors that are known at some cells.

    Attributes:
        cells: (K, 2) integers, row and column.
        ab: (K, 2), in Lab units.
    """

    cells: np.ndarray
    ab: np.ndarray


@dataclasses.dataclass(frozen=True)
class Beliefs:
    """Distributions over the color bins on a grid of a photo.

    Attributes:
        log_shares: (h, w, 313) float32, calibrated log probabilities of the bins.
        ab: (h, w, 2) float32, predicted ab in Lab units.
        lightness: (h, w) float32, L of the photo.
        reliability: (h, w) float32, from 0 (nothing known) to 1 (its color is known).
        keys: of the cells, by which hints spread; None: hints do not spread.
    """

    log_shares: np.ndarray
    ab: np.ndarray
    lightness: np.ndarray
    reliability: np.ndarray
    keys: Keys | None = None

    @property
    def grid(self) -> tuple[int, ...]:
        """Height and width, in cells."""
        return self.lightness.shape

    def coarse(self) -> Beliefs:
        """Returns the beliefs of every n-th cell, at most `MOST_CELLS` of them."""
        step = 1
        while -(-self.grid[0] // step) * -(-self.grid[1] // step) > MOST_CELLS:
            step += 1
        if step == 1:
            return self
        some = np.s_[(step - 1) // 2 :: step, (step - 1) // 2 :: step]
        return Beliefs(
            self.log_shares[some],
            self.ab[some],
            self.lightness[some],
            self.reliability[some],
            self.keys and self.keys.part(some),
        )

    def weights(self, cells: np.ndarray) -> np.ndarray:
        """Returns the part of an error at each of K cells that other cells share, (h, w, K)."""
        assert self.keys is not None
        return np.exp(-sharpness_of(self.keys) * exponents(self.keys, self.lightness, cells))

    def given(self, known: Known) -> Beliefs:
        """Returns the beliefs after colors are known at some cells.

        The known errors are spread as `spread_hints` spreads them. In addition, the distribution
        of each cell is multiplied by a normal distribution around the corrected color, which is
        the narrower the more the cell is like one whose color is known.
        """
        if not len(known.cells):
            return self
        assert self.keys is not None
        exponent = exponents(self.keys, self.lightness, known.cells)
        odds = log_odds_of(exponent)
        odds = np.exp(odds - odds.max(axis=-1, keepdims=True))
        delta = known.ab - self.ab[known.cells[:, 0], known.cells[:, 1]]
        mean = odds @ delta / odds.sum(axis=-1, keepdims=True)
        nearest = exponent.min(axis=-1, keepdims=True)
        reliability = np.exp(-sharpness_of(self.keys) * nearest)
        precision = reliability / (1 - reliability + EPSILON) / EVIDENCE_WIDTH**2
        logs = self.log_shares - precision * squared_distances(self.ab + mean) / 2
        logs = logs - logs.max(-1, keepdims=True)
        logs = logs - np.log(np.sum(np.exp(logs), axis=-1, keepdims=True))
        corrected = self.ab + reliability * mean
        return dataclasses.replace(
            self,
            log_shares=logs.astype(np.float32),
            ab=corrected.astype(np.float32),
            reliability=np.maximum(self.reliability, reliability[..., 0]),
        )


def squared_distances(ab: np.ndarray) -> np.ndarray:
    """Returns (..., 313) float32: squared distance of colors (..., 2) to every bin."""
    bins = color.ab_bins().astype(np.float32)
    own = np.sum(np.square(ab), axis=-1, keepdims=True)
    return own - 2 * ab @ bins.T + np.sum(np.square(bins), axis=-1)


def entropy(log_shares: np.ndarray) -> np.ndarray:
    """Returns the entropy of distributions (..., 313), in nats divided by log(313): 0 to 1."""
    nats = -np.sum(np.exp(log_shares) * log_shares, axis=-1)
    return (nats / np.log(color.NUM_BINS)).clip(0, 1).astype(np.float32)
