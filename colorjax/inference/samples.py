"""Coherent samples of the colors of a photo, each as the colors of a few pixels.

A draw chooses how colorful the whole photo is and a cast, then the colors of a few cells, one after
another: each from its calibrated distribution, given the cells before it and those choices. Hints
spread the colors over the photo. A draw counts by the probability of its choices at those cells. Of
many draws, k-means takes the k pictures that represent them best; independent draws would repeat
the likely picture, and miss others. Pictures far from the predicted one, compared with the expected
error, are pulled toward it.
"""

from __future__ import annotations

import numpy as np

from colorjax import color
from colorjax.color.hint_spreading import exponents, log_odds_of, sharpness_of
from colorjax.inference.beliefs import EPSILON, EVIDENCE_WIDTH, Beliefs, Known, squared_distances
from colorjax.inference.questions import choose

PLACES = 16  # cells whose color is drawn
# Chosen on held-out photos for the best of 8 samples and for few samples far below the predicted
# picture (docs/uncertainty.md).
_DRAWS = 256
_SATURATIONS, _SHARES = (0.0, 0.5, 1.0, 1.5), (0.3, 0.3, 0.25, 0.15)  # of the predicted colors
_CAST = (5.0, 9.0)  # of a and b: standard deviation of a shift of the whole photo
_OWN = 5.0  # ab units, standard deviation of a cell's color around these choices
_EVIDENCE = 0.15  # power of the probability of a draw's choices: cells are not independent
_REACH = 1.2  # of the expected error: the changes of no picture are larger
_LLOYD_ROUNDS = 10


def draw(beliefs: Beliefs, k: int, rng: np.random.Generator) -> list[Known]:
    """Returns k samples, the one that represents most draws first.

    All k are chosen together, so each depends on k.

    Args:
        beliefs: on a coarse grid.
        k: number of samples.
        rng: source of random numbers.
    """
    assert beliefs.keys is not None
    cells = np.array([place[:2] for place in choose(beliefs, PLACES)])
    exponent = exponents(beliefs.keys, beliefs.lightness, cells)
    own = beliefs.ab[cells[:, 0], cells[:, 1]]
    changes, weights = _draw_changes(
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
    centers = _pulled(_representatives(changes, weights, spread, k), spread, _error(beliefs))
    return [Known(cells, (own + center).astype(np.float32)) for center in centers]


def _draw_changes(
    log_shares: np.ndarray,
    own: np.ndarray,
    exponent: np.ndarray,
    number: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns draws of the difference to the predicted colors of P cells, and their weights.

    Args:
        log_shares: (P, 313), of each cell.
        own: (P, 2), predicted ab of the cells.
        exponent: (P, P), -log of the weight of each other cell, from `exponents`.
        number: of draws.
        rng: source of random numbers.

    Returns:
        (number, P, 2) changes and (number,) weights, which sum to 1.
    """
    bins = color.ab_bins()
    saturation = rng.choice(_SATURATIONS, size=(number, 1), p=_SHARES)
    cast = rng.normal(0, _CAST, (number, 2))
    changes = np.zeros((number, len(own), 2))
    evidence = np.zeros(number)
    for cell, logs in enumerate(log_shares.astype(np.float64)):
        wanted = saturation * own[cell] + cast
        logs = logs - squared_distances(wanted) / (2 * _OWN**2)
        evidence += np.log(np.exp(logs).sum(axis=-1) + 1e-30)
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
    weights = np.exp(_EVIDENCE * (evidence - evidence.max()))
    return changes, weights / weights.sum()


def _representatives(
    changes: np.ndarray, weights: np.ndarray, spread: np.ndarray, k: int
) -> np.ndarray:
    """Returns the means of k clusters of draws, (k, P, 2), the cluster of most weight first.

    Draws are compared by the mean squared difference of their pictures.

    Args:
        changes: (n, P, 2).
        weights: (n,), positive.
        spread: (N, P), the part of each cell's change that each position of the photo takes over.
        k: at most n.
    """
    factor = np.linalg.cholesky(_gram(spread))
    points = np.einsum("pq,npc->nqc", factor, changes).reshape(len(changes), -1)
    apart = np.linalg.norm(points[:, None] - points, axis=-1)
    chosen: list[int] = []
    nearest = np.full(len(points), 2 * apart.max() + 1)
    for _ in range(k):  # those that shorten the distances to the nearest one most
        gains = np.maximum(nearest - apart, 0) @ weights
        gains[chosen] = -1
        chosen.append(int(gains.argmax()))
        nearest = np.minimum(nearest, apart[chosen[-1]])
    centers, totals = changes[chosen], np.ones(k)
    for _ in range(_LLOYD_ROUNDS):
        at = np.einsum("pq,npc->nqc", factor, centers).reshape(k, -1)
        cluster = np.linalg.norm(points[:, None] - at, axis=-1).argmin(axis=-1)
        parts = weights * (cluster == np.arange(k)[:, None])
        totals = parts.sum(axis=-1)
        means = np.einsum("kn,npc->kpc", parts, changes) / np.maximum(totals, 1e-300)[:, None, None]
        centers = np.where(totals[:, None, None] > 0, means, centers)
    return centers[np.argsort(-totals, kind="stable")]


def _gram(spread: np.ndarray) -> np.ndarray:
    """Returns the (P, P) of the mean squared change of a photo, a quadratic form of P changes."""
    return spread.T @ spread / len(spread) + 1e-6 * np.eye(spread.shape[1])


def _error(beliefs: Beliefs) -> float:
    """Returns the root of the expected squared distance of the true colors from the predicted."""
    squares = np.sum(np.exp(beliefs.log_shares) * squared_distances(beliefs.ab), axis=-1)
    return float(np.sqrt(squares.mean()))


def _pulled(centers: np.ndarray, spread: np.ndarray, error: float) -> np.ndarray:
    """Returns changes (k, P, 2) of x / sqrt(1 + (x / r)^2) for a root mean squared change of x.

    r is `_REACH` times the expected error of the predicted picture.
    """
    squares = np.einsum("kpc,pq,kqc->k", centers, _gram(spread), centers)
    return centers / np.sqrt(1 + squares / (_REACH * error) ** 2)[:, None, None]
