"""Color hints on one photo: spread at the working size, then corrected at the photo size."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from colorjax.color.hint_spreading import Keys
from colorjax.inference import hints as user_hints
from colorjax.inference.engines.engine import Engine, Spreading
from colorjax.inference.hints import Hint
from colorjax.inference.planes import enlarged

Planes: TypeAlias = Callable[[slice], tuple[np.ndarray, ...]]  # rows -> (L, a, b), each (n, W)

# Parameters of the final correction at the photo size. Its width is one grid cell, which gave 0.1
# to 0.2 dB more than half a cell on 12 photos with 50 hints; the lightness term keeps it inside
# the object.
_LIGHTNESS_WIDTH = 10.0  # in L
_REACH = 3  # in widths; the weight is 0.01 at this distance
_EPSILON = 1e-7


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Prediction of a network for one photo, before hints are applied.

    Attributes:
        lightness: (H, W) float32, L of the photo.
        colors: (h, w, 2) float32, ab in Lab units; or (h, w, 3) with predicted L first.
        keys: keys of h / 4 x w / 4 cells, by which hints spread; None: hints do not spread.
        log_shares: (h / 4, w / 4, 313) float32, calibrated log probabilities of the bins; None:
            unknown.
    """

    lightness: np.ndarray
    colors: np.ndarray
    keys: Keys | None = None
    log_shares: np.ndarray | None = None

    def with_hints(self, hints: Sequence[Hint], engine: Engine) -> np.ndarray:
        """Returns the colors corrected by hints, each spread over similar parts of the photo.

        Args:
            hints: from `checked`, without regions; at least one.
            engine: runs the spreading.
        """
        assert self.keys is not None
        grid = self.keys.features.shape[:2]
        number = 1 << (len(hints) - 1).bit_length()  # few shapes: few compilations
        missing = ((0, number - len(hints)), (0, 0))
        fields = Spreading(
            ab=enlarged(self.colors[..., -2:], grid),
            keys=self.keys,
            lightness=self._lightness_on_grid,
            cells=np.pad(cells_of(hints, self.lightness.shape, grid), missing),
            hint_ab=np.pad(np.stack([user_hints.ab_of(hint) for hint in hints]), missing),
            valid=np.arange(number) < len(hints),
        )
        correction = engine.spread(fields)
        corrected = self.colors.copy()
        corrected[..., -2:] += enlarged(correction, corrected.shape[:2])
        return corrected

    @functools.cached_property
    def _lightness_on_grid(self) -> np.ndarray:
        assert self.keys is not None
        return enlarged(self.lightness[..., None], self.keys.features.shape[:2])[..., 0]


def cells_of(hints: Sequence[Hint], photo: tuple[int, ...], grid: tuple[int, ...]) -> np.ndarray:
    """Returns the cells of hints on a grid, (K, 2): row and column.

    Args:
        hints: from `checked`.
        photo: (height, width) of the photo, in pixels.
        grid: (height, width) of the grid, in cells.
    """
    rows = [int((hint.y + 0.5) * grid[0] / photo[0]) for hint in hints]
    columns = [int((hint.x + 0.5) * grid[1] / photo[1]) for hint in hints]
    return np.stack([rows, columns], axis=-1)


class ExactHints:
    """Applies hints exactly at the photo size: fills regions, corrects around other hints.

    The remaining error at a hint without a region is added around it, with the weight

        w = exp(-d^2 / (2 c^2) - (L - L_hint)^2 / (2 * 10^2)),

    where c is the width of a grid cell, and combined as in `spread_hints`. Where regions overlap,
    the last one counts. Other hints do not affect a region, unless they lie in one.
    """

    def __init__(
        self,
        regional: Sequence[Hint],
        others: Sequence[Hint],
        lightness: np.ndarray,
        planes: Planes,
        cell: float,
    ):
        """Computes the remaining error at each hint.

        Args:
            regional: hints with a region, an `Area`.
            others: hints without one.
            lightness: (H, W), L of the photo.
            planes: colors of the photo without this correction.
            cell: width of a grid cell, in pixels of the photo.
        """
        self._fills = [(hint.region, user_hints.ab_of(hint)) for hint in regional]
        self._lightness = lightness
        self._cell = cell
        self._is_filled = np.zeros((1, 1), bool)
        if self._fills:
            self._is_filled = np.zeros(lightness.shape, bool)
        for region, _ in self._fills:
            region.fill(slice(0, len(lightness)), self._is_filled, True)
        self._is_filled = np.broadcast_to(self._is_filled, lightness.shape)
        self._errors = []  # row, column, error of ab (2,)
        for (y, x), hint in {(hint.y, hint.x): hint for hint in others}.items():  # the last counts
            ab = self._filled(slice(y, y + 1), *planes(slice(y, y + 1))[-2:])
            self._errors.append((y, x, user_hints.ab_of(hint) - ab[0, x]))

    def __call__(self, rows: slice, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the corrected a and b of some rows of the photo, (n, W) each."""
        ab = self._filled(rows, a, b)
        reach = _REACH * self._cell
        near = [e for e in self._errors if rows.start - reach < e[0] < rows.stop + reach]
        if near:
            columns = slice(
                max(min(x for _, x, _ in near) - int(reach) - 1, 0),
                max(x for _, x, _ in near) + int(reach) + 2,
            )
            ab[:, columns] += self._correction(rows, columns, near)
        return ab[..., 0], ab[..., 1]

    def _filled(self, rows: slice, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        ab = np.stack([a, b], axis=-1)
        for region, color_ab in self._fills:
            region.fill(rows, ab, color_ab)
        return ab

    def _correction(
        self, rows: slice, columns: slice, errors: Sequence[tuple[int, int, np.ndarray]]
    ) -> np.ndarray:
        """Returns what is added to ab in some rows and columns, (n, m, 2) float32."""
        shape = (*self._lightness[rows, columns].shape, 1)
        total, odds, most = np.zeros((*shape[:2], 2)), np.full(shape, 1e-30), np.zeros(shape)
        for y, x, error in errors:
            reach = int(_REACH * self._cell) + 1
            first, last = max(y - reach, rows.start), min(y + reach + 1, rows.stop)
            across = slice(max(x - reach, 0), x + reach + 1)
            lightness = self._lightness[first:last, across]
            down = (np.arange(first, last) - y) / self._cell
            right = (np.arange(across.start, across.start + lightness.shape[1]) - x) / self._cell
            step = (lightness - self._lightness[y, x]) / _LIGHTNESS_WIDTH
            weight = np.exp(-(down**2) / 2)[:, None] * np.exp(-(right**2) / 2)
            weight *= np.exp(-(step**2) / 2)
            weight *= self._is_filled[first:last, across] == self._is_filled[y, x]
            weight = weight[..., None]
            odd = weight / (1 + _EPSILON - weight)
            part = (
                slice(first - rows.start, last - rows.start),
                slice(across.start - columns.start, across.stop - columns.start),
            )
            total[part] += odd * error
            odds[part] += odd
            most[part] = np.maximum(most[part], weight)
        return (total / odds * most).astype(np.float32)
