"""Photos from files and to files: whole or not at all, and one kind of error each way."""

from __future__ import annotations

import copy
import dataclasses
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from colorjax.errors import UnreadablePhoto
from colorjax.photos import header, xmp
from colorjax.photos.formats import bmp, jpeg, jpeg2000, netpbm, png, tiff
from colorjax.photos.formats import webp_avif_heif as modern
from colorjax.photos.library_warnings import complaints
from colorjax.photos.photo import Photo, UnwritablePhoto
from colorjax.runtime.atomic import replacing

MAX_PIXELS = 2**28
_WITHOUT_XMP = ("BMP", "PPM")
_MOST_MESSAGE = 200  # characters of a library's complaint


def read(source: Path | bytes, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Reads a photo of any format; of several pictures the first.

    Args:
        source: a file, or what one holds.
        max_pixels: more are refused before they are decoded.

    Returns:
        The photo, upright, in its own space and depth.

    Raises:
        UnreadablePhoto: no photo, cut short, damaged or too large; nothing else, whatever the
            bytes.
    """
    try:
        data = source if isinstance(source, bytes) else _bytes_of(source)
        with complaints() as heard:
            photo = _read(data, max_pixels)
    except UnreadablePhoto:
        raise
    except MemoryError:
        raise UnreadablePhoto("there is not enough memory for it") from None
    except Exception as error:  # libraries raise whatever a broken file leads them to
        text = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise UnreadablePhoto(_one_line(text)) from error
    photo.notes = (*photo.notes, *dict.fromkeys(map(_one_line, heard)))
    return photo


def _bytes_of(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise UnreadablePhoto("not a file")
    return path.read_bytes()


def _read(data: bytes, max_pixels: int) -> Photo:
    kind = header.kind_of(data[:4096])
    if kind == "JPEG":
        return jpeg.read(data, max_pixels)
    if kind == "PNG":
        return png.read(data, max_pixels)
    if kind == "TIFF":
        return tiff.read(data, max_pixels)
    if kind == "JPEG2000":
        return jpeg2000.read(data, max_pixels)
    if kind == "PPM":
        return netpbm.read(data, max_pixels)
    if kind == "HEIF":
        modern.refuse_heif()
    if not kind:
        raise UnreadablePhoto("no photo of a known format")
    return modern.read(data, kind, max_pixels)


def write(
    target: Path | BinaryIO,
    photo: Photo,
    kind: str,
    *,
    mark: Mapping[str, str] | None,
    quality: int | None = None,
) -> tuple[str, ...]:
    """Writes a painted photo, whole or not at all.

    Args:
        target: file, replaced if it is there; or a stream.
        photo: all of whose rows were painted.
        kind: as of a `Header`, or a suffix.
        mark: "by", the name of the weights that predicted the colours, and "tool"; None for none.
        quality: 1 to 100, of formats with loss; None: no worse than the source.

    Returns:
        Notes on what the format cannot hold.

    Raises:
        UnwritablePhoto: no room, no permission, or too large for the format; the folder is as it
            was before.
        ValueError: an unknown kind, or a photo with rows that were not painted.
    """
    kind = header.kind_to_write(kind)
    if not photo.is_painted:
        raise ValueError("every row of the photo must be painted before it is written")
    photo, notes = _with_mark(photo, kind, mark)
    if kind != photo.kind:
        notes = (f"the {photo.kind} became a {kind}", *notes)
    try:
        if not isinstance(target, Path):
            with tempfile.TemporaryDirectory() as folder:
                whole = Path(folder) / "photo"
                notes += _write_file(whole, photo, kind, quality)
                with whole.open("rb") as file:
                    shutil.copyfileobj(file, target)
        else:
            notes += _write_file(target, photo, kind, quality)
    except UnwritablePhoto:
        raise
    except Exception as error:  # as many kinds as there are encoders
        text = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise UnwritablePhoto(f"cannot be written as {kind}: {_one_line(text)}") from error
    return notes


def has_xmp(kind: str) -> bool:
    """Whether files of a kind or suffix have room for XMP, and so for the mark."""
    return header.kind_to_write(kind) not in _WITHOUT_XMP


def _write_file(path: Path, photo: Photo, kind: str, quality: int | None) -> tuple[str, ...]:
    with replacing(path) as partial, partial.open("x+b") as file:
        return _encode(file, photo, kind, quality)


def _encode(file: BinaryIO, photo: Photo, kind: str, quality: int | None) -> tuple[str, ...]:
    writers = {"JPEG": jpeg, "PNG": png, "TIFF": tiff, "JPEG2000": jpeg2000, "PPM": netpbm}
    with complaints():
        if kind in writers:
            return writers[kind].write(file, photo, quality)
        if kind == "BMP":
            return bmp.write(file, photo, quality)
        if kind == "HEIF":
            modern.heif_writer()
        return modern.write(file, photo, kind, quality)


def _with_mark(
    photo: Photo, kind: str, mark: Mapping[str, str] | None
) -> tuple[Photo, tuple[str, ...]]:
    """Returns the photo with the mark in its XMP, and a note where the format has none."""
    if kind in _WITHOUT_XMP:
        lost = [name for name in ("exif", "xmp", "photoshop") if getattr(photo.metadata, name)]
        notes = (f"{kind} holds no {', '.join(lost)}: dropped",) if lost else ()
        if mark is not None:
            notes += (f"{kind} has no room for the mark of predicted colours",)
        return photo, notes
    if mark is None:
        return photo, ()
    with_mark = copy.copy(photo)
    packet, whole = xmp.marked(photo.metadata.xmp, mark)
    with_mark.metadata = dataclasses.replace(photo.metadata, xmp=packet)
    return with_mark, () if whole else ("its XMP is damaged: replaced",)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_MOST_MESSAGE]
