"""The interface of the package `colorjax.photos` over `photo_files`, at 8 bits a channel."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from colorjax.data.decode import UnreadablePhoto
from colorjax.inference import photo_files
from colorjax.inference.photo_files import UnwritablePhoto

__all__ = ["Header", "Photo", "UnreadablePhoto", "UnwritablePhoto", "probe", "read", "write"]

_SUFFIXES = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "TIFF": ".tif",
    "WEBP": ".webp",
    "BMP": ".bmp",
    "AVIF": ".avif",
    "JPEG2000": ".jp2",
    "PPM": ".ppm",
}
_READING = threading.Lock()  # `photo_files.read` swaps the process's filters of warnings


class Header(NamedTuple):
    """What the first bytes of a photo tell.

    Attributes:
        kind: what the content is: "JPEG", "PNG", ...; "": nothing that can be read.
        suffix: of the output: the file's own where that holds RGB of this content.
        width: as stored, in pixels.
        height: as stored, in pixels.
    """

    kind: str
    suffix: str
    width: int
    height: int


def probe(path: Path) -> Header:
    """Reads the header of a photo; never fails."""
    own = photo_files.format_of(path.suffix)
    try:
        with Image.open(path) as image:
            kind = "JPEG" if image.format == "MPO" else image.format or ""
            mode, (width, height) = image.mode, image.size
    except Exception:  # Pillow's plug-ins raise whatever a broken file leads them to
        return Header("", path.suffix if own else ".png", 0, 0)
    if own == kind and (mode not in ("1", "P") or kind == "PNG"):
        return Header(kind, path.suffix, width, height)
    suffix = ".png" if mode in ("1", "P") else _SUFFIXES.get(kind, ".png")
    return Header(kind, suffix, width, height)


class Photo:
    """A photo read whole, and painted over.

    Attributes:
        kind: of its file, as `Header.kind`.
        height: upright, in pixels.
        width: upright, in pixels.
        is_8_bit: whether it takes 8-bit sRGB as it is.
        notes: what a user should know of what was not taken over.
    """

    def __init__(self, file: photo_files.PhotoFile, kind: str):
        """Takes the pixels of a file of a kind."""
        self.kind = kind
        self._pixels = np.array(file.image)
        self._metadata = file.metadata
        self.height, self.width = self._pixels.shape[:2]
        self.is_8_bit = True
        self.notes = file.notes

    def srgb(self, rows: slice) -> np.ndarray:
        """Returns the pixels of some rows, (n, W, 3) uint8."""
        return self._pixels[rows, :, :3]

    def paint(self, rows: slice, srgb: np.ndarray) -> None:
        """Gives some rows other colours, (n, W, 3), uint8 or float32 in [0, 1]."""
        self._pixels[rows, :, :3] = _as_u8(srgb)

    def paint_grey(self, rows: slice, grey: np.ndarray) -> None:
        """Makes some rows grey: (n, W) float32 in [0, 1], sRGB-coded."""
        self._pixels[rows, :, :3] = _as_u8(grey)[..., None]

    def picture(self) -> tuple[Image.Image, dict[str, Any]]:
        """Returns the painted pixels and the metadata, as `photo_files.write` takes them."""
        return Image.fromarray(self._pixels), self._metadata


def read(source: Path, *, max_pixels: int = 2**28) -> Photo:
    """Reads a photo whole.

    Raises:
        UnreadablePhoto: no image, cut short, or of more than `max_pixels`.
    """
    with _READING:
        return Photo(photo_files.read(source), probe(source).kind)


def write(
    target: Path | BinaryIO,
    photo: Photo,
    suffix: str,
    *,
    mark: dict[str, str] | None,
    quality: int | None = None,
) -> tuple[str, ...]:
    """Writes the painted pixels, whole or not at all; returns notes.

    Raises:
        UnwritablePhoto: no room, no permission, or too large for the format.
    """
    picture, metadata = photo.picture()
    kind = photo_files.format_of(suffix)
    notes = () if kind == photo.kind else (f"the {photo.kind} became a {kind}",)
    if isinstance(target, os.PathLike):
        return notes + photo_files.write(Path(target), picture, metadata)
    picture = picture if kind in ("PNG", "TIFF", "WEBP", "AVIF") else picture.convert("RGB")
    picture.save(target, kind)
    return notes


def _as_u8(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return values
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
