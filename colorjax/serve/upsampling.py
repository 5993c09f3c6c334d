"""Upsampling of one photo's colors again and again: what depends on its lightness is kept."""

from __future__ import annotations

import functools

import numpy as np

from colorjax.inference.chroma import Chroma, Guide, sharpened


class Upsampler:
    """Creates the `Chroma` of one photo, faster than the general one and equal to it.

    The guide is computed once. Planes are enlarged between columns as a whole, while they have few
    rows, and between rows where rows are asked for.
    """

    def __init__(self, lightness: np.ndarray):
        """Takes L of the photo, (H, W) float32."""
        self.lightness = lightness
        self._guides: dict[tuple[int, int], tuple[Guide, np.ndarray]] = {}

    def __call__(self, colors: np.ndarray, photo_size: tuple[int, int]) -> Chroma:
        """Returns the upsampled colors (h, w, 2 or 3) of the photo, of size (H, W)."""
        return _KeptChroma(colors, photo_size, self)

    def guide(self, size: tuple[int, int]) -> tuple[Guide, np.ndarray]:
        """Returns the guide at a working size, and the detail of L / 100 that it lacks, (H, W)."""
        if size not in self._guides:
            guide = Guide(self.lightness, size)
            height, width = self.lightness.shape
            wide = widened(sharpened(guide.coarse)[None], width)
            (coarse,) = heightened(wide, height, slice(0, height))
            self._guides = {size: (guide, self.lightness / 100 - coarse)}
        return self._guides[size]


class _KeptChroma(Chroma):
    def __init__(self, colors: np.ndarray, photo_size: tuple[int, int], upsampler: Upsampler):
        super().__init__(colors, photo_size)
        self._upsampler = upsampler
        self._wide: np.ndarray | None = None  # (2, 3 or 4, h, W)
        self._detail: np.ndarray | None = None
        height, width = self._colors.shape[:2]
        self._is_enlarged = photo_size[0] >= height and photo_size[1] >= width

    def guide(self, lightness: np.ndarray) -> None:
        if self._can_be_guided:
            guide, self._detail = self._upsampler.guide(self._colors.shape[:2])
            planes = np.moveaxis(self._colors, -1, 0)
            small = [*map(sharpened, planes), *map(guide.slope, planes)]
            self._wide = widened(np.stack(small), self._size[1])

    def rows(self, rows: slice, lightness: np.ndarray) -> tuple[np.ndarray, ...]:
        if not self._is_enlarged:  # a photo smaller than the working size
            return super().rows(rows, lightness)
        if self._wide is None:
            self._wide = widened(np.moveaxis(self._colors, -1, 0), self._size[1])
        planes = heightened(self._wide, self._size[0], rows)
        if self._detail is None:
            return tuple(planes)
        a, b, slope_a, slope_b = planes
        slope_a *= self._detail[rows]
        slope_b *= self._detail[rows]
        a += slope_a
        b += slope_b
        return a, b


def widened(planes: np.ndarray, width: int) -> np.ndarray:
    """Returns planes (n, h, w) interpolated between columns, (n, h, W) float32, W >= w."""
    low, high, share = _neighbors(planes.shape[2], width)
    return _mixed(planes[:, :, low], planes[:, :, high], share)


def heightened(planes: np.ndarray, height: int, rows: slice) -> np.ndarray:
    """Returns some rows of planes (n, h, W) interpolated to (n, H, W) float32, H >= h."""
    low, high, share = (part[rows] for part in _neighbors(planes.shape[1], height))
    return _mixed(planes[:, low], planes[:, high], share[:, None])


def _mixed(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    second -= first
    second *= share
    second += first
    return second


@functools.lru_cache(8)
def _neighbors(small: int, large: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the two neighbors of each pixel of the larger side, and the share of the second."""
    place = np.clip((np.arange(large) + 0.5) * small / large - 0.5, 0, small - 1)
    low = np.floor(place).astype(int)
    return low, np.minimum(low + 1, small - 1), (place - low).astype(np.float32)
