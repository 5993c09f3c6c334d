"""Tiles: networks applied to parts of a photo, and how overlapping predictions become one.

The fifth system applies Zhang's network to chunks of the full-resolution photo and pools them by
average or maximum. `Tiling` is that, with better rules; `predict_exactly` cuts only to save memory.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from colorjax import color
from colorjax.errors import RequestError, unknown_name
from colorjax.inference.predictor import Inputs, Predictor, Size, enlarged, shrunk
from colorjax.methods.method import Method
from colorjax.models.blocks.shapes import squeezed

COMBINATIONS = ("hann", "average", "maximum", "max_chroma", "distribution", "none")
EXACT = "exact"
_MOST_PIXELS = 2**24  # of the canvas on which tiles meet; larger photos are tiled at this size
_MOST_CELLS = 2**18  # of 4x4 px of the canvas, each with 313 shares
_CELL = 4  # pixels; networks with bins predict at a quarter of their size
_BATCH = 4  # tiles predicted at a time: one shape, whatever their number
_EXACT_CORE = 256  # pixels, the side of an exact tile without its halo; at least


@dataclasses.dataclass(frozen=True)
class Tiling:
    """Tiles of a photo.

    Attributes:
        tile: height and width of a tile, in pixels of the photo.
        stride: from one tile to the next, down and right, in pixels; at most the tile.
        combine: what becomes of overlapping predictions of ab. "average"; "hann": an average
            that trusts the middle of a tile most; "maximum": the larger of each of a and b, as the
            fifth system; "max_chroma": the colour of the largest chroma; "distribution": averages
            the distributions over bins, by "hann", and takes the annealed mean once; "none": the
            last tile covers the earlier ones, plain pasting.
        keeps_global: takes the low frequencies, of more than about a tile's side, from a
            prediction of the whole photo, so that the tiles add detail alone.
    """

    tile: tuple[int, int]
    stride: tuple[int, int]
    combine: str = "hann"
    keeps_global: bool = False

    def __post_init__(self):
        if self.combine not in COMBINATIONS:
            raise unknown_name("combine", self.combine, COMBINATIONS)
        pairs = zip(self.stride, self.tile, strict=True)
        if min(self.tile) < 8 or not all(0 < stride <= tile for stride, tile in pairs):
            raise RequestError(
                "a tile has sides of at least 8 px and a stride from 1 px to its side, not "
                f"tile {self.tile[1]}x{self.tile[0]} with stride {self.stride[1]},{self.stride[0]}"
            )


def tile_starts(length: int, tile: int, stride: int) -> list[int]:
    """Returns where tiles begin along one side; the last ends where the side ends.

    >>> tile_starts(100, 40, 25), tile_starts(30, 40, 25)
    ([0, 25, 50, 60], [0])
    """
    if length <= tile:
        return [0]
    return [*range(0, length - tile, stride), length - tile]


def hann(size: Size) -> np.ndarray:
    """Returns the weights (h, w) of a tile's pixels: sin^2 along each side, nowhere 0."""

    def along(length: int) -> np.ndarray:
        return np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2 + 1e-3

    return np.outer(along(size[0]), along(size[1])).astype(np.float32)


