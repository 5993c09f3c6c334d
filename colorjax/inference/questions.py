"""Pixels whose color would change a picture most."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from colorjax.inference.beliefs import Beliefs, squared_distances
from colorjax.inference.suggestions import Suggestion

_STEP = 3  # cells between the cells that are compared


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

    The answer at a cell i is expected to be c_i from the prediction and changes a position j by the
    part w_ij of that. What the answers before it have covered does not count again. The cell of
    the largest sum over j of c_i c_j (w_ij^2 - max of the earlier w_j^2), where that is positive,
    is next: it takes away most of the squared error.

    Args:
        beliefs: on a coarse grid, given what is known.
        k: number of cells.
    """
    height, width = beliefs.grid
    rows, columns = (np.arange(min(1, side - 1), side, _STEP) for side in (height, width))
    cells = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    weights = beliefs.weights(cells).reshape(height * width, -1)
    changes = expected_changes(beliefs).reshape(-1)
    own = changes[cells[:, 0] * width + cells[:, 1]]
    covered = beliefs.reliability.reshape(-1)
    result = []
    for _ in range(min(k, len(cells))):
        new = np.maximum(np.square(weights) - np.square(covered)[:, None], 0)
        best = int(np.argmax(own * (changes @ new)))
        row, column = cells[best]
        change = own[best] * np.maximum(weights[:, best] - covered, 0).mean()
        result.append((int(row), int(column), float(change)))
        covered = np.maximum(covered, weights[:, best])
    return result
