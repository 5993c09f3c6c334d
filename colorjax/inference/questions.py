"""Pixels whose color would change a picture most."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from colorjax.inference.beliefs import Beliefs, squared_distances
from colorjax.inference.suggestions import Suggestion

_STEP = 2  # cells between the cells that are compared


class Question(NamedTuple):
    """A pixel whose color is useful to know.

    Attributes:
        x: column in pixels of the upright photo.
        y: row in pixels of the upright photo.
        change: expected change of the picture by the answer, in ab units, mean over the photo.
        suggestions: likely answers.
    """

    x: int
    y: int
    change: float
    suggestions: list[Suggestion]


def expected_changes(beliefs: Beliefs) -> np.ndarray:
    """Returns the expected distance of the true color from the predicted one, (h, w), ab units."""
    shares = np.exp(beliefs.log_shares)
    distances = np.sqrt(np.maximum(squared_distances(beliefs.ab), 0))
    return np.sum(shares * distances, axis=-1)


def choose(beliefs: Beliefs, k: int) -> list[tuple[int, int, float]]:
    """Returns k cells (row, column, expected change), greedily, each given those before it.

    Args:
        beliefs: on a coarse grid.
        k: number of cells.
    """
    height, width = beliefs.grid
    rows, columns = (np.arange(min(1, side - 1), side, _STEP) for side in (height, width))
    cells = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    weights = beliefs.weights(cells).reshape(height * width, -1)
    change = expected_changes(beliefs)[cells[:, 0], cells[:, 1]]
    covered = np.zeros(height * width, np.float32)
    result = []
    for _ in range(min(k, len(cells))):
        gains = change * np.maximum(weights - covered[:, None], 0).mean(axis=0)
        best = int(np.argmax(gains))
        row, column = cells[best]
        result.append((int(row), int(column), float(gains[best])))
        covered = np.maximum(covered, weights[:, best])
    return result
