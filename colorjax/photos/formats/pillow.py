"""Helpers shared by the codecs: conversion between Pillow images and upright pixels."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from PIL import Image

from colorjax.errors import UnreadablePhoto
from colorjax.photos import color_space, exif, xmp
from colorjax.photos.photo import Metadata, Photo, UnwritablePhoto

WIDE_BYTES = 16  # of a pixel: four floats
CMYK_NOTE = "its CMYK has no profile: it became RGB"
# EXIF orientation -> view of an upright buffer in which the rows are as stored.
_INVERSE = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: p[:, ::-1].swapaxes(0, 1),
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: p[::-1].swapaxes(0, 1),
}


def check_size(
    width: int, height: int, max_pixels: int, samples: int = 1, num_bytes: int = 1
) -> None:
    """Rejects invalid sizes before anything is allocated.

    Args:
        width: in pixels.
        height: in pixels.
        max_pixels: the limit; pixels of more than `WIDE_BYTES` bytes count as several.
        samples: per pixel.
        num_bytes: bytes per pixel.

    Raises:
        UnreadablePhoto: no pixels, more than `max_pixels`, or more than 64 samples per pixel.
    """
    if width < 1 or height < 1 or not 1 <= samples <= 64:
        raise UnreadablePhoto(f"not a photo: {width}x{height} pixels with {samples} samples")
    if width * height * max(1, num_bytes / WIDE_BYTES) > max_pixels:
        of_bytes = f" of {num_bytes} bytes" if num_bytes > WIDE_BYTES else ""
        raise UnreadablePhoto(
            f"{width}x{height} pixels{of_bytes} are more than the limit of {max_pixels}; "
            "raise --max-pixels"
        )


def open_image(data: bytes, kind: str, max_pixels: int) -> Any:
    """Opens a file with Pillow without decoding, and checks its size.

    Raises:
        UnreadablePhoto: too large. Errors of Pillow are not converted.
    """
    image = Image.open(io.BytesIO(data), formats=[kind])
    check_size(*image.size, max_pixels)
    return image


def make_upright(metadata: Metadata) -> int:
    """Sets the orientation in EXIF and XMP to upright, and returns the old one, 1 to 8.

    EXIF takes precedence; XMP is used if there is no EXIF.
    """
    turned = exif.orientation(metadata.exif)
    if turned == 1 and not metadata.exif:
        turned = xmp.orientation(metadata.xmp)
    metadata.exif = exif.upright(metadata.exif, turned)
    metadata.xmp = xmp.upright(metadata.xmp, turned)
    if turned in exif.SIDEWAYS and metadata.dpi:
        metadata.dpi = metadata.dpi[::-1]
    return turned


def upright_buffer(shape: tuple[int, int, int], dtype: Any, turned: int) -> tuple[Any, Any]:
    """Returns an upright buffer for stored (H, W, C) pixels, and its view in stored order."""
    height, width, channels = shape
    sides = (width, height) if turned in exif.SIDEWAYS else (height, width)
    pixels = np.empty((*sides, channels), dtype)
    return pixels, _INVERSE[turned](pixels)


def turn(pixels: np.ndarray, turned: int) -> np.ndarray:
    """Returns stored (H, W, C) pixels upright and contiguous; the same array if already so."""
    if turned == 1:
        return np.ascontiguousarray(pixels)
    upright, stored = upright_buffer(pixels.shape, pixels.dtype, turned)
    stored[...] = pixels
    return upright


def to_photo(image: Any, kind: str, metadata: Metadata, turned: int = 1) -> Photo:
    """Decodes an 8-bit Pillow image to a `Photo`.

    In CMYK JPEG files, 255 means no ink, with or without Adobe's marker: Pillow, ImageMagick and
    ffmpeg read both in the same way.

    Args:
        image: opened, not yet loaded; if it has several pictures, the first is used.
        kind: kind of the photo.
        metadata: metadata, already upright.
        turned: orientation of the stored pixels.

    Raises:
        UnreadablePhoto: more than 8 bits, which Pillow would clip. Errors of Pillow are not
            converted.
    """
    notes = _frame_notes(image)
    image.load()
    mode = image.mode
    if mode.startswith(("I", "F")):
        raise UnreadablePhoto(
            f"a {kind} with more than 8 bits per channel (mode {mode}): save it as 16-bit PNG"
        )
    if mode == "CMYK" and not metadata.icc:
        notes += (CMYK_NOTE,)
    elif mode not in ("L", "LA", "RGB", "RGBA", "CMYK") or "transparency" in image.info:
        notes += _mode_notes(mode)
        image = image.convert("RGBA" if _is_transparent(image) else "RGB")
    model = {"L": "gray", "CMYK": "cmyk"}.get(mode, "gray" if mode == "LA" else "rgb")
    if mode == "1":
        model = "gray"
    colors, metadata.icc, more = color_space.choose(metadata.icc, model, np.uint8, 255)
    if colors is None:  # CMYK without a usable profile
        image = image.convert("RGB")
        colors = color_space.Space(np.dtype(np.uint8), 255)
    pixels = _pixels(image, turned)
    return Photo(pixels, colors, kind=kind, metadata=metadata, notes=notes + more)


def _frame_notes(image: Any) -> tuple[str, ...]:
    frames = getattr(image, "n_frames", 1)
    return (f"only the first of {frames} pictures was used",) if frames > 1 else ()


def _mode_notes(mode: str) -> tuple[str, ...]:
    what = {"1": "1-bit pixels", "P": "palette colors", "PA": "palette colors"}.get(mode)
    return (f"its {what} became RGB",) if what else ()


def _is_transparent(image: Any) -> bool:
    return "transparency" in image.info or image.mode in ("LA", "PA", "La", "RGBa", "RGBA")


def _pixels(image: Any, turned: int) -> np.ndarray:
    """Returns the upright pixels of a loaded image, copied band by band; gray as 3 channels."""
    mode = {"L": "RGB", "LA": "RGBA"}.get(image.mode, image.mode)
    width, height = image.size
    shape = (height, width, 3 if mode == "RGB" else 4)
    pixels, stored = upright_buffer(shape, np.uint8, turned)
    # A quarter turn writes columns: large bands use the CPU cache better.
    for rows in color_space.bands(stored, least_rows=256 if turned in exif.SIDEWAYS else 1):
        band = image.crop((0, rows.start, width, rows.stop))
        stored[rows] = np.asarray(band.convert(mode))
    return pixels


def eight_bits(photo: Photo, kind: str, *, alpha: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns the pixels to write as 8-bit values, and notes on what is lost."""
    pixels, notes = output_pixels(photo), ()
    if pixels.dtype == np.uint8:
        pixels = stretched(pixels, photo, 255)
    else:
        unit = np.clip(pixels.astype(np.float32) / np.float32(photo.space.full), 0, 1)
        pixels = np.rint(unit * 255).astype(np.uint8)
        notes += (f"{kind} stores 8 bits per channel: the fine steps of the photo are lost",)
    colors = 1 if photo.is_gray else photo.space.num_colors
    if not alpha and pixels.shape[2] > colors:
        pixels = np.ascontiguousarray(pixels[..., :colors])
        notes += (f"{kind} cannot store alpha: dropped",)
    return pixels, notes


