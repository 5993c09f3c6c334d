"""A photo with a cached network prediction, for interactive hints."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from colorjax.inference.options import Hints, Options
from colorjax.inference.pixels import ArrayPixels

if TYPE_CHECKING:
    from colorjax.inference.colorizer import Colorizer


class PreparedPhoto:
    """A photo with a cached prediction; see `Colorizer.prepare`.

    Attributes:
        prediction: of the network; None if hints are an input of the network, which then runs
            again for each call.
    """

    def __init__(self, colorizer: Colorizer, image: np.ndarray | Image.Image, options: Options):
        self._colorizer = colorizer
        self._image = image
        self._options = options
        form = colorizer.hint_form
        self.prediction = None
        if form != "input":
            pixels = ArrayPixels.of(image)
            self.prediction = colorizer.predict(pixels, options, with_keys=form == "spread")

    def colorize(self, hints: Hints = ()) -> np.ndarray | Image.Image:
        """Returns the photo colorized with these hints only, as `Colorizer.colorize`."""
        pixels = ArrayPixels.of(self._image)
        options = dataclasses.replace(self._options, hints=hints)
        self._colorizer.paint_hinted(pixels, options, self.prediction)
        painted = pixels.painted
        is_array = isinstance(self._image, np.ndarray)
        return painted if is_array else Image.fromarray(painted)
