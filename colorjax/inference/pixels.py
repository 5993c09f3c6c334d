"""Pixel access of the Colorizer: arrays and Pillow images here, photo files in photos/."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from PIL import ExifTags, Image, ImageOps

from colorjax import color
from colorjax.color.arrays import is_jax
from colorjax.data.decode import to_rgb_or_rgba
from colorjax.errors import RequestError
from colorjax.photos import color_space

if TYPE_CHECKING:
    import jax

# An array, a Pillow image, or the path or bytes of an image file.
Picture: TypeAlias = "np.ndarray | jax.Array | Image.Image | str | os.PathLike[str] | bytes"

_CARRIED = ("exif", "dpi", "xmp", "comment")  # of Image.info, in addition to icc_profile
_GRAY_MODES = ("1", "L", "LA", "La", "I", "F")  # and I;16 with its variants


class Pixels(Protocol):
    """A photo that is read and painted in bands of rows."""

    height: int
    width: int
    is_8_bit: bool  # whether `paint` takes uint8 instead of float32

    def srgb(self, rows: slice) -> np.ndarray:
        """Returns sRGB (n, W, 1 or 3) of some rows: uint8, or floating point in [0, 1]."""
        ...

    def paint(self, rows: slice, srgb: np.ndarray) -> None:
        """Stores the new sRGB (n, W, 3) of some rows, uint8 or float32 in [0, 1]."""
        ...


class ArrayPixels:
    """Pixels of an array as in `Colorizer.colorize`; alpha is kept.

    Attributes:
        painted: (H, W, 3), or (H, W, 4) with the array's alpha, of the array's dtype.
    """

    def __init__(self, image: np.ndarray | jax.Array):
        """Takes (H, W) or (H, W, 1 to 4), uint8 or floating point in [0, 1].

        Raises:
            RequestError: `image` has an unsupported type, shape, dtype or range.
        """
        self._is_jax = is_jax(image)
        pixels = _checked(np.asarray(image) if self._is_jax else image)
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        self.height, self.width, channels = pixels.shape
        self.is_8_bit = pixels.dtype == np.uint8
        has_alpha = channels in (2, 4)
        self._colors = pixels[..., :-1] if has_alpha else pixels
        self.painted = np.empty((self.height, self.width, 4 if has_alpha else 3), pixels.dtype)
        if has_alpha:
            self.painted[..., 3] = pixels[..., -1]

    @property
    def result(self) -> Any:
        """The painted array, of the input's kind: NumPy's or JAX's."""
        if not self._is_jax:
            return self.painted
        import jax.numpy as jnp

        return jnp.asarray(self.painted)

    def srgb(self, rows: slice) -> np.ndarray:
        """Returns the colors of some rows, (n, W, 1 or 3), of the array's dtype."""
        return self._colors[rows]

    def paint(self, rows: slice, srgb: np.ndarray) -> None:
        """Stores the new colors of some rows, (n, W, 3)."""
        self.painted[rows, :, :3] = srgb


class ImagePixels:
    """Pixels of a Pillow image of any mode, upright, in the color space of its ICC profile.

    Attributes:
        painted: (H, W, 3), or (H, W, 4) with the image's alpha, uint8.
    """

    def __init__(self, image: Image.Image):
        """Turns the image upright as its EXIF orientation says.

        Raises:
            RequestError: its pixels cannot be read, or Pillow cannot convert its mode.
        """
        try:
            upright = ImageOps.exif_transpose(image)
            pixels = np.asarray(to_rgb_or_rgba(upright))
        except (OSError, ValueError, SyntaxError) as error:  # truncated; no conversion; broken
            raise RequestError(
                f"this image (mode {image.mode}) cannot be read as RGB: {error}; convert it to "
                "mode RGB first"
            ) from None
        self.height, self.width, channels = pixels.shape
        is_gray = image.mode in _GRAY_MODES or image.mode.startswith("I;16")
        profile = upright.info.get("icc_profile") or b""
        space, kept, _ = color_space.choose(profile, "gray" if is_gray else "rgb", np.uint8, 255)
        assert space is not None  # only for CMYK
        self._space = space
        self._colors = pixels[..., :3]
        self._info = _carried(image, upright) | ({"icc_profile": kept} if kept else {})
        self.is_8_bit = space.is_plain_u8
        self.painted = np.empty((self.height, self.width, channels), np.uint8)
        self.painted[..., 3:] = pixels[..., 3:]

    @property
    def result(self) -> Image.Image:
        """The painted image, RGB or RGBA, with the metadata of the input."""
        image = Image.fromarray(self.painted)
        image.info |= self._info
        return image

    def srgb(self, rows: slice) -> np.ndarray:
        """Returns the colors of some rows, (n, W, 3): uint8 if `is_8_bit`, else float32."""
        return self._space.to_srgb(self._colors[rows])

    def paint(self, rows: slice, srgb: np.ndarray) -> None:
        """Stores the new colors of some rows, (n, W, 3) sRGB."""
        self._space.from_srgb(srgb, self.painted[rows, :, :3])


