"""Tiled prediction: networks applied to parts of a photo, and the combination of the parts.

The chunk-based system applies Zhang's network to chunks of the full-resolution photo and pools them
by average or maximum. `Tiling` does this, with more rules; `predict_exactly` tiles only to save
memory.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from colorjax import color
from colorjax.errors import RequestError, unknown_name
from colorjax.inference.engines.engine import Engine
from colorjax.inference.planes import Inputs, Size, enlarged, shrunk

COMBINATIONS = ("hann", "average", "maximum", "max_chroma", "distribution", "none")
EXACT = "exact"
_MOST_PIXELS = 2**24  # of the canvas of all tiles; larger photos are downsampled to this size
_MOST_CELLS = 2**18  # cells of 4x4 px of the canvas, each with 313 probabilities
_CELL = 4  # pixels; networks with bins predict at a quarter of the input size
_BATCH = 4  # tiles per prediction; a fixed number, for one compilation
_EXACT_CORE = 256  # pixels, minimum side of an exact tile without its halo


@dataclasses.dataclass(frozen=True)
class Tiling:
    """Tile size, stride and combination rule.

    Attributes:
        tile: height and width of a tile, in pixels of the photo.
        stride: step between tiles, down and right, in pixels; at most the tile.
        combine: combination of overlapping predictions of ab. "average": mean; "hann": mean with
            Hann weights; "maximum": the maximum of each of a and b, as in the chunk-based system;
            "max_chroma": the color with the largest chroma; "distribution": mean of the
            distributions over bins with Hann weights, then one annealed mean; "none": later tiles
            overwrite earlier ones.
        keeps_global: takes low frequencies (wavelengths above about a tile's side) from a
            prediction of the whole photo, so that the tiles add only detail.
    """

    tile: tuple[int, int]
    stride: tuple[int, int]
    combine: str = "hann"
    keeps_global: bool = False

    def __post_init__(self):
        if self.combine not in COMBINATIONS:
            raise unknown_name("combine", self.combine, COMBINATIONS)
        for name in ("tile", "stride"):
            if not _is_pair(getattr(self, name)):
                raise RequestError(
                    f"{name} must be (height, width) in whole pixels, such as (256, 256), not "
                    f"{getattr(self, name)!r}"
                )
        pairs = zip(self.stride, self.tile, strict=True)
        if min(self.tile) < 8 or not all(0 < stride <= tile for stride, tile in pairs):
            raise RequestError(
                "a tile must have sides of at least 8 px and a stride from 1 px to its side, not "
                f"tile {self.tile[1]}x{self.tile[0]} with stride {self.stride[1]},{self.stride[0]}"
            )


def _is_pair(value: object) -> bool:
    if not (isinstance(value, tuple | list) and len(value) == 2):
        return False
    return all(isinstance(side, int | np.integer) and not isinstance(side, bool) for side in value)


def tile_starts(length: int, tile: int, stride: int) -> list[int]:
    """Returns the start of each tile along one side; the last tile ends at the end of the side.

    >>> tile_starts(100, 40, 25), tile_starts(30, 40, 25)
    ([0, 25, 50, 60], [0])
    """
    if length <= tile:
        return [0]
    return [*range(0, length - tile, stride), length - tile]


def hann(size: Size) -> np.ndarray:
    """Returns Hann weights (h, w) of a tile's pixels: sin^2 along each side, above 0."""

    def along(length: int) -> np.ndarray:
        return np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2 + 1e-3

    return np.outer(along(size[0]), along(size[1])).astype(np.float32)


def predict_tiles(
    engine: Engine,
    gray: np.ndarray,
    tiling: Tiling,
    working_size: Callable[[int, int], Size],
    shared: Inputs,
) -> np.ndarray:
    """Returns the colors of a photo, predicted tile by tile.

    Each tile is resized to the working size, and its colors back to the tile. A photo smaller than
    a tile is padded to one by mirroring.

    Args:
        engine: the network and its weights.
        gray: (H, W) in [-1, 1], input of the network.
        tiling: tile, stride and rule, in pixels of the photo.
        working_size: (height, width) of a picture -> its working size.
        shared: inputs shared by all tiles, (1, ...) each: global_gray.

    Returns:
        (h, w, 2) float32 ab; h and w are the photo's, or smaller for photos above 16 megapixels.

    Raises:
        RequestError: "distribution" for a method without bins, or one that predicts lightness.
    """
    if engine.facts.predicts_lightness:
        raise RequestError(
            "weights that predict lightness cannot be applied in tiles; leave the tiles out"
        )
    by_bins = tiling.combine == "distribution"
    if by_bins and not engine.facts.has_bins:
        raise RequestError(
            "these weights predict no distribution over bins to combine; give --combine hann"
        )
    most = _MOST_CELLS * _CELL**2 if by_bins else _MOST_PIXELS
    scale = min(1.0, math.sqrt(most / gray.size))
    multiple = _CELL if by_bins else 1
    canvas = _scaled(gray.shape, scale, 1)
    tile = _scaled(tiling.tile, scale, multiple)
    whole = shrunk(gray, canvas)
    room = [max(side, length) for side, length in zip(canvas, tile, strict=True)]
    seen = _mirrored(whole, [-(-side // multiple) * multiple for side in room])
    stride = _scaled(tiling.stride, scale, multiple)
    cut = _Cut(engine, seen, tile, stride, working_size(*tile), shared)
    ab = _combined_shares(cut) if by_bins else _combined_colors(cut, tiling.combine)
    ab = ab[: canvas[0], : canvas[1]]
    if tiling.keeps_global:
        fields = engine.fields(shrunk(whole, working_size(*canvas))) | shared
        ab = _with_global(ab, engine.colors(fields)[0], max(tile) / 4)
    return ab


def _scaled(sides: Size, scale: float, multiple: int) -> Size:
    return tuple(max(1, round(side * scale / multiple)) * multiple for side in sides)


class _Cut(NamedTuple):
    """A canvas cut into tiles."""

    engine: Engine
    seen: np.ndarray  # network input (H, W) in [-1, 1]
    tile: Size
    stride: Size
    working: Size  # working size of a tile
    shared: Inputs

    def predicted(
        self, predict: Callable[[Inputs], np.ndarray]
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yields top, left and prediction of each tile."""
        height, width = self.seen.shape
        corners = [
            (top, left)
            for top in tile_starts(height, self.tile[0], self.stride[0])
            for left in tile_starts(width, self.tile[1], self.stride[1])
        ]
        for first in range(0, len(corners), _BATCH):
            some = corners[first : first + _BATCH]
            each = [self._inputs(top, left) for top, left in some]
            each += each[-1:] * (_BATCH - len(each))  # one shape, one compilation
            predictions = predict(
                {name: np.concatenate([x[name] for x in each]) for name in each[0]}
            )
            yield from ((*corner, one) for corner, one in zip(some, predictions, strict=False))

    def _inputs(self, top: int, left: int) -> Inputs:
        part = self.seen[top : top + self.tile[0], left : left + self.tile[1]]
        return self.engine.fields(shrunk(part, self.working)) | self.shared


def _combined_colors(cut: _Cut, rule: str) -> np.ndarray:
    """Returns the combined ab of all tiles, (h, w, 2)."""
    height, width = cut.tile
    lowest = -np.inf if rule == "maximum" else 0.0
    total = np.full((*cut.seen.shape, 2), lowest, np.float32)
    weight = np.zeros((*cut.seen.shape, 1), np.float32)
    window = hann(cut.tile)[..., None] if rule == "hann" else np.ones((height, width, 1))
    for top, left, small in cut.predicted(cut.engine.colors):
        here = np.s_[top : top + height, left : left + width]
        ab = enlarged(small, cut.tile)
        if rule == "maximum":
            total[here] = np.maximum(total[here], ab)
        elif rule == "none":
            total[here] = ab
        elif rule == "max_chroma":
            chroma = np.linalg.norm(ab, axis=-1, keepdims=True) + 1e-6
            total[here] = np.where(chroma > weight[here], ab, total[here])
            weight[here] = np.maximum(weight[here], chroma)
        else:
            total[here] += window * ab
            weight[here] += window
    return total / weight if rule in ("hann", "average") else total


def _combined_shares(cut: _Cut) -> np.ndarray:
    """Returns ab of the averaged distributions, at a quarter of the canvas, upsampled."""
    height, width = cell = _scaled(cut.tile, 1 / _CELL, 1)
    cells = _scaled(cut.seen.shape, 1 / _CELL, 1)
    total = np.zeros((*cells, color.NUM_BINS), np.float32)
    weight = np.zeros((*cells, 1), np.float32)
    window = hann(cell)[..., None]
    for top, left, shares in cut.predicted(lambda x: cut.engine.distribution(x, cell)):
        y, x = top // _CELL, left // _CELL
        total[y : y + height, x : x + width] += window * shares
        weight[y : y + height, x : x + width] += window
    ab = [cut.engine.mean_of(row / below) for row, below in zip(total, weight, strict=True)]
    return enlarged(np.stack(ab), cut.seen.shape)


def _with_global(local: np.ndarray, whole: np.ndarray, sigma: float) -> np.ndarray:
    """Returns low frequencies of `whole` plus high ones of `local`; sigma in pixels of `local`."""
    from scipy import ndimage  # the import takes 0.2 s: only when needed

    step = max(1.0, sigma / 2)  # this grid is fine enough for such low frequencies
    grid = tuple(max(1, round(side / step)) for side in local.shape[:2])
    spread = (*(sigma * n / side for n, side in zip(grid, local.shape, strict=False)), 0)
    difference = enlarged(whole, grid) - enlarged(local, grid)
    smooth = ndimage.gaussian_filter(difference, spread, mode="nearest")
    return local + enlarged(smooth, local.shape[:2])


def _mirrored(gray: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Returns (H, W) padded below and at the right by mirroring, repeatedly if needed."""
    missing = [(0, wanted - side) for wanted, side in zip(size, gray.shape, strict=True)]
    return np.pad(gray, missing, mode="symmetric") if any(n for _, n in missing) else gray


def predict_exactly(engine: Engine, fields: Inputs) -> np.ndarray:
    """Returns the result of `Engine.colors`, computed in tiles with the memory of one tile.

    Each tile has a halo of all pixels that can affect its colors, and is aligned with the strides
    of the network; only its core is kept.

    Args:
        engine: the network and its weights.
        fields: inputs of one picture, (1, H, W, C) each; see `Method.predict`.

    Returns:
        (H, W, 2) float32 ab, or (H, W, 3) with L first; smaller for photos above 16 megapixels,
        whose predicted tiles are downsampled.

    Raises:
        RequestError: the network has a fixed size, or no `reach`: every color depends on the whole
            photo.
    """
    facts = engine.facts
    reach, multiple = facts.reach, facts.size_multiple
    if facts.fixed_size or reach is None:
        why = (
            f"these weights take photos of {facts.fixed_size}x{facts.fixed_size} px only"
            if facts.fixed_size
            else "with these weights every color depends on the whole photo"
        )
        raise RequestError(f"{why}; give --tile WxH instead of --tile exact, or no --tile")
    fitted = engine.fit(fields)
    shape = height, width = fitted["gray"].shape[1:3]
    core = -(-max(_EXACT_CORE, reach) // multiple) * multiple
    halo = -(-reach // multiple) * multiple
    scale = min(1.0, math.sqrt(_MOST_PIXELS / (height * width)))
    canvas = _scaled(shape, scale, 1)
    result = np.empty((*canvas, 3 if engine.facts.predicts_lightness else 2), np.float32)
    for top in range(0, height, core):
        rows, kept_rows = _span(top, core, halo, height)
        for left in range(0, width, core):
            columns, kept_columns = _span(left, core, halo, width)
            cut = {
                name: x if name == "global_gray" else x[:, rows, columns]
                for name, x in fitted.items()
            }
            predicted = engine.colors(cut)[0][kept_rows, kept_columns]
            target = [
                slice(*(round(end * side / whole) for end in (at, min(at + core, whole))))
                for at, side, whole in zip((top, left), canvas, shape, strict=True)
            ]
            size = tuple(span.stop - span.start for span in target)
            if min(size):
                result[target[0], target[1]] = enlarged(predicted, size)
    return result if scale < 1 else engine.fit_back(result, fields["gray"].shape[1:3])


def _span(at: int, core: int, halo: int, length: int) -> tuple[slice, slice]:
    """Returns the span of a tile with halo along one side, and the span of its core in it."""
    outer = core + 2 * halo
    first = max(0, min(at - halo, length - outer))
    last = min(first + outer, length)
    return slice(first, last), slice(at - first, min(at + core, length) - first)


def seam(ab: np.ndarray, tile: int, stride: int) -> float:
    """Returns the visibility of tile borders; 1: not visible.

    Args:
        ab: (H, W, 2).
        tile: width of a tile, in pixels.
        stride: step between tiles, in pixels.

    Returns:
        mean |ab jump| across the columns where a tile begins or ends, divided by the mean |ab jump|
        one column to either side; NaN without borders.
    """
    width = ab.shape[1]
    begins = tile_starts(width, tile, stride)
    borders = {x for first in begins for x in (first, first + tile) if 2 <= x <= width - 2}
    if not borders:
        return math.nan
    jumps = np.abs(np.diff(ab, axis=1)).mean(axis=(0, 2))  # [x]: from column x to x + 1
    at = [jumps[x - 1] for x in borders]
    near = [jumps[y] for x in borders for y in (x - 2, x)]
    return float(np.mean(at) / max(np.mean(near), 1e-9))
