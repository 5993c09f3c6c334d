"""Adapter from the Colorizer to films: predicts chroma and paints frames with it."""

from __future__ import annotations

import numpy as np

from colorjax.errors import RequestError
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.planes import saturated


class FramePainter:
    """Paints frames with a `Colorizer`.

    Frames keep their own lightness, even with weights that predict lightness for photos.
    """

    def __init__(self, colorizer: Colorizer, saturation: float = 1.0):
        """Stores a loaded Colorizer and the factor on the predicted a and b."""
        if not 0 <= saturation < np.inf:
            raise RequestError(f"saturation must be at least 0, not {saturation}")
        self._colorizer = colorizer
        self._saturation = saturation
        self._seen: tuple[np.ndarray, np.ndarray] | None = None  # last predicted frame, its L
        factor = colorizer.saturation * saturation
        self.settings = f"step {colorizer.step}, saturation {factor}, {colorizer.working_size}"

    @property
    def weights(self) -> str:
        """Name of the weights."""
        return self._colorizer.name

    @property
    def compile_seconds(self) -> float:
        """Seconds of compilation so far."""
        return self._colorizer.compile_seconds

    def predict_ab(self, rgb: np.ndarray) -> np.ndarray:
        """Returns a and b at the working size, float32 (h, w, 2), of sRGB uint8 (H, W, 3)."""
        lightness, ab = self._colorizer.look_and_predict_ab(rgb)
        self._seen = rgb, lightness
        return saturated(ab, self._saturation)

    def paint(self, rgb: np.ndarray, ab: np.ndarray) -> np.ndarray:
        """Returns sRGB uint8 (H, W, 3) of the frame's own L and of a and b (h, w, 2).

        L is reused if this frame, the same array, was the last one passed to `predict_ab`.
        """
        seen, lightness = self._seen or (None, None)
        return self._colorizer.paint_ab(rgb, ab, lightness if seen is rgb else None)
