"""File type detection from the content: kind, size and output suffix."""

from __future__ import annotations

import contextlib
import mmap
import re
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL import Image

from colorjax.photos.formats import jpeg2000, tiff_directories, webp_avif_heif
from colorjax.photos.library_warnings import complaints

SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif", ".hif"),
    "JPEG2000": (".jp2", ".j2k", ".jpf", ".jpx"),
    "PPM": (".ppm", ".pgm", ".pnm"),
}
_START_BYTES = 4096
_ISPE = re.compile(rb"ispe\0\0\0\0(.{8})", re.DOTALL)


class Header(NamedTuple):
    """File type and size from the first bytes of a file.

    Attributes:
        kind: "JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "AVIF", "HEIF", "JPEG2000" or "PPM"; ""
            for other files.
        suffix: suffix of the output: that of the file if it matches the content, else that of the
            content, or ".png" for GIF, 1-bit pixels, palettes and unknown content.
        width: width as stored, in pixels; 0 if unknown.
        height: height as stored, in pixels; 0 if unknown.
    """

    kind: str
    suffix: str
    width: int
    height: int


def kind_of(start: bytes) -> str:
    """Returns the kind of a file by its first bytes, or ""."""
    for kind, signature in (
        ("JPEG", b"\xff\xd8\xff"),
        ("PNG", b"\x89PNG\r\n\x1a\n"),
        ("GIF", (b"GIF87a", b"GIF89a")),
        ("TIFF", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
        ("JPEG2000", (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xffO\xffQ")),
        ("BMP", b"BM"),
        ("PPM", (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"Pf", b"PF")),
    ):
        if start.startswith(signature):
            return kind
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[4:8] == b"ftyp":
        brands = start[8:12] + start[16 : 8 + int.from_bytes(start[:4], "big")]
        if b"avif" in brands or b"avis" in brands:
            return "AVIF"
        if any(brand in brands for brand in (b"heic", b"heix", b"heim", b"heis", b"mif1", b"hevc")):
            return "HEIF"
    return ""


def probe(path: Path) -> Header:
    """Reads the header of a file; cheap, and never raises because of the content.

    Raises:
        OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
        kind = kind_of(file.read(_START_BYTES))
        file.seek(0)
        width, height, becomes_png = _look(file, kind)
    own = path.suffix.lower()
    if not kind or kind == "GIF" or becomes_png:
        suffix = ".png"
    else:
        suffix = path.suffix if own in SUFFIXES[kind] else SUFFIXES[kind][0]
    if suffix.lower() == ".pgm":  # gray only
        suffix = ".ppm"
    return Header(kind, suffix, width, height)


def kind_to_write(kind_or_suffix: str) -> str:
    """Returns the kind of a suffix; a kind is returned unchanged.

    Raises:
        ValueError: neither a kind nor a suffix.
    """
    if kind_or_suffix in SUFFIXES:
        return kind_or_suffix
    for kind, suffixes in SUFFIXES.items():
        if kind_or_suffix.lower() in suffixes:
            return kind
    known = ", ".join(sorted(suffix for suffixes in SUFFIXES.values() for suffix in suffixes))
    raise ValueError(f"photos cannot be written as {kind_or_suffix!r}; use one of {known}")


def _look(file: BinaryIO, kind: str) -> tuple[int, int, bool]:
    """Returns width, height, and whether the output is PNG because of 1-bit or palette pixels."""
    with (
        complaints(),
        contextlib.suppress(Exception),
    ):  # libraries raise errors of any type on broken headers
        if kind == "TIFF":
            return _look_at_tiff(file)
        if kind == "JPEG2000":
            width, height, *_ = jpeg2000.codestream_size(file.read(2**16))
            return width, height, False
        if kind == "AVIF":  # Pillow's decoder needs the whole file
            return *_extent(file.read(2**16)), False
        if kind == "HEIF":
            webp_avif_heif.refuse_heif()
        image = Image.open(file, formats=[kind])
        return *image.size, image.mode in ("1", "P", "PA")
    return 0, 0, False


def _extent(start: bytes) -> tuple[int, int]:
    """Returns the largest extent (ispe) of the pictures in a file; tiles are smaller."""
    sizes = [struct.unpack(">II", match[1]) for match in re.finditer(_ISPE, start)]
    return max(sizes, key=lambda size: size[0] * size[1])


def _look_at_tiff(file: BinaryIO) -> tuple[int, int, bool]:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return tiff_directories.look(content)
