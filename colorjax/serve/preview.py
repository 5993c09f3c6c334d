"""A photo that is open on the page: one prediction of the network, many small pictures of it."""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from colorjax.errors import RequestError
from colorjax.inference.batch.own_colors import own_colors
from colorjax.inference.chroma import Chroma, bands
from colorjax.inference.colorizer import Colorizer, adjusted
from colorjax.inference.hinting import Planes, Prediction
from colorjax.inference.hints import Hint
from colorjax.inference.options import Options
from colorjax.inference.pixels import ArrayPixels, Pixels, lightness_of
from colorjax.inference.prepared import PreparedPhoto
from colorjax.inference.session import GRAY, State, Variant
from colorjax.photos import Photo
from colorjax.serve import lookup
from colorjax.serve.upsampling import Upsampler

SIDE = 1024  # pixels, long side of a preview
MOST_BOX = 2048  # pixels, side of a part at full size
_BAND_PIXELS = 2**16
_QUALITY = 90  # of JPEG
_VARIANT_SIDE = 320
_THREADS = ThreadPoolExecutor(min(4, os.cpu_count() or 1), "band")


class Box(NamedTuple):
    """A part of a photo, in its pixels."""

    left: int
    top: int
    width: int
    height: int

    def inside(self, width: int, height: int) -> Box:
        """Returns the part that lies in a photo, at most `MOST_BOX` wide and high.

        Raises:
            RequestError: nothing lies in it.
        """
        left, top = max(self.left, 0), max(self.top, 0)
        right = min(self.left + self.width, width, left + MOST_BOX)
        bottom = min(self.top + self.height, height, top + MOST_BOX)
        if left >= right or top >= bottom:
            raise RequestError("this part lies outside the photo")
        return Box(left, top, right - left, bottom - top)


class FullPhoto:
    """A photo at full size, for parts at 1:1.

    Attributes:
        photo: its pixels.
        lightness: (H, W) float32, L.
    """

    def __init__(self, photo: Photo):
        """Computes the lightness."""
        self.photo = photo
        self.lightness = np.empty((photo.height, photo.width), np.float32)
        for rows in bands(photo.height, photo.width, _BAND_PIXELS):
            self.lightness[rows] = lightness_of(photo.srgb(rows))

    def before(self, box: Box) -> bytes:
        """Returns a JPEG of a part in gray."""
        box = box.inside(self.photo.width, self.photo.height)
        part = self.lightness[box.top : box.top + box.height, box.left : box.left + box.width]
        return jpeg(_painted(lambda rows: _gray(part[rows]), *part.shape))


