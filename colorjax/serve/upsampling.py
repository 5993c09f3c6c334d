"""Upsampling of one photo's colors again and again: what depends on its lightness is kept."""

from __future__ import annotations

import numpy as np

from colorjax.inference.chroma import Chroma, Guide, sharpened


class Upsampler:
    """Creates the `Chroma` of one photo, faster than the general one and equal to it.

    The guide is computed once. Each plane is interpolated between rows, then by one matrix product
    between columns.
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
            (coarse,) = enlarged(sharpened(guide.coarse)[None], self.lightness.shape)
            self._guides = {size: (guide, self.lightness / 100 - coarse)}
        return self._guides[size]


class _KeptChroma(Chroma):
    """`Chroma` that upsamples all rows when the first ones are asked for."""

    def __init__(self, colors: np.ndarray, photo_size: tuple[int, int], upsampler: Upsampler):
        super().__init__(colors, photo_size)
        self._upsampler = upsampler
        self._full: np.ndarray | None = None  # (2 or 3, H, W)
        self._is_guided = False

    def guide(self, lightness: np.ndarray) -> None:
        self._is_guided = self._can_be_guided

    def rows(self, rows: slice, lightness: np.ndarray) -> tuple[np.ndarray, ...]:
        if self._full is None:
            self._full = self._upsampled()
        return tuple(self._full[:, rows])

    def _upsampled(self) -> np.ndarray:
        planes = np.moveaxis(self._colors, -1, 0)
        if min(self._size[0] / planes.shape[1], self._size[1] / planes.shape[2]) < 1:
            whole = slice(0, self._size[0])  # a photo smaller than the working size
            return np.stack(super().rows(whole, self._upsampler.lightness))
        if not self._is_guided:
            return enlarged(planes, self._size)
        guide, detail = self._upsampler.guide(planes.shape[1:])
        small = [*map(sharpened, planes), *map(guide.slope, planes)]
        a, b, slope_a, slope_b = enlarged(np.stack(small), self._size)
        slope_a *= detail
        slope_b *= detail
        a += slope_a
        b += slope_b
        return np.stack([a, b])


def enlarged(planes: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Returns planes (n, h, w) resized bilinearly to (n, H, W) float32, H >= h and W >= w."""
    number, height, width = planes.shape
    low, high, share = _neighbors(height, size[0])
    tall = planes[:, low] * (1 - share)[:, None] + planes[:, high] * share[:, None]
    low, high, share = _neighbors(width, size[1])
    weights = np.zeros((width, size[1]), np.float32)
    columns = np.arange(size[1])
    weights[low, columns] = 1 - share
    weights[high, columns] += share
    return (tall.reshape(-1, width) @ weights).reshape(number, *size)


def _neighbors(small: int, large: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the two neighbors of each pixel of the larger side, and the share of the second."""
    place = np.clip((np.arange(large) + 0.5) * small / large - 0.5, 0, small - 1)
    low = np.floor(place).astype(int)
    return low, np.minimum(low + 1, small - 1), (place - low).astype(np.float32)
