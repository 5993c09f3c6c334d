"""The Colorizer: trained weights behind one call, for arrays and Pillow images."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, overload

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from colorjax import color, shipped
from colorjax import method as methods
from colorjax.errors import RequestError
from colorjax.inference import hints as user_hints
from colorjax.inference.hints import Hint
from colorjax.inference.photo_files import to_rgb_or_rgba
from colorjax.inference.working_size import WorkingSize
from colorjax.method import Method, Variables
from colorjax.train import weights
from colorjax.train.workdir import Workdir

_Hints = Sequence[Hint | tuple[int, int, str]]
_Image = np.ndarray | Image.Image

# No sRGB colour has a chroma above 134; gamut mapping loses its way in ones of more than thousands.
_MAX_CHROMA = 1000.0
# Full resolution is worked on in bands of rows of at most this many pixels (or one row), so that no
# photo needs more memory than its pixels, its lightness and the result.
_BAND_PIXELS = 65536


class _Options(NamedTuple):
    """What a caller of `colorize` asked for."""

    hints: _Hints
    saturation: float
    global_grey: np.ndarray | None


class Colorizer:
    """Gives photos colour; keeps their size and their lightness, L of CIE Lab.

    The one exception: weights of a run with `inference.lightness=predicted` paint the lightness
    that they predict, as the original of a GAN in Lab or RGB does.

    Attributes:
        step: of the checkpoint that the weights are from.
        compile_seconds: spent on compilation so far: once for each working size and dtype.
    """

    def __init__(self, method: Method, variables: Variables, size: WorkingSize, step: int = 0):
        """Binds a method to its weights, which are on the one device that will be used."""
        self.step = step
        self.compile_seconds = 0.0
        self._variables = variables
        self._size = size
        self._method = method
        self._compiled: dict[object, jax.stages.Compiled] = {}

    @classmethod
    def load(
        cls,
        workdir_or_name: str | os.PathLike[str] = shipped.DEFAULT,
        *,
        temperature: float | None = None,
        size: int | str | None = None,
    ) -> Colorizer:
        """Loads the weights of a trained run: the best where it kept those, else the newest.

        Args:
            workdir_or_name: workdir of a run or of imported weights, or the name of weights that
                ship with colorjax.
            temperature: T >= 0 of the annealed mean, for methods with colour bins: 0 is the mode,
                1 the mean; None: the one stored with the weights.
            size: short side in pixels at which colours are predicted, or "own": at the photo's own
                size, at most 4 megapixels; None: the size stored with the weights.

        Raises:
            RequestError: no workdir and no such name, no whole checkpoint, a config of another
                version, a temperature that the method does not have, or a size that means nothing.
        """
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        name = str(workdir_or_name)
        packed = shipped.load(name, device) if name in shipped.SHA256 else None
        workdir = Workdir(workdir_or_name)
        if packed is None and not workdir.config_file.is_file():
            raise RequestError(
                f"no weights at {name!r}; give the workdir of a trained run, a folder with "
                "config.json and checkpoints, make one of published weights with `colorjax "
                f"import-weights`, or name those that ship: {', '.join(shipped.SHA256)}"
            )
        config = workdir.read_config() if packed is None else packed.config
        if temperature is not None:
            _set_temperature(config, temperature)
        method = methods.build(config, with_loss=False)
        if packed is None:
            step, variables = weights.load(workdir.root, method, device)
        else:
            step, variables = packed.card["step"], packed.variables
        return cls(method, variables, WorkingSize.from_config(config, method, size), step)

    @overload
    def colorize(
        self,
        image: np.ndarray,
        hints: _Hints = (),
        saturation: float = 1.0,
        *,
        global_image: _Image | None = None,
    ) -> np.ndarray: ...

    @overload
    def colorize(
        self,
        image: Image.Image,
        hints: _Hints = (),
        saturation: float = 1.0,
        *,
        global_image: _Image | None = None,
    ) -> Image.Image: ...

    def colorize(
        self,
        image: _Image,
        hints: _Hints = (),
        saturation: float = 1.0,
        *,
        global_image: _Image | None = None,
    ) -> _Image:
        """Colorizes one photo; of an input with colour only the lightness counts.

        Args:
            image: a Pillow image of any mode, upright; or an array (H, W), (H, W, 1) or (H, W, 3),
                with alpha (H, W, 2) or (H, W, 4), sRGB: uint8, or floating point in [0, 1].
            hints: colours that pixels have, as `Hint` or (x, y, "#rrggbb"); x from the left and y
                from the top of the upright photo, from 0. For methods that take hints.
            saturation: factor on the predicted a and b; 0 is grey.
            global_image: another photo, of any size, whose global features are taken instead of
                the photo's own: the style transfer of Iizuka et al. 2016. For methods that have
                such features.

        Returns:
            The same kind and size, RGB. A Pillow image has mode RGB, or RGBA where the input has
            transparency. An array is (H, W, 3), or (H, W, 4) with the input's alpha, and has the
            input's dtype. L is the input's within 0.392 (1/255 of its range) for 8 bits, within
            0.01 for floats of 32 bits or more.

        Raises:
            ValueError: `image` is of another kind, shape, dtype or range.
            RequestError (a ValueError): a hint is malformed or outside the photo, the method takes
                no hints or no global image, or the saturation is negative.

        >>> colorizer = Colorizer.load("runs/plain_cnn")  # doctest: +SKIP
        >>> colorizer.colorize(Image.open("grey.jpg")).save("color.png")  # doctest: +SKIP
        """
        if not (0 <= saturation < np.inf):
            raise RequestError(f"saturation is at least 0, not {saturation}")
        options = _Options(hints, saturation, self._global_grey(global_image))
        if isinstance(image, Image.Image):
            return Image.fromarray(self._colorize_array(_pixels(image), options))
        return self._colorize_array(_pixels(image), options)

    def _global_grey(self, image: _Image | None) -> np.ndarray | None:
        """Returns the grey of the photo that lends its global features, (1, S, S, 1)."""
        if image is None:
            return None
        side = self._method.global_size
        if side is None:
            raise RequestError(
                "these weights have no global features to lend; use weights of iizuka or "
                "edge_fusion"
            )
        colors = _pixels(image)
        colors = colors[..., :-1] if colors.shape[-1] in (2, 4) else colors
        grey = np.concatenate([self._grey(colors[rows]) for rows in _bands(*colors.shape[:2])])
        return _shrunk(grey, (side, side))

    def _grey(self, colors: np.ndarray, lightness: np.ndarray | None = None) -> np.ndarray:
        """Returns what the network sees of checked sRGB (H, W, 1 or 3): (H, W) in [-1, 1]."""
        kind = self._method.encode.grey
        if kind == "lightness":
            found = _lightness(colors) if lightness is None else lightness
            return found / 50 - 1
        return 2 * color.grey_from_rgb(_as_float(colors), kind)[..., 0] - 1

    def _colorize_array(self, pixels: np.ndarray, options: _Options) -> np.ndarray:
        """Colorizes a checked array (H, W, 1 to 4), as `colorize` describes."""
        height, width, channels = pixels.shape
        has_alpha = channels in (2, 4)
        colors = pixels[..., :-1] if has_alpha else pixels
        if options.hints and not self._method.takes_hints:
            raise RequestError(
                "these weights take no hints; use weights of zhang17, a run of configs/zhang17.py "
                "or imported ones"
            )
        given = user_hints.checked(options.hints, height, width)
        lightness = np.empty((height, width), np.float32)
        grey = np.empty((height, width), np.float32)
        painted = np.empty((height, width, 4 if has_alpha else 3), pixels.dtype)
        if has_alpha:
            painted[..., 3] = pixels[..., -1]
        for rows in _bands(height, width):
            lightness[rows] = _lightness(colors[rows])
            grey[rows] = self._grey(colors[rows], lightness[rows])
        small = self._predict(grey, given, options)
        for rows in _bands(height, width):
            *own, a, b = (_enlarged_rows(plane, rows, lightness) for plane in small)
            light = own[0] if own else lightness[rows]
            painted[rows, :, :3] = self._paint(light, a, b, pixels.dtype)
        return painted

    def _predict(
        self, grey: np.ndarray, hints: Sequence[Hint], options: _Options
    ) -> list[Image.Image]:
        """Predicts a and b at the working size from what is seen at full size, (H, W).

        Before them the lightness, where the weights' config says that the predicted one counts.
        """
        size = self._size.of(*grey.shape)
        fields = {"grey": _shrunk(grey, size)}
        if "edges" in self._method.network.inputs:
            fields["edges"] = self._method.detect_edges(fields["grey"][0])[None]
        if self._method.takes_hints:
            fields |= user_hints.paint(hints, grey.shape, size)
        if options.global_grey is not None:
            fields["global_grey"] = options.global_grey
        key = (size, options.global_grey is None)
        predict = self._executable(key, self._method.predict_shown, fields)
        shown = jax.device_get(predict(self._variables, fields))[0]
        planes = np.moveaxis(_saturated(shown[..., -2:], options.saturation), -1, 0)
        planes = [*np.moveaxis(shown[..., :-2], -1, 0), *planes]
        return [Image.fromarray(np.ascontiguousarray(plane)) for plane in planes]

    def _paint(self, lightness: np.ndarray, a: np.ndarray, b: np.ndarray, dtype: Any) -> np.ndarray:
        """Returns sRGB (H, W, 3) of `dtype`, of planes (H, W) of Lab at full size."""
        shape, count = lightness.shape, lightness.size
        size = -(-count // _BAND_PIXELS) * _BAND_PIXELS
        lab = np.zeros((3, size), np.float32)  # padded: one shape, one compilation
        for channel, plane in enumerate((lightness, a, b)):
            lab[channel, :count] = plane.ravel()
        paint = _paint_u8 if dtype == np.uint8 else _paint_float
        rgb = self._executable((paint, size), lambda _, lab: paint(lab), lab)(self._variables, lab)
        return jax.device_get(rgb)[:count].reshape(*shape, 3)

    def _executable(
        self, key: object, function: Callable[..., jax.Array], *arguments: Any
    ) -> jax.stages.Compiled:
        """Returns the compiled function of (weights, *arguments); compiles where `key` is new."""
        if key not in self._compiled:
            start = time.perf_counter()
            self._compiled[key] = jax.jit(function).lower(self._variables, *arguments).compile()
            self.compile_seconds += time.perf_counter() - start
        return self._compiled[key]


def _set_temperature(config: ConfigDict, temperature: float) -> None:
    if not 0 <= temperature < np.inf:
        raise RequestError(f"temperature is at least 0, not {temperature}")
    if "temperature" not in config.model or config.model.get("head") != "bins":
        raise RequestError(
            f"these weights of {config.model.name} predict no distribution of colours: they have "
            "no temperature; use saturation"
        )
    config.model.temperature = float(temperature)


def _checked(image: object) -> np.ndarray:
    """Returns the array if `colorize` takes it, else raises a ValueError that says why not."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f"image must be a NumPy array or a Pillow image, got {type(image)}")
    channels = image.shape[2:] or (1,)
    if image.ndim not in (2, 3) or channels[0] not in (1, 2, 3, 4) or 0 in image.shape:
        raise ValueError(
            "image must have shape (H, W), (H, W, 1) or (H, W, 3), with alpha (H, W, 2) or "
            f"(H, W, 4), got {image.shape}"
        )
    if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"image must hold uint8, or floats in [0, 1], got {image.dtype}")
    if image.dtype != np.uint8 and not (image.min() >= 0 and image.max() <= 1):
        raise ValueError(
            f"image holds floats and must be in [0, 1], got [{image.min()}, {image.max()}]; divide "
            "8-bit values by 255.0"
        )
    return image


