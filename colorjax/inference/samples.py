"""Coherent samples of the colors of a photo, each as colors of a few pixels."""

from __future__ import annotations

import numpy as np

from colorjax import color
from colorjax.inference.beliefs import Beliefs, Known
from colorjax.inference.questions import choose

PLACES = 6  # cells whose color is drawn


def draw(beliefs: Beliefs, k: int, rng: np.random.Generator) -> list[Known]:
    """Returns k samples: the colors of the same few cells, each drawn given those before it.

    Args:
        beliefs: on a coarse grid.
        k: number of samples.
        rng: source of random numbers.
    """
    cells = np.array([place[:2] for place in choose(beliefs, PLACES)])
    bins = color.ab_bins()
    samples = []
    for _ in range(k):
        known = Known(cells[:0], np.zeros((0, 2), np.float32))
        for row, column in cells:
            shares = np.exp(beliefs.given(known).log_shares[row, column].astype(np.float64))
            ab = bins[rng.choice(len(bins), p=shares / shares.sum())]
            known = Known(
                np.concatenate([known.cells, [[row, column]]]),
                np.concatenate([known.ab, ab[None]]).astype(np.float32),
            )
        samples.append(known)
    return samples
