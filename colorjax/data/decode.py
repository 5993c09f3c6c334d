"""Decodes any image that Pillow opens to upright 8-bit RGB: the whole photo or one region."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageOps

from colorjax.errors import UnreadablePhoto

MIN_SIDE = 8  # pixels; smaller images (tracking pixels, broken thumbnails) are useless for training

_DAMAGED = "not a photo, or its pixels are damaged or cut off"

Box: TypeAlias = tuple[float, float, float, float]  # left, top, right, bottom in pixels
_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts any Pillow image to mode RGB, 8 bits per channel.

    16-bit integer and float gray levels are scaled, because Pillow would clip them to white. Alpha
    is dropped; palettes are looked up.
    """
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, np.float64)
        if image.mode == "F":
            full = 1.0 if values.max(initial=0) <= 1 else 255.0
        else:
            full = 65535.0 if values.max(initial=0) > 255 or ";16" in image.mode else 255.0
        gray = np.clip(np.rint(values * (255 / full)), 0, 255).astype(np.uint8)
        return Image.fromarray(gray).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def to_rgb_or_rgba(image: Image.Image) -> Image.Image:
    """Converts a Pillow image of any mode to RGBA where it has transparency, else to RGB.

    Raises:
        ValueError: Pillow cannot convert the mode.
    """
    if image.mode == "La":  # Pillow converts premultiplied gray only to LA
        image = image.convert("LA")
    if image.has_transparency_data and not image.mode.startswith(("I", "F")):
        return image.convert("RGBA")
    return to_rgb(image)


def decode_rgb(photo: bytes | np.ndarray) -> np.ndarray:
    """Decodes a whole photo.

    Args:
        photo: the bytes of an image file, or pixels of shape (H, W, 3), uint8.

    Returns:
        (H, W, 3) uint8 sRGB, upright (EXIF orientation applied).

    Raises:
        UnreadablePhoto: not an image, truncated, or a side below 8 px.
    """
    if isinstance(photo, np.ndarray):
        return photo
    try:
        with Image.open(io.BytesIO(photo)) as image:
            _check_size(*image.size)
            return np.asarray(to_rgb(ImageOps.exif_transpose(image)))
    except UnreadablePhoto:
        raise
    except Exception as error:  # Pillow's plug-ins raise errors of any type on broken files
        raise UnreadablePhoto(_DAMAGED) from error


def decode_reduced(photo: bytes | np.ndarray, short_side: int) -> np.ndarray:
    """Decodes a whole photo, shrunk if its shorter side is longer than `short_side` pixels.

    Arguments, result and errors are otherwise those of `decode_rgb`.
    """
    try:
        with _open(photo) as image:
            _check_size(*image.size)
            scale = short_side / min(image.size)
            if scale >= 1:
                return np.asarray(to_rgb(ImageOps.exif_transpose(image)))
            size = [math.ceil(side * scale) for side in image.size]
            image.draft("RGB", (size[0], size[1]))  # affects JPEG only
            # For a TIFF, whose info has no "exif", Pillow reports the upright size.
            if "exif" in image.info and image.getexif().get(_ORIENTATION, 1) in _SIDEWAYS:
                size = size[::-1]
            rgb = to_rgb(ImageOps.exif_transpose(image))
            return np.asarray(rgb.resize(size, Image.Resampling.BOX, reducing_gap=2.0))
    except UnreadablePhoto:
        raise
    except Exception as error:  # see decode_rgb
        raise UnreadablePhoto(_DAMAGED) from error


def _open(photo: bytes | np.ndarray) -> Image.Image:
    if isinstance(photo, np.ndarray):
        return Image.fromarray(photo)
    return Image.open(io.BytesIO(photo))


def decode_region(
    photo: bytes | np.ndarray, choose_box: Callable[[int, int], Box], size: int
) -> np.ndarray:
    """Decodes one region of a photo, resized to a square.

    JPEG files are decoded at a lower resolution where the region is much larger than `size`.

    Args:
        photo: the bytes of an image file, or pixels of shape (H, W, 3), uint8.
        choose_box: (width, height) of the upright photo -> the region's box in its pixels.
        size: side of the result in pixels.

    Returns:
        (size, size, 3) uint8 sRGB.

    Raises:
        UnreadablePhoto: not an image, truncated, or a side below 8 px.
    """
    try:
        if isinstance(photo, np.ndarray):
            _check_size(photo.shape[1], photo.shape[0])
            return _resize(Image.fromarray(photo), choose_box(photo.shape[1], photo.shape[0]), size)
        with Image.open(io.BytesIO(photo)) as image:
            return _decode_file_region(image, choose_box, size)
    except UnreadablePhoto:
        raise
    except Exception as error:  # see decode_rgb
        raise UnreadablePhoto(_DAMAGED) from error


def _decode_file_region(
    image: Image.Image, choose_box: Callable[[int, int], Box], size: int
) -> np.ndarray:
    if image.format != "JPEG":
        rgb = to_rgb(ImageOps.exif_transpose(image))
        _check_size(*rgb.size)
        return _resize(rgb, choose_box(*rgb.size), size)
    stored = image.size
    turned = "exif" in image.info and image.getexif().get(_ORIENTATION, 1)
    width, height = stored[::-1] if turned in _SIDEWAYS else stored
    _check_size(width, height)
    box = choose_box(width, height)
    shrink = min(box[2] - box[0], box[3] - box[1]) / size
    if shrink >= 2:
        image.draft("RGB", (math.ceil(stored[0] / shrink), math.ceil(stored[1] / shrink)))
    rgb = to_rgb(ImageOps.exif_transpose(image) if turned else image)
    x, y = rgb.width / width, rgb.height / height  # below 1 after a draft
    return _resize(rgb, (box[0] * x, box[1] * y, box[2] * x, box[3] * y), size)


def _resize(image: Image.Image, box: Box, size: int) -> np.ndarray:
    if image.size == (size, size) and box == (0, 0, size, size):
        return np.asarray(image)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box, reducing_gap=2.0))


def _check_size(width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise UnreadablePhoto(f"{width}x{height} px: a side is below {MIN_SIDE} px")
