"""A photo with a cached network prediction, for interactive hints, questions and samples."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from colorjax import color
from colorjax.errors import RequestError
from colorjax.inference import hints as user_hints
from colorjax.inference import questions, samples, suggestions
from colorjax.inference.beliefs import Beliefs, Known, entropy
from colorjax.inference.hinting import cells_of
from colorjax.inference.hints import Hint
from colorjax.inference.options import Hints, Options
from colorjax.inference.pixels import Picture, Pixels, open_pixels
from colorjax.inference.planes import enlarged
from colorjax.inference.questions import Question
from colorjax.inference.suggestions import Suggestion

if TYPE_CHECKING:
    from colorjax.inference.colorizer import Colorizer
    from colorjax.inference.hinting import Prediction


class PreparedPhoto:
    """A photo with a cached prediction; see `Colorizer.prepare`.

    Attributes:
        prediction: of the network; None if hints are an input of the network, which then runs
            again for each call.
    """

    def __init__(
        self,
        colorizer: Colorizer,
        image: Picture | Callable[[], Pixels],
        options: Options,
        prediction: Prediction | None = None,
    ):
        """Stores a photo, and runs the network unless its prediction is given.

        Args:
            colorizer: the weights.
            image: as for `Colorizer.colorize`; or a function that opens the photo.
            options: options of `Colorizer.colorize`, without hints.
            prediction: for this photo, if known.
        """
        self._colorizer = colorizer
        self._open: Callable[[], Any] = image if callable(image) else lambda: open_pixels(image)
        self._options = options
        form = colorizer.hint_form
        self.prediction = prediction
        if prediction is None and form != "input":
            self.prediction = colorizer.predict(self._open(), options, with_keys=form == "spread")

    def colorize(self, hints: Hints = ()) -> Any:
        """Returns the photo colorized with these hints only, as `Colorizer.colorize`."""
        pixels = self._open()
        self.paint(pixels, hints)
        return pixels.result

    def paint(self, pixels: Pixels, hints: Hints = ()) -> None:
        """Colorizes the photo in place with these hints only, as `Colorizer.paint`."""
        options = dataclasses.replace(self._options, hints=hints)
        self._colorizer.paint_hinted(pixels, options, self.prediction)

    def suggest(self, x: int, y: int, k: int = 6, hints: Hints = ()) -> list[Suggestion]:
        """Returns up to k likely colors of a pixel, the most likely first.

        Args:
            x: column in pixels of the upright photo, from 0 at the left.
            y: row in pixels of the upright photo, from 0 at the top.
            k: number of colors. They are at least `suggestions.APART` ab units from each other.
            hints: known colors, as for `colorize`.

        Raises:
            RequestError: the pixel is outside the photo, a hint is invalid, or the weights predict
                no distribution over bins.
        """
        height, width = self.lightness.shape
        pixel = user_hints.checked([(x, y, "#000000")], height, width)[0]
        beliefs = self._given(hints)
        row, column = cells_of([pixel], (height, width), beliefs.grid)[0]
        lightness = float(self.lightness[pixel.y, pixel.x])
        return suggestions.suggest(beliefs.log_shares[row, column], lightness, k)

    def uncertainty(self, hints: Hints = ()) -> np.ndarray:
        """Returns the entropy of the calibrated distribution over the bins.

        Args:
            hints: known colors, as for `colorize`.

        Returns:
            (h, w) float32 on the network's grid, in nats divided by log(313): 0 (certain) to 1.

        Raises:
            RequestError: see `suggest`.
        """
        return entropy(self._given(hints).log_shares)

    def ask(self, k: int = 5, hints: Hints = ()) -> list[Question]:
        """Returns the k pixels whose true color would change the picture most.

        Args:
            k: number of pixels.
            hints: known colors, as for `colorize`.

        Returns:
            The pixels, the most useful first; the use of each counts what those before it leave.

        Raises:
            RequestError: see `suggest`; or the weights cannot spread hints.
        """
        require_spreading(self._colorizer, "ask")
        beliefs = self._given(hints).coarse()
        result = []
        for row, column, change in questions.choose(beliefs, k):
            x, y = self._pixel(row, column, beliefs.grid)
            result.append(Question(x, y, change, self.suggest(x, y, hints=hints)))
        return result

    def draw(self, k: int = 6, seed: int = 0, hints: Hints = ()) -> list[list[Hint]]:
        """Returns k samples of the picture, each as the hints that give it.

        Args:
            k: number of samples.
            seed: of the random numbers.
            hints: known colors, as for `colorize`; every sample has them.

        Raises:
            RequestError: see `ask`.
        """
        require_spreading(self._colorizer, "sample")
        given = user_hints.checked(hints, *self.lightness.shape)
        beliefs = self._given(hints).coarse()
        drawn = samples.draw(beliefs, k, np.random.default_rng(seed))
        return [given + self._as_hints(known, beliefs.grid) for known in drawn]

    def sample(self, k: int = 6, seed: int = 0, hints: Hints = ()) -> list[Any]:
        """Returns k colorized photos, those of `draw`."""
        return [self.colorize(each) for each in self.draw(k, seed, hints)]

    @functools.cached_property
    def lightness(self) -> np.ndarray:
        """L of the photo, (H, W) float32."""
        if self.prediction is not None:
            return self.prediction.lightness
        return self._colorizer.look(self._open())[0]

    @functools.cached_property
    def _beliefs(self) -> Beliefs:
        return self._of_network(())

    def _of_network(self, hints: Sequence[Hint]) -> Beliefs:
        """Returns the beliefs of the network, given hints for its own input."""
        prediction = self.prediction
        if prediction is None:
            prediction = self._colorizer.predict(
                self._open(), self._options, hints, with_keys=False
            )
        logs = prediction.log_shares
        if logs is None:
            logs = self._colorizer.log_shares(self._open(), self._options, hints)
        grid = logs.shape[:2]
        lightness = enlarged(prediction.lightness[..., None], grid)[..., 0]
        ab = enlarged(prediction.colors[..., -2:], grid)
        return Beliefs(logs, ab, lightness, np.zeros(grid, np.float32), prediction.keys)

    def _given(self, hints: Hints) -> Beliefs:
        """Returns the beliefs given hints.

        Raises:
            RequestError: the weights have no bins, or a hint is invalid or cannot be used.
        """
        require_bins(self._colorizer)
        photo = self.lightness.shape
        given = user_hints.checked(hints, *photo)
        if not given:
            return self._beliefs
        if self._colorizer.hint_form == "input":
            return self._of_network(given)
        require_spreading(self._colorizer, "use hints for that")
        ab = np.stack([user_hints.ab_of(hint) for hint in given])
        return self._beliefs.given(Known(cells_of(given, photo, self._beliefs.grid), ab))

    def _pixel(self, row: int, column: int, grid: tuple[int, ...]) -> tuple[int, int]:
        """Returns (x, y) of the pixel in the middle of a cell."""
        height, width = self.lightness.shape
        return int((column + 0.5) * width / grid[1]), int((row + 0.5) * height / grid[0])

    def _as_hints(self, known: Known, grid: tuple[int, ...]) -> list[Hint]:
        result = []
        for (row, column), ab in zip(known.cells, known.ab, strict=True):
            x, y = self._pixel(row, column, grid)
            lab = np.array([self.lightness[y, x], *ab], np.float32)
            code = np.asarray(color.lab_to_rgb_u8(lab, "shrink_chroma"))
            result.append(Hint(x, y, "#" + code.tobytes().hex()))
        return result


def require_bins(colorizer: Colorizer) -> None:
    """Raises a RequestError if weights predict no distribution over color bins."""
    if not colorizer.has_bins:
        raise RequestError(
            f"the weights {colorizer.name} predict no distribution over color bins; use weights of "
            "semantic or zhang16"
        )


def require_spreading(colorizer: Colorizer, what: str) -> None:
    """Raises a RequestError if weights do not spread hints by their features."""
    if colorizer.hint_form != "spread":
        raise RequestError(
            f"the weights {colorizer.name} cannot {what}, as they do not spread hints by their "
            "features; use weights of semantic or zhang16"
        )