class OpenPhoto:
    """A photo whose colors were predicted once; paints previews of it.

    All coordinates are pixels of the full upright photo.

    Attributes:
        width: of the full photo, in pixels.
        height: likewise.
        size: (width, height) of the preview.
        has_colors: whether the photo has colors already.
    """

    def __init__(self, colorizer: Colorizer, photo: Photo, reference: Any = None):
        """Predicts the colors of a photo.

        Args:
            colorizer: the weights.
            photo: the photo; it is not kept.
            reference: picture for `Options.global_image`; None: none.

        Raises:
            RequestError: the weights cannot use a reference.
        """
        self.width, self.height = photo.width, photo.height
        self.has_colors = own_colors(photo).is_color_photo
        self._colorizer = colorizer
        self._options = Options(global_image=reference)
        self._small = np.array(_small_picture(photo, SIDE))
        self.size = self._small.shape[1], self._small.shape[0]
        self._factor = self.size[0] / self.width
        form = colorizer.hint_form
        self._full_prediction: Prediction | None = None
        small: Prediction | None = None
        if form != "input":
            full = colorizer.predict(photo, self._options, with_keys=form == "spread")
            small = dataclasses.replace(full, lightness=lightness_of(self._small))
            # What depends on the full size is computed again where it is needed.
            self._full_prediction = dataclasses.replace(full, lightness=np.zeros((1, 1)))
        self._lightness = lightness_of(self._small)
        self._upsampler = Upsampler(self._lightness)
        self._prepared = PreparedPhoto(colorizer, self._small, self._options, small)

    def warm_up(self) -> None:
        """Compiles the spreading of up to 16 hints: each power of two is a program."""
        if self._colorizer.hint_form != "spread":
            return
        for number in (1, 2, 4, 8, 16):
            hints = [Hint(0, 0, GRAY)] * number
            self._state_planes(State(variant=Variant(0, 0, tuple(hints))))

    def before(self, side: int = SIDE) -> bytes:
        """Returns a JPEG of the photo in gray."""
        picture = _painted(lambda rows: _gray(self._lightness[rows]), *self._lightness.shape)
        return jpeg(_limited(picture, side))

    def preview(self, state: State, side: int = SIDE) -> bytes:
        """Returns a JPEG of the colorized photo.

        Args:
            state: what the user did.
            side: the longest side is at most this, in pixels.

        Raises:
            RequestError: a stroke is invalid or cannot be used.
        """
        return jpeg(_limited(self._paint(state), side))

    def picture(self, state: State) -> np.ndarray:
        """Returns the preview as an array (h, w, 3) uint8."""
        return np.asarray(self._paint(state).convert("RGB"))

    def region(self, full: FullPhoto, state: State, box: Box) -> bytes:
        """Returns a JPEG of a part of the colorized photo at 1:1.

        Args:
            full: this photo.
            state: what the user did.
            box: the part.

        Raises:
            RequestError: see `preview`, or the part lies outside the photo.
        """
        box = box.inside(self.width, self.height)
        options = self._with(state, state.hints(self.height, self.width))
        prediction = None
        if self._full_prediction is not None:
            prediction = dataclasses.replace(self._full_prediction, lightness=full.lightness)
        planes = self._planes(full.photo, options, prediction)
        columns = slice(box.left, box.left + box.width)

        def part(rows: slice) -> tuple[np.ndarray, ...]:
            wanted = slice(rows.start + box.top, rows.stop + box.top)
            return tuple(plane[:, columns] for plane in planes(wanted))

        return jpeg(_painted(part, box.height, box.width))

    def pixel(self, state: State, x: int, y: int) -> dict[str, Any]:
        """Returns the lightness of a pixel and its present color, as JSON."""
        column, row = self._to_small(x, y)
        planes = self._state_planes(state)(slice(row, row + 1))
        lab = [float(plane[0, column]) for plane in planes]
        code = lookup.to_rgbx(tuple(plane[:, column : column + 1] for plane in planes))[0, 0, :3]
        return {
            "lightness": round(float(self._lightness[row, column]), 2),
            "color": "#" + code.tobytes().hex(),
            "ab": [round(value, 2) for value in lab[-2:]],
        }

    def suggest(self, state: State, x: int, y: int, k: int) -> dict[str, Any]:
        """Returns likely colors of a pixel, as JSON; see `PreparedPhoto.suggest`."""
        column, row = self._to_small(x, y)
        likely = self._prepared.suggest(column, row, k, self._spreading(state))
        return {
            "lightness": round(float(self._lightness[row, column]), 2),
            "suggestions": [one._asdict() for one in likely],
        }

    def uncertainty(self, state: State) -> bytes:
        """Returns a PNG of the uncertainty, 0 to 255, on the network's grid."""
        share = self._prepared.uncertainty(self._spreading(state))
        buffer = io.BytesIO()
        Image.fromarray(np.rint(share * 255).astype(np.uint8)).save(buffer, "png")
        return buffer.getvalue()

    def ask(self, state: State, k: int) -> list[dict[str, Any]]:
        """Returns the places whose color is most useful to know, as JSON."""
        result = []
        for question in self._prepared.ask(k, self._spreading(state)):
            x, y = self._to_full(question.x, question.y)
            result.append(
                {
                    "x": x,
                    "y": y,
                    "change": round(question.change, 3),
                    "lightness": round(float(self._lightness[question.y, question.x]), 2),
                    "suggestions": [one._asdict() for one in question.suggestions],
                }
            )
        return result

    def variants(self, state: State, k: int, seed: int) -> list[tuple[Variant, bytes]]:
        """Returns samples of the picture to start from, each with a small JPEG.

        Args:
            state: what the user did; its own variant does not count.
            k: number of samples.
            seed: of the samples.
        """
        state = dataclasses.replace(state, variant=None)
        known = self._spreading(state)
        result = []
        for index, drawn in enumerate(self._prepared.draw(k, seed, known)):
            hints = []
            for hint in drawn[len(known) :]:
                x, y = self._to_full(hint.x, hint.y)
                hints.append(Hint(x, y, hint.color))
            variant = Variant(seed, index, tuple(hints))
            started = dataclasses.replace(state, variant=variant)
            result.append((variant, self.preview(started, _VARIANT_SIDE)))
        return result

    def _paint(self, state: State) -> Image.Image:
        return _painted(self._state_planes(state), *self._lightness.shape)

    def _state_planes(self, state: State) -> Planes:
        options = self._with(state, self._hints(state))
        pixels, prediction = ArrayPixels(self._small), self._prepared.prediction
        return self._planes(pixels, options, prediction, self._upsampler)

    def _planes(
        self,
        pixels: Pixels,
        options: Options,
        prediction: Prediction | None,
        upsample: Callable[..., Chroma] = Chroma,
    ) -> Planes:
        if prediction is not None and (options.saturation != 1 or options.warmth):
            colors = adjusted(prediction.colors.copy(), options)
            prediction = dataclasses.replace(prediction, colors=colors)
        return self._colorizer.hinted_planes(pixels, options, prediction, upsample)

    def _with(self, state: State, hints: list[Hint]) -> Options:
        return dataclasses.replace(self._options, **state.coloring(hints))

    def _spreading(self, state: State) -> list[Hint]:
        """Returns the hints of a state that spread, on the preview."""
        return [hint for hint in self._hints(state) if hint.region is None]

    def _hints(self, state: State) -> list[Hint]:
        return state.hints(self.size[1], self.size[0], self._factor)

    def _to_small(self, x: int, y: int) -> tuple[int, int]:
        if not (0 <= x < self.width and 0 <= y < self.height):
            raise RequestError(f"the place {x},{y} lies outside the photo")
        column, row = int((x + 0.5) * self._factor), int((y + 0.5) * self._factor)
        return min(column, self.size[0] - 1), min(row, self.size[1] - 1)

    def _to_full(self, x: int, y: int) -> tuple[int, int]:
        column, row = int((x + 0.5) / self._factor), int((y + 0.5) / self._factor)
        return min(column, self.width - 1), min(row, self.height - 1)