def stretched(pixels: np.ndarray, photo: Photo, white: float) -> np.ndarray:
    """Returns integer pixels scaled so that white is `white`; the dtype does not change.

    Without scaling, a format without a field for white would show 4-bit values in 8 bits as nearly
    black.
    """
    full = photo.space.full
    if full == white:
        return pixels
    unit = np.clip(pixels.astype(np.float32) / np.float32(full), 0, 1)
    return np.rint(unit * np.float32(white)).astype(pixels.dtype)


def output_pixels(photo: Photo) -> np.ndarray:
    """Returns (H, W, C): the buffer itself, or for a gray copy one gray channel and alpha."""
    if not photo.is_gray:
        return photo.pixels
    return photo.pixels[..., [0, *range(photo.space.num_colors, photo.pixels.shape[2])]]


def to_image(pixels: np.ndarray, photo: Photo) -> Any:
    """Returns a Pillow image of 8-bit pixels, sharing the memory if possible."""
    height, width, channels = pixels.shape
    cmyk = photo.space.model == "cmyk" and not photo.is_gray
    mode = "CMYK" if cmyk else {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    return Image.frombuffer(mode, (width, height), np.ascontiguousarray(pixels), "raw", mode, 0, 1)


def dpi_of(image: Any) -> tuple[float, float] | None:
    """Returns pixels per inch as read by Pillow; None unless both are positive numbers."""
    try:
        x, y = (float(value) for value in image.info.get("dpi", ()))
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return (x, y) if all(math.isfinite(v) and 0 < v < 1e6 for v in (x, y)) else None


def rgb_only(photo: Photo, kind: str) -> None:
    """Rejects CMYK pixels for a format that supports only RGB.

    Raises:
        UnwritablePhoto: the pixels are CMYK.
    """
    if photo.space.model == "cmyk" and not photo.is_gray:
        raise UnwritablePhoto(f"{kind} cannot store CMYK: write it as JPEG or TIFF")
