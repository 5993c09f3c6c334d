"""A photo with a cached network prediction, for interactive hints."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from colorjax.inference.options import Hints, Options
from colorjax.inference.pixels import Picture, open_pixels

if TYPE_CHECKING:
    from colorjax.inference.colorizer import Colorizer


class PreparedPhoto:
    """A photo with a cached prediction; see `Colorizer.prepare`.

    Attributes:
        prediction: of the network; None if hints are an input of the network, which then runs
            again for each call.
    """

    def __init__(self, colorizer: Colorizer, image: Picture, options: Options):
        self._colorizer = colorizer
        self._image = image
        self._options = options
        form = colorizer.hint_form
        self.prediction = None
        if form != "input":
            pixels = open_pixels(image)
            self.prediction = colorizer.predict(pixels, options, with_keys=form == "spread")

    def colorize(self, hints: Hints = ()) -> Any:
        """Returns the photo colorized with these hints only, as `Colorizer.colorize`."""
        pixels = open_pixels(self._image)
        options = dataclasses.replace(self._options, hints=hints)
        self._colorizer.paint_hinted(pixels, options, self.prediction)
        return pixels.result
