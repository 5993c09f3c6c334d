"""Predicted colours at a working size, and how they come to the size of the photo."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image
from scipy import ndimage

UPSAMPLINGS = ("guided", "bilinear")

# Of the guided enlargement, chosen on 24 photos whose true chroma was made 4 and 8 times smaller
# (benchmarks/upsampling.py).
_EPSILON = 0.01  # variance of L / 100 below which a window is flat
_LEAST_FACTOR = 1.5  # photos that are hardly larger than the working size have nothing to guide
# What bilinear enlargement and averaging over cells make of a plane, along each axis.
_BLUR = (1 / 8, 6 / 8, 1 / 8)


class Chroma:
    """Predicted colours of one photo at a working size, enlarged row by row.

    "bilinear" interpolates. "guided" also lets the photo's own lightness say where a colour ends:
    around each pixel of the working size a and b are explained by L (a linear fit in windows of
    3x3, as in the guided filter of He, Sun and Tang 2010), and what the enlarged L lacks against
    the photo's, its detail, is added times that slope:

        ab = U(S ab) + U(slope) (L - U(S L))

    where U enlarges bilinearly and S, ab + (ab - blurred ab), undoes the blur of doing so, so that
    the result, made small again, is what was predicted.
    """

    def __init__(self, shown: np.ndarray, photo_size: tuple[int, int]):
        """Takes what was predicted, for a photo of that height and width.

        Args:
            shown: (h, w, 2) ab in Lab units, or (h, w, 3) with a predicted L before them.
            photo_size: height and width, in pixels.
        """
        self._size = photo_size
        self._shown = np.asarray(shown, np.float32)
        self._planes = [_image(plane) for plane in np.moveaxis(self._shown, -1, 0)]

    @property
    def has_lightness(self) -> bool:
        """Whether the lightness was predicted with the colours."""
        return self._shown.shape[-1] == 3

    def guide(self, lightness: np.ndarray) -> None:
        """Lets a photo's lightness guide the enlargement.

        Args:
            lightness: (H, W) float32, L in [0, 100].
        """
        height, width = self._shown.shape[:2]
        factor = min(self._size[0] / height, self._size[1] / width)
        if self.has_lightness or factor < _LEAST_FACTOR:
            return
        small = Image.fromarray(lightness).resize((width, height), Image.Resampling.BOX)
        coarse = np.asarray(small) / 100
        mean = _window(coarse)
        room = _window(coarse * coarse) - mean * mean + _EPSILON
        self._planes = []
        slopes = []
        for shown in np.moveaxis(self._shown, -1, 0):  # one by one: tiles meet on 16 megapixels
            covariance = _window(coarse * shown) - mean * _window(shown)
            slopes.append(_image(_window(covariance / room)))
            self._planes.append(_image(_sharpened(shown)))
        self._planes += [*slopes, _image(_sharpened(coarse))]

    def rows(self, rows: slice, lightness: np.ndarray) -> tuple[np.ndarray, ...]:
        """Returns the planes of some rows of the photo, each (n, W) float32: (L,) a and b.

        The pixels just outside of the rows count too, so bands meet without a seam.

        Args:
            rows: of the photo.
            lightness: (n, W), L of these rows.
        """
        planes = [_enlarged(plane, rows, self._size) for plane in self._planes]
        if len(planes) < 5:
            return tuple(planes)
        a, b, slope_a, slope_b, coarse = planes
        detail = lightness / 100 - coarse
        return a + slope_a * detail, b + slope_b * detail


def bands(height: int, width: int, pixels: int) -> Iterator[slice]:
    """Divides rows into bands of at most so many pixels, or of one row."""
    rows = max(1, pixels // width)
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def _window(plane: np.ndarray) -> np.ndarray:
    """Returns the means (h, w) of windows of 3x3."""
    return ndimage.uniform_filter(plane, 3, mode="nearest")


def _sharpened(plane: np.ndarray) -> np.ndarray:
    blurred = ndimage.convolve1d(plane, _BLUR, axis=0, mode="nearest")
    return 2 * plane - ndimage.convolve1d(blurred, _BLUR, axis=1, mode="nearest")


def _image(plane: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(plane, np.float32))


def _enlarged(small: Image.Image, rows: slice, size: tuple[int, int]) -> np.ndarray:
    """Returns some rows of a plane resized bilinearly to (H, W) = `size`.

    Where the plane is the larger one, Pillow averages instead of skipping pixels.
    """
    height, width = size
    box = (0, rows.start * small.height / height, small.width, rows.stop * small.height / height)
    wanted = (width, rows.stop - rows.start)
    return np.asarray(small.resize(wanted, Image.Resampling.BILINEAR, box))
