"""The two things that a film needs of a Colorizer: chroma in small, and a frame painted with it.

The one place of the films that knows the Colorizer from inside.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from colorjax.errors import RequestError
from colorjax.inference import colorizer as photos
from colorjax.inference.colorizer import Colorizer


class FramePainter:
    """Paints frames with a `Colorizer`, as it paints photos.

    Frames keep their own lightness also with weights that predict one for photos.
    """

    def __init__(self, colorizer: Colorizer, saturation: float = 1.0):
        """Takes a loaded Colorizer, and the factor on the predicted a and b."""
        if not 0 <= saturation < np.inf:
            raise RequestError(f"saturation is at least 0, not {saturation}")
        self._colorizer = colorizer
        self._options = photos._Options((), saturation, None)
        self.settings = f"step {colorizer.step}, saturation {saturation}, {vars(colorizer._size)}"

    @property
    def compile_seconds(self) -> float:
        """Seconds spent on compilation so far."""
        return self._colorizer.compile_seconds

    def predict_ab(self, rgb: np.ndarray) -> np.ndarray:
        """Returns a and b at the working size, float32 (h, w, 2), of sRGB uint8 (H, W, 3)."""
        bands = [rgb[rows] for rows in photos._bands(*rgb.shape[:2])]
        grey = [self._colorizer._grey(band, photos._lightness(band)) for band in bands]
        planes = self._colorizer._predict(np.concatenate(grey), (), self._options)
        return np.stack([np.asarray(plane) for plane in planes[-2:]], axis=-1)

    def paint(self, rgb: np.ndarray, ab: np.ndarray) -> np.ndarray:
        """Returns sRGB uint8 (H, W, 3) of the frame's own L and of a and b (h, w, 2)."""
        planes = [Image.fromarray(np.ascontiguousarray(ab[..., channel])) for channel in (0, 1)]
        painted = np.empty_like(rgb)
        for rows in photos._bands(*rgb.shape[:2]):
            a, b = (photos._enlarged_rows(plane, rows, rgb[..., 0]) for plane in planes)
            painted[rows] = self._colorizer._paint(photos._lightness(rgb[rows]), a, b, rgb.dtype)
        return painted