def open_pixels(image: Picture) -> ArrayPixels | ImagePixels:
    """Returns the pixels of an array, a Pillow image, or the path or bytes of an image file.

    Raises:
        RequestError: no such file, not an image, or an unsupported type, shape, dtype or range.
    """
    if isinstance(image, bytes | str | os.PathLike):
        image = _opened(image)
    return ImagePixels(image) if isinstance(image, Image.Image) else ArrayPixels(image)


def _opened(source: str | os.PathLike[str] | bytes) -> Image.Image:
    is_path = not isinstance(source, bytes)
    name = f"image {os.fspath(source)!r}" if is_path else "image, given as bytes,"
    try:
        image = Image.open(os.path.expanduser(source) if is_path else io.BytesIO(source))
        image.load()
    except FileNotFoundError:
        raise RequestError(f"{name} does not exist; give the path of a photo") from None
    except Exception as error:  # Pillow's plug-ins raise errors of any type on broken files
        raise RequestError(
            f"{name} cannot be opened by Pillow ({type(error).__name__}: {error}); the command "
            "`colorjax colorize` reads more formats"
        ) from None
    return image


def _carried(image: Image.Image, upright: Image.Image) -> dict[str, Any]:
    """Returns the metadata that also holds for the painted image, without the orientation."""
    info = {name: upright.info[name] for name in _CARRIED if name in upright.info}
    exif = upright.getexif()
    if "exif" in info and ExifTags.Base.Orientation in exif:
        del exif[ExifTags.Base.Orientation]
        info["exif"] = exif.tobytes()
    is_sideways = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    if "dpi" in info and is_sideways:
        info["dpi"] = tuple(reversed(info["dpi"]))
    return info


def _checked(image: object) -> np.ndarray:
    """Returns the array if `colorize` supports it, else raises a RequestError with the reason."""
    if not isinstance(image, np.ndarray):
        raise RequestError(
            "image must be a NumPy array or a Pillow image, a JAX array, or the path or bytes of "
            f"an image file, not {type(image).__name__}; convert it with numpy.asarray"
        )
    channels = image.shape[2:] or (1,)
    if image.ndim not in (2, 3) or channels[0] not in (1, 2, 3, 4) or 0 in image.shape:
        raise RequestError(
            "image must have shape (H, W), (H, W, 1) or (H, W, 3), with alpha (H, W, 2) or "
            f"(H, W, 4), got {image.shape}"
        )
    if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
        raise RequestError(f"image must hold uint8, or floats in [0, 1], got {image.dtype}")
    if image.dtype != np.uint8 and not (image.min() >= 0 and image.max() <= 1):
        raise RequestError(
            f"image holds floats and must be in [0, 1], got [{image.min()}, {image.max()}]; divide "
            "8-bit values by 255.0"
        )
    return image


def lightness_of(srgb: np.ndarray) -> np.ndarray:
    """Returns L (n, W), float32, of sRGB (n, W, 1 or 3)."""
    if srgb.dtype == np.uint8:
        return color.rgb_u8_to_lab(np.broadcast_to(srgb, (*srgb.shape[:2], 3)))[..., 0]
    return color.rgb_to_lab(as_float(srgb))[..., 0]


def as_float(srgb: np.ndarray) -> np.ndarray:
    """Returns sRGB (n, W, 1 or 3) as float32 (n, W, 3) in [0, 1]."""
    rgb = np.broadcast_to(srgb, (*srgb.shape[:2], 3)).astype(np.float32)
    return rgb / 255 if srgb.dtype == np.uint8 else rgb
