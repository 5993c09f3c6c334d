"""The Colorizer: applies trained weights to arrays and Pillow images."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from colorjax import color
from colorjax.color.hint_spreading import grid_size
from colorjax.errors import RequestError
from colorjax.inference import hints as user_hints
from colorjax.inference import in_order, tiling
from colorjax.inference.chroma import Chroma, bands
from colorjax.inference.engines import loading
from colorjax.inference.engines.engine import Engine, Facts
from colorjax.inference.ensemble import predict_fused
from colorjax.inference.hinting import ExactHints, Planes, Prediction
from colorjax.inference.hints import Hint
from colorjax.inference.options import WARM, Hints, Options
from colorjax.inference.pixels import (
    ArrayPixels,
    Picture,
    Pixels,
    as_float,
    lightness_of,
    open_pixels,
)
from colorjax.inference.planes import (
    BAND_PIXELS,
    PIXEL_STEP,
    Inputs,
    Size,
    enlarged,
    saturated,
    shrunk,
)
from colorjax.inference.prepared import PreparedPhoto
from colorjax.inference.questions import Question
from colorjax.inference.suggestions import Suggestion
from colorjax.inference.tiling import Tiling
from colorjax.inference.working_size import WorkingSize
from colorjax.weights import named

if TYPE_CHECKING:
    from colorjax.weights.open import StoredWeights

_PALETTE_SIDE = 128  # pixels, long side of a reference photo whose palette is used: as in training
_SCALES = (1.0, 0.75, 1.5)  # of the working size, fused by "best"


class Colorizer:
    """Colorizes photos; keeps their size and their lightness, L of CIE Lab.

    Threads may share one: each program is compiled once. It can be pickled and copied, without its
    compiled programs. A process forked after JAX was used gets a RequestError: load after fork.

    Exception: weights of a run with `inference.lightness=predicted` paint their predicted
    lightness, as the original GANs in Lab or RGB do.

    Attributes:
        name: name of the weights.
        step: training step of the checkpoint.
    """

    def __init__(
        self,
        engine: Engine,
        size: WorkingSize,
        step: int = 0,
        name: str = "weights",
        weights: StoredWeights | None = None,
    ):
        """Stores a network that is ready to run; `weights` are what `save_pretrained` copies."""
        self.name = name
        self._weights = weights
        self.step = step
        self._size = size
        self._engine = engine
        self._reference: tuple[Any, np.ndarray] | None = None  # last global image, its input

    @property
    def facts(self) -> Facts:
        """Properties of the network with its weights."""
        return self._engine.facts

    @property
    def engine(self) -> str:
        """What runs the network: "jax", "onnx" or "openvino"."""
        return self._engine.name

    @property
    def compile_seconds(self) -> float:
        """Seconds of compilation so far: once per working size and bit depth."""
        return self._engine.compile_seconds

    @property
    def saturation(self) -> float:
        """Factor on ab stored with the weights; multiplied by that of `Options`."""
        return self.facts.saturation

    @property
    def decode(self) -> str:
        """Network output that gives the colors, see `Method.decode`."""
        return self.facts.decode

    @property
    def working_size(self) -> WorkingSize:
        """The size at which colors are predicted."""
        return self._size

    @property
    def has_bins(self) -> bool:
        """Whether the weights predict a distribution over the 313 bins."""
        return self.facts.has_bins

    def digest(self) -> str:
        """Returns the SHA-256 of the weights and of the settings that change a measurement."""
        return self._engine.digest(repr(self._size))

    @property
    def hint_form(self) -> str:
        """How the weights use color hints.

        "input": as an input of the network, as in zhang17; "spread": spread by the network's own
        features; "region": only hints with a region, as the network exposes no features.
        """
        return self.facts.hint_form

    @property
    def network_seconds(self) -> float:
        """Seconds spent in the network so far, without compilation."""
        return self._engine.seconds

    @classmethod
    def load(
        cls,
        workdir_or_name: str | os.PathLike[str] = named.DEFAULT,
        *,
        temperature: float | None = None,
        decode: str | None = None,
        size: int | str | None = None,
        aspect: str | None = None,
        calibrated: bool = True,
        engine: str = "jax",
    ) -> Colorizer:
        """Loads the weights of a trained run: the best checkpoint if kept, else the newest.

        Args:
            workdir_or_name: the workdir of a run or of imported weights, a hub folder, or a name
                of `colorjax weights list`; or, with another engine than "jax", a file that
                `colorjax export` wrote. Nothing is downloaded.
            temperature: T >= 0 of the annealed mean, for methods with color bins: 0 is the mode,
                1 the mean; None: as stored with the weights.
            decode: "ab", "annealed" or "blend", see `Method.decode`; None: as stored with the
                weights.
            size: short side in pixels at which colors are predicted, or "own": the photo's own
                size, at most 4 megapixels; None: as stored with the weights.
            aspect: which side of a photo gets that size: "short", the short side; "long", the long
                side; "squash", both, which distorts the photo; "pad_square", the long side, and
                the photo is padded to a square by mirroring, for networks trained on squares;
                tiles are never padded; None: as stored with the weights.
            calibrated: whether probabilities of color bins are those stored by `colorjax
                calibrate`; False: the network's own. Colors do not depend on it.
            engine: "jax", "onnx", "openvino" or "auto", see docs/engines.md.

        Raises:
            RequestError: the wrong type, no such weights, no complete checkpoint, a config of
                another version, a temperature or decoding that the method does not support, or an
                invalid size.
        """
        loaded = loading.load(workdir_or_name, engine, temperature, decode, calibrated=calibrated)
        config = loaded.config
        size_of = WorkingSize.from_config(config, loaded.engine.facts, size, aspect)
        if size is not None and size_of.side:  # for save_pretrained
            config.inference.size = size_of.side
        if aspect is not None:
            config.inference.aspect = size_of.aspect
        return cls(loaded.engine, size_of, loaded.step, loaded.name, loaded.stored)

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | os.PathLike[str], *, download: bool = False, **options: Any
    ) -> Colorizer:
        """Loads weights as `load` does, and downloads them first where that is allowed.

        Args:
            name_or_path: a hub folder, hf:OWNER/NAME, a name of `colorjax weights list`, or a
                workdir.
            download: whether to download weights that are missing; license and size are printed
                first.
            **options: of `load`.

        Raises:
            RequestError: see `load`; missing weights without `download`; a failed download.
        """
        from colorjax.weights import hub_site, store

        name = os.fspath(name_or_path)
        if download and hub_site.is_name(name):
            hub_site.get(name)
        elif download and store.is_published(name):
            store.get(name)
        return cls.load(name, **options)

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        *,
        license: str = "",
        data: str = "",
        overwrite: bool = False,
    ) -> None:
        """Writes the weights as a hub folder: config.json, model.safetensors and README.md.

        `from_pretrained` reads it back, with the same predictions bit for bit. Options given to
        `load` are stored, except for size="own".

        Args:
            folder: to create, or an empty one.
            license: identifier for the card, such as "cc-by-4.0"; empty: as stored, or "unknown".
            data: name of the training photos, for the card.
            overwrite: replace the weights in an earlier hub folder.

        Raises:
            RequestError: the folder has other content or cannot be written, or this Colorizer was
                not loaded.
        """
        from colorjax.weights import hub, publish

        if self._weights is None:
            raise RequestError("this Colorizer was not loaded by name or path; nothing to save")
        claims = publish.claims_of(self._weights, license, data)
        with hub.new_folder(folder, overwrite=overwrite) as partial:
            publish.write(self._weights, partial, claims)

    def colorize(
        self, image: Picture, hints: Hints = (), saturation: float = 1.0, **options: Any
    ) -> Any:
        """Returns a colorized photo; only the lightness of a color input is used.

        Args:
            image: a Pillow image of any mode; the path or bytes of a file that Pillow opens; or an
                array of NumPy or JAX, (H, W), (H, W, 1) or (H, W, 3), with alpha (H, W, 2) or
                (H, W, 4), sRGB: uint8, or floating point in [0, 1].
            hints: colors of pixels, (x, y, "#rrggbb") each; x from the left and y from the top of
                the upright photo, from 0.
            saturation: factor on the predicted a and b; 0 is gray.
            **options: `warmth` (-1 to 1), `strength` (0 to 1), `quality` ("draft", "normal" or
                "best"), `global_image`, `upsampling` and `tiling`, as the attributes of
                `colorjax.inference.options.Options`.

        Returns:
            The same type and size, RGB. For a Pillow image, a path or bytes: a Pillow image,
            upright as its EXIF orientation says, RGB, or RGBA if the input has transparency, in the
            color space of its ICC profile; `info` keeps EXIF (without the orientation), profile,
            resolution, XMP and comment. For an array: (H, W, 3), or (H, W, 4) with the input's
            alpha, of the input's dtype. L equals the input's within 0.392 (1/255 of its range) for
            8 bits, within 0.01 for floats of 32 bits or more.

        Raises:
            RequestError (a ValueError): `image` has an unsupported type, shape, dtype or range, or
                cannot be read; an option is unknown or invalid; a hint is malformed or outside the
                photo; or the method does not support an option.

        >>> colorizer = Colorizer.load("runs/plain_cnn")  # doctest: +SKIP
        >>> colorizer.colorize(Image.open("gray.jpg")).save("color.png")  # doctest: +SKIP
        """
        pixels = open_pixels(image)
        self.paint(pixels, Options.of(hints=hints, saturation=saturation, **options))
        return pixels.result

    def colorize_many(self, images: Iterable[Picture], **options: Any) -> Iterator[Any]:
        """Yields each photo colorized as by `colorize`; reads the next one lazily."""
        for image in images:
            yield self.colorize(image, **options)

    def paint(self, pixels: Pixels, options: Options) -> None:
        """Colorizes a photo in place, in bands of rows: `colorize` for any kind of `Pixels`.

        Args:
            pixels: the photo; every row is painted once.
            options: options of `colorize`.

        Raises:
            RequestError: see `colorize`.
        """
        self.paint_hinted(pixels, options)

    def prepare(self, image: Picture, **options: Any) -> PreparedPhoto:
        """Runs the network once on a photo, for interactive hints; options as of `colorize`."""
        return PreparedPhoto(self, image, Options.of(**options))

    def suggest(
        self, image: Picture, x: int, y: int, k: int = 6, **options: Any
    ) -> list[Suggestion]:
        """Returns the likely colors of a pixel; see `PreparedPhoto.suggest`."""
        return self.prepare(image, **options).suggest(x, y, k)

    def uncertainty(self, image: Picture, **options: Any) -> np.ndarray:
        """Returns how uncertain the colors are; see `PreparedPhoto.uncertainty`."""
        return self.prepare(image, **options).uncertainty()

    def ask(self, image: Picture, k: int = 5, **options: Any) -> list[Question]:
        """Returns the pixels whose color is most useful to know; see `PreparedPhoto.ask`."""
        return self.prepare(image, **options).ask(k)

    def sample(self, image: Picture, k: int = 6, seed: int = 0, **options: Any) -> list[Any]:
        """Returns k different colorized photos; see `PreparedPhoto.sample`."""
        return self.prepare(image, **options).sample(k, seed)

    def paint_hinted(
        self, pixels: Pixels, options: Options, prediction: Prediction | None = None
    ) -> None:
        """Colorizes a photo in place, with an optional earlier result of `predict`."""
        self._paint(pixels, self.hinted_planes(pixels, options, prediction))

    def hinted_planes(
        self,
        pixels: Pixels,
        options: Options,
        prediction: Prediction | None = None,
        upsample: Callable[[np.ndarray, tuple[int, int]], Chroma] = Chroma,
    ) -> Planes:
        """Returns the colors that `paint_hinted` paints: rows -> L, a and b, (n, W) each.

        Args:
            pixels: the photo.
            options: options of `colorize`.
            prediction: earlier result of `predict`; None: the network runs.
            upsample: creates the upsampled colors from those at the working size and the photo's
                (height, width).

        Raises:
            RequestError: see `colorize`.
        """
        given = user_hints.checked(options.hints, pixels.height, pixels.width)
        regional = [hint for hint in given if hint.region is not None]
        others = [hint for hint in given if hint.region is None]
        if others and self.hint_form == "region":
            raise RequestError(
                "these weights cannot spread a hint, as their network names no feature_layers; "
                "give each hint a region, or name the layers (docs/new_method.md)"
            )
        spread = others if self.hint_form == "spread" else []
        if prediction is None:
            own = () if spread else others
            prediction = self.predict(pixels, options, own, with_keys=bool(spread))
        lightness = prediction.lightness
        colors = prediction.with_hints(spread, self._engine) if spread else prediction.colors
        if options.upsampling == "nearest":
            chroma = Chroma(colors, lightness.shape, repeats_pixels=True)
        else:
            chroma = upsample(colors, lightness.shape)
        if options.upsampling == "guided" and options.quality != "draft":
            chroma.guide(lightness)
        planes = self._planes(pixels, lightness, chroma, options.strength)
        if not given:
            return planes
        cell = (
            lightness.shape[0] / prediction.keys.features.shape[0]
            if prediction.keys is not None
            else 1.0
        )
        exact = ExactHints(regional, spread, lightness, planes, cell)

        def corrected(rows: slice) -> tuple[np.ndarray, ...]:
            own, a, b = planes(rows)
            return own, *exact(rows, a, b)

        return corrected

    def predict_ab(self, image: Picture) -> np.ndarray:
        """Returns the predicted ab of Lab at the working size, (h, w, 2) float32."""
        return self.look_and_predict_ab(image)[1]

    def look_and_predict_ab(self, image: Picture) -> tuple[np.ndarray, np.ndarray]:
        """Returns the L of a photo, (H, W) float32, and the result of `predict_ab`."""
        lightness, fields, size = self._inputs(image)
        return lightness, self._size.cut(self._engine.colors(fields)[0], size)[..., -2:]

    def gray_at(self, image: Picture, size: Size | None = None) -> np.ndarray:
        """Returns what the network sees of a photo, (h, w) in [-1, 1]; None: the working size."""
        gray = self.look(open_pixels(image))[1]
        return shrunk(gray, size or self._size.of(*gray.shape))

    def ab_of_gray(self, gray: np.ndarray) -> np.ndarray:
        """Returns the ab of Lab, (h, w, 2) float32, predicted from a result of `gray_at`."""
        return self._engine.colors(self._engine.fields(gray))[0][..., -2:]

    def predict_distribution(self, image: Picture) -> np.ndarray:
        """Returns the calibrated distribution over the 313 bins at the working size.

        Returns:
            (h, w, 313) float32; each sums to 1.
        """
        _, fields, size = self._inputs(image)
        logs = self._engine.log_shares(fields, fields["gray"].shape[1:3])[0]
        return np.exp(self._size.cut(logs, size))

    def _inputs(self, image: Picture) -> tuple[np.ndarray, Inputs, Size]:
        lightness, gray = self.look(open_pixels(image))
        size = self._size.of(*gray.shape)
        return lightness, self._size.pad(self._fields(gray, size)), size

    def paint_ab(
        self, image: np.ndarray, ab: np.ndarray, lightness: np.ndarray | None = None
    ) -> np.ndarray:
        """Returns a photo painted with colors of the working size, upsampled by its lightness.

        Args:
            image: as in `colorize`.
            ab: (h, w, 2) float32, in Lab units.
            lightness: L of the photo, if known from `look_and_predict_ab`.

        Returns:
            The painted array, as from `colorize`.
        """
        pixels = ArrayPixels(image)
        lightness = self.look(pixels)[0] if lightness is None else lightness
        chroma = Chroma(ab, lightness.shape)
        chroma.guide(lightness)
        self._paint(pixels, self._planes(pixels, lightness, chroma, strength=1.0))
        return pixels.painted

    def _planes(
        self, pixels: Pixels, lightness: np.ndarray, chroma: Chroma, strength: float
    ) -> Planes:
        """Returns a function that maps rows of a photo to their L, a and b, (n, W) each."""

        def planes_of(rows: slice) -> tuple[np.ndarray, ...]:
            *own, a, b = chroma.rows(rows, lightness[rows])
            planes = (own[0] if own else lightness[rows], a, b)
            if strength < 1:
                old = np.moveaxis(color.rgb_to_lab(as_float(pixels.srgb(rows))), -1, 0)
                pairs = zip(planes, (lightness[rows], *old[1:]), strict=True)
                planes = tuple(strength * new + (1 - strength) * was for new, was in pairs)
            return planes

        return planes_of

    def _paint(self, pixels: Pixels, planes: Planes) -> None:
        def painted(rows: slice) -> tuple[slice, np.ndarray]:
            return rows, self._engine.paint(planes(rows), is_8_bit=pixels.is_8_bit)

        every = bands(pixels.height, pixels.width, BAND_PIXELS)
        for rows, srgb in in_order.results(painted, every):
            pixels.paint(rows, srgb)

    def warm(self, photo_sizes: Iterable[Size]) -> int:
        """Compiles the programs for photos of these sizes, (height, width) each, ahead of time.

        With JAX's compilation cache (`colorjax warm`), later processes load them.

        Returns:
            The number of working sizes.
        """
        sizes = {self._size.of(*size) for size in photo_sizes}
        for size in sorted(sizes):
            fields = self._size.pad(self._engine.fields(np.zeros(size, np.float32)))
            self._engine.colors(fields)
        for number in range(0, BAND_PIXELS + 1, PIXEL_STEP):  # of pixels outside sRGB
            vivid = np.where(np.arange(BAND_PIXELS) < number, 120, 0).astype(np.float32)[None]
            planes = (np.full_like(vivid, 50), vivid, np.zeros_like(vivid))
            for is_8_bit in (True, False):
                self._engine.paint(planes, is_8_bit=is_8_bit)
        return len(sizes)

    def predict(
        self, pixels: Pixels, options: Options, hints: Sequence[Hint] = (), *, with_keys: bool
    ) -> Prediction:
        """Returns the predicted colors of a photo.

        Args:
            pixels: the photo.
            options: options of `colorize`; their hints are ignored.
            hints: hints for the network's own input.
            with_keys: whether to return the keys by which hints spread.
        """
        lightness, gray = self.look(pixels)
        keys = log_shares = None
        if not with_keys:
            colors = self._predict_colors(gray, hints, options)
        else:
            size = self._size.of(*gray.shape)
            fields = self._size.pad(self._fields(gray, size)) | self._shared(gray, options)
            every_color, every_key, every_share = self._engine.colors_and_keys(fields)
            colors, grid = every_color[0], grid_size(*size)
            keys = every_key.part(np.s_[0, : grid[0], : grid[1]])
            if every_share is not None:
                log_shares = self._size.cut(every_share[0], grid)
            if options.quality == "best" or options.tiling is not None:
                colors = self._predict_colors(gray, (), options)
            else:
                colors = self._size.cut(colors, size)
        return Prediction(lightness, adjusted(colors, options), keys, log_shares)

    def log_shares(self, pixels: Pixels, options: Options, hints: Sequence[Hint]) -> np.ndarray:
        """Returns the calibrated log probabilities of the bins, (h, w, 313), of a network run.

        Args:
            pixels: the photo.
            options: options of `colorize`; their hints are ignored.
            hints: hints for the network's own input.
        """
        _, gray = self.look(pixels)
        size = self._size.of(*gray.shape)
        fields = self._size.pad(self._fields(gray, size, hints)) | self._shared(gray, options)
        grid = grid_size(*fields["gray"].shape[1:3])
        return self._size.cut(self._engine.log_shares(fields, grid)[0], grid_size(*size))

    def look(self, pixels: Pixels) -> tuple[np.ndarray, np.ndarray]:
        """Returns L and what the network sees, in [-1, 1], of a photo; (H, W) float32 each."""
        lightness = np.empty((pixels.height, pixels.width), np.float32)
        kind = self.facts.gray
        gray = lightness if kind == "lightness" else np.empty_like(lightness)

        def write(part: tuple[slice, np.ndarray]) -> None:
            rows, srgb = part
            lightness[rows] = lightness_of(srgb)
            if kind != "lightness":
                gray[rows] = 2 * color.gray_from_rgb(as_float(srgb), kind)[..., 0] - 1

        every = bands(pixels.height, pixels.width, BAND_PIXELS)
        for _ in in_order.results(write, ((rows, pixels.srgb(rows)) for rows in every)):
            pass
        return lightness, lightness / 50 - 1 if kind == "lightness" else gray

    def _predict_colors(
        self, gray: np.ndarray, hints: Sequence[Hint], options: Options
    ) -> np.ndarray:
        """Predicts colors from what is seen at full size, (H, W): (h, w, 2 or 3)."""
        shared = self._shared(gray, options)

        def fields_at(size: Size) -> Inputs:
            return self._size.pad(self._fields(gray, size, hints)) | shared

        if isinstance(options.tiling, Tiling):
            return tiling.predict_tiles(self._engine, gray, options.tiling, self._size.of, shared)
        if options.tiling == tiling.EXACT:
            fields = self._fields(gray, gray.shape, hints) | shared
            return tiling.predict_exactly(self._engine, fields)
        sizes = [self._size.of(*gray.shape)]
        if options.quality != "best":
            return self._size.cut(self._engine.colors(fields_at(sizes[0]))[0], sizes[0])
        scales = _SCALES if self._size.side and not self._size.is_fixed else (1.0,)
        sizes = [self._size.scaled(scale).of(*gray.shape) for scale in scales]
        return predict_fused(self._engine, fields_at, sizes, self._size.cut)

    def _fields(self, gray: np.ndarray, size: Size, hints: Sequence[Hint] = ()) -> Inputs:
        fields = self._engine.fields(shrunk(gray, size))
        return fields | user_hints.paint(hints, gray.shape, size) if hints else fields

    def _shared(self, gray: np.ndarray, options: Options) -> Inputs:
        """Returns the input shared by all parts of a photo: global features or palette."""
        side, image = self.facts.global_size, options.global_image
        if image is not None and self.facts.takes_palette:
            return {"global_colors": self._from_reference(image, _palette_of)}
        if side is None and image is not None:
            raise RequestError(
                "these weights cannot use another photo; use weights of semantic, iizuka or "
                "edge_fusion"
            )
        if side is None or (image is None and not isinstance(options.tiling, Tiling)):
            return {}
        if image is None:
            return {"global_gray": shrunk(gray, (side, side))[None, :, :, None]}

        def seen(pixels: Pixels) -> np.ndarray:
            return shrunk(self.look(pixels)[1], (side, side))[None, :, :, None]

        return {"global_gray": self._from_reference(image, seen)}

    def _from_reference(self, image: Picture, read: Callable[[Pixels], np.ndarray]) -> np.ndarray:
        """Returns the network input read from a reference photo; cached for a whole album."""
        if self._reference is None or self._reference[0] is not image:
            self._reference = image, read(open_pixels(image))
        return self._reference[1]


def adjusted(colors: np.ndarray, options: Options) -> np.ndarray:
    """Returns predicted colors (h, w, 2 or 3) with the saturation and the warmth of options."""
    result = saturated(colors, options.saturation)
    if options.warmth:
        result[..., -2:] += np.float32(options.warmth) * np.array(WARM, np.float32)
    return result


def _palette_of(pixels: Pixels) -> np.ndarray:
    """Returns the input `global_colors`, (1, 315) float32, of a photo shrunk to at most 128 px."""
    rgb = as_float(pixels.srgb(slice(None)))
    scale = min(1.0, _PALETTE_SIDE / max(rgb.shape[:2]))
    height, width = (max(1, round(scale * side)) for side in rgb.shape[:2])
    ab = color.rgb_to_lab(np.clip(enlarged(rgb, (height, width)), 0, 1))[..., 1:]
    return np.asarray(color.palette_input(ab[None]), np.float32)
