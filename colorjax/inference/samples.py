"""Coherent samples of the colors of a photo, each as the colors of a few pixels.

A draw chooses how colorful the whole photo is and a cast, then the colors of a few cells, one after
another: each from its calibrated distribution, given the cells before it and those choices. Hints
spread the colors over the photo. Of many draws, k-means takes the k pictures that represent them
best; independent draws would repeat the likely picture, and miss others.
"""

from __future__ import annotations

import numpy as np

from colorjax import color
from colorjax.color.hint_spreading import exponents, log_odds_of, sharpness_of
from colorjax.inference.beliefs import EPSILON, EVIDENCE_WIDTH, Beliefs, Known, squared_distances
from colorjax.inference.questions import choose

PLACES = 8  # cells whose color is drawn
# Chosen on held-out photos for the best of 8 samples (docs/uncertainty.md).
_DRAWS = 64
_SATURATIONS, _SHARES = (0.0, 0.5, 1.0, 1.5), (0.3, 0.3, 0.25, 0.15)  # of the predicted colors
_CAST = 6.0  # ab units, standard deviation of a shift of the whole photo
_OWN = 5.0  # ab units, standard deviation of a cell's color around these choices
_LLOYD_ROUNDS = 10


def draw(beliefs: Beliefs, k: int, rng: np.random.Generator) -> list[Known]:
    """Returns k samples, the one that represents most draws first.

    Args:
        beliefs: on a coarse grid.
        k: number of samples.
        rng: source of random numbers.
    """
    assert beliefs.keys is not None
    cells = np.array([place[:2] for place in choose(beliefs, PLACES)])
    exponent = exponents(beliefs.keys, beliefs.lightness, cells)
    own = beliefs.ab[cells[:, 0], cells[:, 1]]
    changes = _draw_changes(
        beliefs.log_shares[cells[:, 0], cells[:, 1]],
        own,
        exponent[cells[:, 0], cells[:, 1]],
        max(_DRAWS, 8 * k),
        rng,
    )
    odds = log_odds_of(exponent)
    spread = np.exp(odds - odds.max(axis=-1, keepdims=True))
    spread /= spread.sum(axis=-1, keepdims=True)
    nearest = exponent.min(axis=-1, keepdims=True)
    spread = (spread * np.exp(-sharpness_of(beliefs.keys) * nearest)).reshape(-1, len(cells))
    centers = _representatives(changes, spread, k)
    return [Known(cells, (own + center).astype(np.float32)) for center in centers]


def _draw_changes(
    log_shares: np.ndarray,
    own: np.ndarray,
    exponent: np.ndarray,
    number: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Returns draws of the difference to the predicted colors of P cells, (number, P, 2).

    Args:
        log_shares: (P, 313), of each cell.
        own: (P, 2), predicted ab of the cells.
        exponent: (P, P), -log of the weight of each other cell, from `exponents`.
        number: of draws.
        rng: source of random numbers.
    """
    bins = color.ab_bins()
    saturation = rng.choice(_SATURATIONS, size=(number, 1), p=_SHARES)
    cast = rng.normal(0, _CAST, (number, 2))
    changes = np.zeros((number, len(own), 2))
    for cell, logs in enumerate(log_shares.astype(np.float64)):
        wanted = saturation * own[cell] + cast
        logs = logs - squared_distances(wanted) / (2 * _OWN**2)
        if cell:
            near = exponent[cell, :cell]
            odds = log_odds_of(near)
            odds = np.exp(odds - odds.max())
            mean = np.einsum("p,npc->nc", odds / odds.sum(), changes[:, :cell])
            weight = np.exp(-near.min())
            precision = weight / (1 - weight + EPSILON) / EVIDENCE_WIDTH**2
            logs = logs - precision * squared_distances(own[cell] + mean) / 2
        shares = np.exp(logs - logs.max(axis=-1, keepdims=True))
        below = np.cumsum(shares / shares.sum(axis=-1, keepdims=True), axis=-1)
        drawn = np.sum(below < rng.random((number, 1)), axis=-1)
        changes[:, cell] = bins[np.minimum(drawn, len(bins) - 1)] - own[cell]
    return changes


def _representatives(changes: np.ndarray, spread: np.ndarray, k: int) -> np.ndarray:
    """Returns the means of k clusters of draws, (k, P, 2), the largest cluster first.

    Draws are compared by the mean squared difference of their pictures.

    Args:
        changes: (n, P, 2).
        spread: (N, P), the part of each cell's change that each position of the photo takes over.
        k: at most n.
    """
    gram = spread.T @ spread / len(spread) + 1e-6 * np.eye(spread.shape[1])
    points = np.einsum("pq,npc->nqc", np.linalg.cholesky(gram), changes).reshape(len(changes), -1)
    apart = np.linalg.norm(points[:, None] - points, axis=-1)
    chosen = [int(apart.sum(axis=0).argmin())]
    for _ in range(1, k):  # those that shorten the distances to the nearest one most
        nearest = apart[chosen].min(axis=0)
        gains = np.maximum(nearest - apart, 0).sum(axis=-1)
        gains[chosen] = -1
        chosen.append(int(gains.argmax()))
    centers = points[chosen]
    for _ in range(_LLOYD_ROUNDS):
        cluster = np.linalg.norm(points[:, None] - centers, axis=-1).argmin(axis=-1)
        means = [points[cluster == n].mean(0) if n in cluster else centers[n] for n in range(k)]
        centers = np.stack(means)
    cluster = np.linalg.norm(points[:, None] - centers, axis=-1).argmin(axis=-1)
    means = [
        changes[cluster == n].mean(0) if n in cluster else changes[chosen[n]] for n in range(k)
    ]
    order = np.argsort(-np.bincount(cluster, minlength=k), kind="stable")
    return np.stack(means)[order]