def thumbnail(photo: Photo, side: int) -> bytes:
    """Returns a small JPEG of a photo as it is."""
    return jpeg(_small_picture(photo, side))


def _small_picture(photo: Photo, side: int) -> Image.Image:
    return shrunk(photo.srgb(slice(0, photo.height)), side)


def shrunk(srgb: np.ndarray, side: int) -> Image.Image:
    """Returns sRGB (H, W, 1 or 3), uint8 or in [0, 1], with at most `side` pixels on a side."""
    height, width = srgb.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if srgb.dtype != np.uint8:
        srgb = np.rint(np.clip(srgb, 0, 1) * 255).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(np.broadcast_to(srgb, (height, width, 3))))
    if size == picture.size:
        return picture
    return picture.resize(size, Image.Resampling.BOX, reducing_gap=2.0)


def _gray(lightness: np.ndarray) -> tuple[np.ndarray, ...]:
    zeros = np.zeros_like(lightness)
    return lightness, zeros, zeros


def _painted(planes: Planes, height: int, width: int) -> Image.Image:
    """Returns the picture of Lab planes, rows -> (L, a, b)."""
    painted = np.empty((height, width, 4), np.uint8)

    def paint(rows: slice) -> None:
        painted[rows] = lookup.to_rgbx(planes(rows))

    first, *others = bands(height, width, _BAND_PIXELS)
    paint(first)  # what the bands share is computed once
    for _ in _THREADS.map(paint, others):
        pass
    return Image.frombuffer("RGBX", (width, height), painted, "raw", "RGBX", 0, 1)


def _limited(picture: Image.Image, side: int) -> Image.Image:
    if max(picture.size) <= side:
        return picture
    scale = side / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.BOX)


def jpeg(picture: Image.Image) -> bytes:
    """Returns a picture as JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, "jpeg", quality=_QUALITY)
    return buffer.getvalue()
