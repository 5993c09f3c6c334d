"""Reads and writes photos of all formats; writes are atomic, with one error type each."""

from __future__ import annotations

import copy
import dataclasses
import io
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from colorjax.errors import UnreadablePhoto
from colorjax.photos import derivatives, exif, header, xmp
from colorjax.photos.formats import bmp, jpeg, jpeg2000, netpbm, png, tiff, webp_avif_heif
from colorjax.photos.library_warnings import complaints
from colorjax.photos.photo import Metadata, Photo, UnwritablePhoto
from colorjax.runtime import atomic
from colorjax.runtime.memory import MAX_PIXELS
from colorjax.runtime.notes import first_notes

_WITHOUT_XMP = ("BMP", "PPM")


def read(
    source: Path | bytes, *, max_pixels: int = MAX_PIXELS, white: float | None = None
) -> Photo:
    """Reads a photo of any format; if a file has several pictures, the first one.

    Args:
        source: a file, or its bytes.
        max_pixels: larger photos are rejected before decoding; the default depends on the memory
            of this machine.
        white: the stored value that becomes white, such as 4095 for 12 bits in a file of 16 bits;
            None: the largest value of the file's depth.

    Returns:
        The photo, upright, in its own color space and depth.

    Raises:
        UnreadablePhoto: not a photo, truncated, damaged or too large. No other error is raised,
            whatever the bytes.
    """
    try:
        data = source if isinstance(source, bytes) else _bytes_of(source)
        with complaints() as heard:
            photo = _read(data, max_pixels)
    except UnreadablePhoto:
        raise
    except MemoryError:
        raise UnreadablePhoto("not enough memory for this photo") from None
    except Exception as error:  # libraries raise errors of any type on broken files
        raise UnreadablePhoto(
            "its pixels cannot be decoded: the file is damaged, cut off or of a rare kind"
        ) from error
    photo.metadata, damage = _repaired(photo.metadata)
    levels = photo.set_white(white) if white is not None else photo.dark_note()
    if heard and not damage:
        damage = ("it has faults that do not affect its pixels",)
    photo.metadata, dropped = derivatives.removed(photo.metadata)
    photo.notes = first_notes((*photo.notes, *levels, *damage, *dropped))
    return photo


def _bytes_of(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise UnreadablePhoto("not a file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadablePhoto(error.strerror or "cannot be opened") from error


def _repaired(metadata: Metadata) -> tuple[Metadata, tuple[str, ...]]:
    """Returns the metadata without damaged parts, and notes about them."""
    notes: tuple[str, ...] = ()
    blob, packet = metadata.exif, metadata.xmp
    if blob and (whole := exif.repaired(blob)) != blob:
        notes = (
            "parts of its EXIF are damaged: dropped" if whole else "its EXIF is damaged: dropped",
        )
        blob = whole
    if packet.strip(b"\0\r\n\t ") and not xmp.is_well_formed(packet):
        notes += ("its XMP is damaged: dropped",)
        packet = b""
    return dataclasses.replace(metadata, exif=blob, xmp=packet), notes


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
        webp_avif_heif.refuse_heif()
    if not kind:
        raise UnreadablePhoto("not a photo in a supported format")
    return webp_avif_heif.read(data, kind, max_pixels)


def write(
    target: Path | BinaryIO,
    photo: Photo,
    kind: str,
    *,
    mark: Mapping[str, str] | None,
    quality: int | None = None,
) -> tuple[str, ...]:
    """Writes a painted photo atomically.

    Args:
        target: a file, replaced if it exists; or a stream.
        photo: a photo whose rows are all painted.
        kind: `Header.kind`, or a suffix.
        mark: "by", the name of the weights that predicted the colors, and "tool"; None: no mark.
        quality: 1 to 100, for lossy formats; None: at least that of the source.

    Returns:
        Notes on what the format cannot store.

    Raises:
        UnwritablePhoto: disk full, no permission, or too large for the format; the folder is not
            changed.
        ValueError: an unknown kind, or a photo with unpainted rows.
    """
    kind = header.kind_to_write(kind)
    if not photo.is_painted:
        raise ValueError("every row of the photo must be painted before it is written")
    photo, notes = _with_mark(photo, kind, mark)
    if kind != photo.kind:
        notes = (f"the photo is a {photo.kind}, the result a {kind}", *notes)
    try:
        content = io.BytesIO()
        notes += _encode(content, photo, kind, quality)
        if isinstance(target, Path):
            atomic.write_bytes(target, content.getbuffer())
        else:
            target.write(content.getbuffer())
    except UnwritablePhoto:
        raise
    except Exception as error:  # encoders raise errors of many types
        text = getattr(error, "strerror", None) or "its encoder failed; write it as PNG or TIFF"
        raise UnwritablePhoto(f"cannot be written as {kind}: {text}") from error
    return first_notes(notes)


def has_xmp(kind: str) -> bool:
    """Returns whether files of a kind or suffix can store XMP, and so the mark."""
    return header.kind_to_write(kind) not in _WITHOUT_XMP


def _encode(file: io.BytesIO, photo: Photo, kind: str, quality: int | None) -> tuple[str, ...]:
    writers = {"JPEG": jpeg, "PNG": png, "TIFF": tiff, "JPEG2000": jpeg2000, "PPM": netpbm}
    with complaints():
        if kind in writers:
            return writers[kind].write(file, photo, quality)
        if kind == "BMP":
            return bmp.write(file, photo, quality)
        if kind == "HEIF":
            webp_avif_heif.heif_writer()
        return webp_avif_heif.write(file, photo, kind, quality)


def _with_mark(
    photo: Photo, kind: str, mark: Mapping[str, str] | None
) -> tuple[Photo, tuple[str, ...]]:
    """Returns the photo with the mark in its XMP, and a note if the format has no XMP."""
    if kind in _WITHOUT_XMP:
        lost = [name for name in ("exif", "xmp", "photoshop") if getattr(photo.metadata, name)]
        notes = (f"{kind} cannot store {', '.join(lost)}: dropped",) if lost else ()
        if mark is not None:
            notes += (f"{kind} cannot store the mark that the colors are predicted",)
        return photo, notes
    if mark is None:
        return photo, ()
    with_mark = copy.copy(photo)
    packet, whole = xmp.marked(photo.metadata.xmp, mark)
    with_mark.metadata = dataclasses.replace(photo.metadata, xmp=packet)
    return with_mark, () if whole else ("its XMP is damaged: replaced",)