def predict_tiles(
    predictor: Predictor,
    grey: np.ndarray,
    tiling: Tiling,
    working_size: Callable[[int, int], Size],
    shared: Inputs,
) -> np.ndarray:
    """Predicts the colours of a photo tile by tile.

    Each tile is resized to the network's working size, and its colours back to the tile. A photo
    smaller than a tile is mirrored at its edges up to one.

    Args:
        predictor: the method and its weights.
        grey: (H, W) in [-1, 1], the photo as the network sees it.
        tiling: tile, stride and rule, in pixels of the photo.
        working_size: (height, width) of a picture -> those at which it is predicted.
        shared: inputs that are the same for each tile, (1, ...) each: global_grey.

    Returns:
        (h, w, 2) float32 ab; h and w are the photo's, or smaller for photos above 16 megapixels.

    Raises:
        RequestError: "distribution" for a method without bins, or one that predicts lightness.
    """
    if predictor.method.predicts_lightness:
        raise RequestError("weights that predict the lightness too are not applied in tiles")
    by_bins = tiling.combine == "distribution"
    if by_bins and not predictor.has_bins:
        raise RequestError(
            "these weights predict no distribution over bins to combine; take --combine hann"
        )
    most = _MOST_CELLS * _CELL**2 if by_bins else _MOST_PIXELS
    scale = min(1.0, math.sqrt(most / grey.size))
    multiple = _CELL if by_bins else 1
    canvas = _scaled(grey.shape, scale, 1)
    tile = _scaled(tiling.tile, scale, multiple)
    whole = shrunk(grey, canvas)
    room = [max(side, length) for side, length in zip(canvas, tile, strict=True)]
    seen = _mirrored(whole, [-(-side // multiple) * multiple for side in room])
    stride = _scaled(tiling.stride, scale, multiple)
    cut = _Cut(predictor, seen, tile, stride, working_size(*tile), shared)
    ab = _combined_shares(cut) if by_bins else _combined_colors(cut, tiling.combine)
    ab = ab[: canvas[0], : canvas[1]]
    if tiling.keeps_global:
        fields = predictor.fields(shrunk(whole, working_size(*canvas))) | shared
        ab = _with_global(ab, predictor.colors(fields)[0], max(tile) / 4)
    return ab


def _scaled(sides: Size, scale: float, multiple: int) -> Size:
    return tuple(max(1, round(side * scale / multiple)) * multiple for side in sides)


class _Cut(NamedTuple):
    """A canvas cut into tiles."""

    predictor: Predictor
    seen: np.ndarray  # (H, W) in [-1, 1]
    tile: Size
    stride: Size
    working: Size  # at which a tile is predicted
    shared: Inputs

    def predicted(
        self, predict: Callable[[Inputs], np.ndarray]
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yields the top, the left and the prediction of each tile."""
        height, width = self.seen.shape
        places = [
            (top, left)
            for top in tile_starts(height, self.tile[0], self.stride[0])
            for left in tile_starts(width, self.tile[1], self.stride[1])
        ]
        for first in range(0, len(places), _BATCH):
            some = places[first : first + _BATCH]
            each = [self._inputs(top, left) for top, left in some]
            each += each[-1:] * (_BATCH - len(each))  # one shape, one compilation
            found = predict({name: np.concatenate([x[name] for x in each]) for name in each[0]})
            yield from ((*place, one) for place, one in zip(some, found, strict=False))

    def _inputs(self, top: int, left: int) -> Inputs:
        part = self.seen[top : top + self.tile[0], left : left + self.tile[1]]
        return self.predictor.fields(shrunk(part, self.working)) | self.shared


def _combined_colors(cut: _Cut, rule: str) -> np.ndarray:
    """Returns ab (h, w, 2) of all tiles on their canvas."""
    height, width = cut.tile
    lowest = -np.inf if rule == "maximum" else 0.0
    found = np.full((*cut.seen.shape, 2), lowest, np.float32)
    weight = np.zeros((*cut.seen.shape, 1), np.float32)
    window = hann(cut.tile)[..., None] if rule == "hann" else np.ones((height, width, 1))
    for top, left, small in cut.predicted(cut.predictor.colors):
        here = np.s_[top : top + height, left : left + width]
        ab = enlarged(small, cut.tile)
        if rule == "maximum":
            found[here] = np.maximum(found[here], ab)
        elif rule == "none":
            found[here] = ab
        elif rule == "max_chroma":
            chroma = np.linalg.norm(ab, axis=-1, keepdims=True) + 1e-6
            found[here] = np.where(chroma > weight[here], ab, found[here])
            weight[here] = np.maximum(weight[here], chroma)
        else:
            found[here] += window * ab
            weight[here] += window
    return found / weight if rule in ("hann", "average") else found


def _combined_shares(cut: _Cut) -> np.ndarray:
    """Returns ab of the averaged distributions, at a quarter of the canvas and enlarged."""
    height, width = cell = _scaled(cut.tile, 1 / _CELL, 1)
    cells = _scaled(cut.seen.shape, 1 / _CELL, 1)
    found = np.zeros((*cells, color.NUM_BINS), np.float32)
    weight = np.zeros((*cells, 1), np.float32)
    window = hann(cell)[..., None]
    for top, left, shares in cut.predicted(lambda x: cut.predictor.distribution(x, cell)):
        y, x = top // _CELL, left // _CELL
        found[y : y + height, x : x + width] += window * shares
        weight[y : y + height, x : x + width] += window
    ab = [cut.predictor.mean_of(row / below) for row, below in zip(found, weight, strict=True)]
    return enlarged(np.stack(ab), cut.seen.shape)


def _with_global(local: np.ndarray, whole: np.ndarray, sigma: float) -> np.ndarray:
    """Returns the low frequencies of `whole` and the high ones of `local`; sigma in its pixels."""
    step = max(1.0, sigma / 2)  # such low frequencies need no more than this of a grid
    grid = tuple(max(1, round(side / step)) for side in local.shape[:2])
    spread = (*(sigma * n / side for n, side in zip(grid, local.shape, strict=False)), 0)
    difference = enlarged(whole, grid) - enlarged(local, grid)
    smooth = ndimage.gaussian_filter(difference, spread, mode="nearest")
    return local + enlarged(smooth, local.shape[:2])


def _mirrored(grey: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Pads (H, W) below and at the right; mirrors as often as a small photo needs."""
    missing = [(0, wanted - side) for wanted, side in zip(size, grey.shape, strict=True)]
    return np.pad(grey, missing, mode="symmetric") if any(n for _, n in missing) else grey


def predict_exactly(predictor: Predictor, fields: Inputs) -> np.ndarray:
    """Predicts a picture as `Predictor.colors` would, in tiles, with the memory of one tile.

    Every tile brings a halo of all pixels that can change its colours, and begins where the
    network's strides do; only its middle is kept.

    Args:
        predictor: the method and its weights.
        fields: inputs of one picture, (1, H, W, C) each; see `Method.predict`.

    Returns:
        (H, W, 2) float32 ab, or with L before it; smaller for photos above 16 megapixels, whose
        tiles are made smaller once they are predicted.

    Raises:
        RequestError: the network has one size, or no `reach`: it sees the whole photo.
    """
    network = predictor.method.network
    reach, multiple = getattr(network, "reach", None), network.size_multiple
    if network.fixed_size or reach is None:
        why = (
            f"these weights take photos of {network.fixed_size}x{network.fixed_size} px only"
            if network.fixed_size
            else "with these weights every color depends on the whole photo"
        )
        raise RequestError(f"{why}; give --tile WxH instead of --tile exact, or no --tile")
    fitted = _fitted(predictor.method, fields)
    shape = height, width = fitted["grey"].shape[1:3]
    core = -(-max(_EXACT_CORE, reach) // multiple) * multiple
    halo = -(-reach // multiple) * multiple
    scale = min(1.0, math.sqrt(_MOST_PIXELS / (height * width)))
    canvas = _scaled(shape, scale, 1)
    found = np.empty((*canvas, 3 if predictor.method.predicts_lightness else 2), np.float32)
    for top in range(0, height, core):
        rows, kept_rows = _span(top, core, halo, height)
        for left in range(0, width, core):
            columns, kept_columns = _span(left, core, halo, width)
            cut = {
                name: x if name == "global_grey" else x[:, rows, columns]
                for name, x in fitted.items()
            }
            predicted = predictor.colors(cut)[0][kept_rows, kept_columns]
            place = [
                slice(*(round(end * side / whole) for end in (at, min(at + core, whole))))
                for at, side, whole in zip((top, left), canvas, shape, strict=True)
            ]
            size = tuple(span.stop - span.start for span in place)
            if min(size):
                found[place[0], place[1]] = enlarged(predicted, size)
    return found if scale < 1 else _fitted_back(predictor.method, found, fields["grey"].shape[1:3])


def _fitted(method: Method, fields: Inputs) -> Inputs:
    """Returns `Method.fit` of a whole photo's fields, with no copy where there is nothing to do."""
    size = method.network_size(*fields["grey"].shape[1:3])
    wanted = {name: x for name, x in fields.items() if name in method.network.inputs}
    if size != fields["grey"].shape[1:3]:
        wanted = {name: np.asarray(x) for name, x in method.fit(fields).items()}
    side = method.global_size
    if side is not None and "global_grey" not in wanted:
        wanted["global_grey"] = np.asarray(squeezed(jnp.asarray(wanted["grey"]), side))
    return wanted


def _fitted_back(method: Method, found: np.ndarray, size: Size) -> np.ndarray:
    if method.network.fit == "pad" or found.shape[:2] == size:
        return found[: size[0], : size[1]]
    return np.asarray(method.fit_back(jnp.asarray(found[None]), size)[0])


def _span(at: int, core: int, halo: int, length: int) -> tuple[slice, slice]:
    """Returns what a tile takes of one side, as many pixels as others, and what of it counts."""
    outer = core + 2 * halo
    first = max(0, min(at - halo, length - outer))
    last = min(first + outer, length)
    return slice(first, last), slice(at - first, min(at + core, length) - first)


def seam(ab: np.ndarray, tile: int, stride: int) -> float:
    """Measures how visible the borders of tiles are: 1 where they are not.

    Args:
        ab: (H, W, 2).
        tile: width of a tile, in pixels.
        stride: between tiles, in pixels.

    Returns:
        mean |ab jump| across the columns where a tile begins or ends, divided by the mean |ab jump|
        one column beside them; NaN without borders.
    """
    width = ab.shape[1]
    begins = tile_starts(width, tile, stride)
    borders = {x for first in begins for x in (first, first + tile) if 2 <= x <= width - 2}
    if not borders:
        return math.nan
    jumps = np.abs(np.diff(ab, axis=1)).mean(axis=(0, 2))  # [x]: from column x to x + 1
    at = [jumps[x - 1] for x in borders]
    beside = [jumps[y] for x in borders for y in (x - 2, x)]
    return float(np.mean(at) / max(np.mean(beside), 1e-9))