def _saturated(ab: np.ndarray, factor: float) -> np.ndarray:
    """Returns ab (H, W, 2) times a factor, with a chroma of at most `_MAX_CHROMA`; float32."""
    chroma = np.linalg.norm(ab.astype(np.float64), axis=-1, keepdims=True)
    limit = _MAX_CHROMA / np.maximum(chroma, 1e-9)
    return (ab * np.minimum(factor, limit)).astype(np.float32)


def _bands(height: int, width: int) -> Iterator[slice]:
    """Divides rows into bands of at most `_BAND_PIXELS` pixels, or of one row."""
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def _pixels(image: object) -> np.ndarray:
    """Returns the pixels (H, W, 1 to 4) of an image, or raises a ValueError that says why not."""
    if isinstance(image, Image.Image):
        return np.asarray(to_rgb_or_rgba(image))
    pixels = _checked(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _lightness(colors: np.ndarray) -> np.ndarray:
    """Returns L (H, W), float32, of checked sRGB (H, W, 1 or 3)."""
    if colors.dtype == np.uint8:
        return color.rgb_u8_to_lab(np.broadcast_to(colors, (*colors.shape[:2], 3)))[..., 0]
    return color.rgb_to_lab(_as_float(colors))[..., 0]


def _as_float(colors: np.ndarray) -> np.ndarray:
    """Returns checked sRGB (H, W, 1 or 3) as float32 (H, W, 3) in [0, 1]."""
    rgb = np.broadcast_to(colors, (*colors.shape[:2], 3)).astype(np.float32)
    return rgb / 255 if colors.dtype == np.uint8 else rgb


def _shrunk(grey: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes what a network sees, (H, W) in [-1, 1], to (1, height, width, 1)."""
    # Training photos are resized bicubically too; that overshoots at edges.
    small = Image.fromarray(grey.astype(np.float32, copy=False))
    small = small.resize(size[::-1], Image.Resampling.BICUBIC)
    return np.clip(np.asarray(small), -1, 1)[None, :, :, None]


def _enlarged_rows(small: Image.Image, rows: slice, like: np.ndarray) -> np.ndarray:
    """Returns some rows of a plane that is resized, bilinearly, to the shape (H, W) of `like`.

    The pixels just outside of the rows count too, so bands meet without a seam. Where the plane is
    the larger one, Pillow averages instead of skipping pixels.
    """
    height, width = like.shape
    box = (0, rows.start * small.height / height, small.width, rows.stop * small.height / height)
    size = (width, rows.stop - rows.start)
    return np.asarray(small.resize(size, Image.Resampling.BILINEAR, box))


def _paint_u8(lab: jax.Array) -> jax.Array:
    return color.lab_to_rgb_u8(jnp.moveaxis(lab, 0, -1), gamut="shrink_chroma")


def _paint_float(lab: jax.Array) -> jax.Array:
    return color.lab_to_rgb(jnp.moveaxis(lab, 0, -1), gamut="shrink_chroma")
