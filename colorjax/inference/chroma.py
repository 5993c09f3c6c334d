"""Upsampling of predicted colors from the working size to the photo size."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

UPSAMPLINGS = ("guided", "bilinear", "nearest")

# Parameters of guided upsampling, tuned on 24 photos with true chroma downsampled 4 and 8 times
# (benchmarks/upsampling.py).
_EPSILON = 0.01  # variance of L / 100 below which a window counts as flat
_LEAST_FACTOR = 1.5  # below this upsampling factor there is no detail to guide with
# Blur of bilinear upsampling followed by averaging over cells, along each axis.
_BLUR = (1 / 8, 6 / 8, 1 / 8)
_FILTERED_PIXELS = 2**15  # at a time


class Guide:
    """The lightness of a photo at a working size, which guides the upsampling of its colors.

    Attributes:
        coarse: (h, w) float32, L / 100.
    """

    def __init__(self, lightness: np.ndarray, size: tuple[int, int]):
        """Shrinks the lightness (H, W) of a photo to the working size (h, w)."""
        small = Image.fromarray(lightness).resize(size[::-1], Image.Resampling.BOX)
        self.coarse = np.asarray(small) / 100
        self._mean = _window(self.coarse)
        self._variance = _window(self.coarse * self.coarse) - self._mean * self._mean + _EPSILON

    def slope(self, plane: np.ndarray) -> np.ndarray:
        """Returns the slope of the fit of a plane (h, w) to the lightness, (h, w)."""
        covariance = _window(self.coarse * plane) - self._mean * _window(plane)
        return _window(covariance / self._variance)


class Chroma:
    """Predicted colors of one photo at a working size, upsampled in bands of rows.

    "nearest" repeats pixels, as DDColor's program does: row k of H is row floor(k h / H) of h.
    "bilinear" interpolates. "guided" aligns color edges with the photo's lightness: at each pixel
    of the working size a and b are fitted linearly to L in windows of 3x3, as in the guided filter
    of He, Sun and Tang 2010, and the detail of L (photo minus upsampled L) is added times the
    slope of the fit:

        ab = U(S ab) + U(slope) (L - U(S L))

    where U upsamples bilinearly and S, ab + (ab - blurred ab), compensates the blur of U, so that
    the downsampled result equals the prediction.
    """

    def __init__(
        self, colors: np.ndarray, photo_size: tuple[int, int], *, repeats_pixels: bool = False
    ):
        """Stores a prediction for a photo of the given size.

        Args:
            colors: (h, w, 2) ab in Lab units, or (h, w, 3) with a predicted L before them.
            photo_size: height and width, in pixels.
            repeats_pixels: "nearest" instead of "bilinear".
        """
        self._size = photo_size
        self._repeats_pixels = repeats_pixels
        self._colors = np.asarray(colors, np.float32)
        self._planes = [_image(plane) for plane in np.moveaxis(self._colors, -1, 0)]

    @property
    def has_lightness(self) -> bool:
        """Whether the prediction includes lightness."""
        return self._colors.shape[-1] == 3

    def guide(self, lightness: np.ndarray) -> None:
        """Guides the upsampling by the lightness of the photo.

        Args:
            lightness: (H, W) float32, L in [0, 100].
        """
        if not self._can_be_guided:
            return
        guide = self._guide_of(lightness)
        self._planes = []
        slopes = []
        for plane in np.moveaxis(
            self._colors, -1, 0
        ):  # one by one to save memory: a tiled canvas has up to 16 megapixels
            slopes.append(_image(guide.slope(plane)))
            self._planes.append(_image(sharpened(plane)))
        self._planes += [*slopes, _image(sharpened(guide.coarse))]

    @property
    def _can_be_guided(self) -> bool:
        height, width = self._colors.shape[:2]
        factor = min(self._size[0] / height, self._size[1] / width)
        return not self.has_lightness and factor >= _LEAST_FACTOR

    def _guide_of(self, lightness: np.ndarray) -> Guide:
        return Guide(lightness, self._colors.shape[:2])

    def rows(self, rows: slice, lightness: np.ndarray) -> tuple[np.ndarray, ...]:
        """Returns planes of some rows of the photo, each (n, W) float32: (L,) a and b.

        Interpolation also uses pixels outside the rows, so bands meet without a seam.

        Args:
            rows: rows of the photo.
            lightness: (n, W), L of these rows.
        """
        enlarge = _repeated if self._repeats_pixels else _enlarged
        planes = [enlarge(plane, rows, self._size) for plane in self._planes]
        if len(planes) < 5:
            return tuple(planes)
        a, b, slope_a, slope_b, coarse = planes
        detail = lightness / 100 - coarse
        return a + slope_a * detail, b + slope_b * detail


def bands(height: int, width: int, pixels: int) -> Iterator[slice]:
    """Yields bands of rows of at most `pixels` pixels, or of one row."""
    rows = max(1, pixels // width)
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


# Equal to scipy.ndimage bit for bit, in double precision and in its order of additions. Importing
# scipy.ndimage takes a tenth of the time of a first picture.


def _window(plane: np.ndarray) -> np.ndarray:
    """Returns the mean over windows of 3x3, (h, w); edges are repeated."""
    return _filtered(_filtered(plane, _mean_of_rows).T, _mean_of_rows).T


def sharpened(plane: np.ndarray) -> np.ndarray:
    """Returns a plane (h, w) that compensates the blur of bilinear upsampling."""
    return 2 * plane - _filtered(_filtered(plane, _blurred_rows).T, _blurred_rows).T


def _filtered(plane: np.ndarray, along: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Returns a plane (h, w) filtered along its columns, in parts to save memory.

    Args:
        plane: (h, w) float32.
        along: maps (h + 2, n) float64, with repeated edges, to (h, n).
    """
    height, width = plane.shape
    result = np.empty((height, width), np.float32)
    step = max(1, _FILTERED_PIXELS // height)
    for left in range(0, width, step):
        columns = slice(left, left + step)
        result[:, columns] = along(
            np.pad(plane[:, columns], ((1, 1), (0, 0)), "edge").astype(float)
        )
    return result


def _mean_of_rows(rows: np.ndarray) -> np.ndarray:
    sums = np.empty((len(rows) - 2, rows.shape[1]))
    sums[0] = rows[0] + rows[1] + rows[2]
    np.subtract(rows[3:], rows[:-3], out=sums[1:])
    for before, row in itertools.pairwise(sums):  # np.add.accumulate takes twice as long
        row += before
    return sums / 3


def _blurred_rows(rows: np.ndarray) -> np.ndarray:
    return rows[1:-1] * _BLUR[1] + (rows[:-2] + rows[2:]) * _BLUR[0]


def _image(plane: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(plane, np.float32))


def _repeated(small: Image.Image, rows: slice, size: tuple[int, int]) -> np.ndarray:
    """Returns some rows of a plane resized to (H, W) = `size` by `nearest`."""
    y = nearest(small.height, size[0])[rows]
    return np.asarray(small)[y[:, None], nearest(small.width, size[1])]


def nearest(old: int, new: int) -> np.ndarray:
    """Returns the source index of each of `new` pixels, as PyTorch's `interpolate` does.

    >>> nearest(3, 7).tolist(), nearest(7, 3).tolist()
    ([0, 0, 0, 1, 1, 2, 2], [0, 2, 4])
    """
    return np.arange(new) * old // new


def _enlarged(small: Image.Image, rows: slice, size: tuple[int, int]) -> np.ndarray:
    """Returns some rows of a plane resized bilinearly to (H, W) = `size`.

    If the plane is larger than `size`, Pillow averages instead of skipping pixels.
    """
    height, width = size
    box = (0, rows.start * small.height / height, small.width, rows.stop * small.height / height)
    wanted = (width, rows.stop - rows.start)
    return np.asarray(small.resize(wanted, Image.Resampling.BILINEAR, box))
