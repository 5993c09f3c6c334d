"""Sizes in the headers of compressed pictures, which strips and tiles of a TIFF may be."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from colorjax.errors import UnreadablePhoto
from colorjax.photos.formats import jpeg2000, jpeg_parts


class Size(NamedTuple):
    """Size of a picture, in pixels, and its channels."""

    width: int
    height: int
    channels: int


def _damaged() -> UnreadablePhoto:
    return UnreadablePhoto("the pixels of the file are damaged")


def check_jpeg_tables(data: bytes) -> None:
    """Rejects tables that have more than tables: decoders would take a size from them.

    Raises:
        UnreadablePhoto: they have.
    """
    parts, end = jpeg_parts.segments_and_end(data)
    has_frame = any(part.marker in jpeg_parts.FRAMES for part in parts)
    if has_frame or data[end : end + 2] != b"\xff\xd9":
        raise _damaged()


def size_of_jpeg(data: bytes) -> Size:
    """Returns the size of a JPEG whose segments are whole up to the scan, for all decoders.

    Raises:
        UnreadablePhoto: the segments are damaged, so that decoders could differ.
    """
    parts, scan = jpeg_parts.segments_and_end(data)
    frames = [part.content for part in parts if part.marker in jpeg_parts.FRAMES]
    if data[:2] != b"\xff\xd8" or data[scan : scan + 2] != b"\xff\xda" or len(frames) != 1:
        raise _damaged()
    _, height, width, channels = struct.unpack_from(">BHHB", frames[0].ljust(6, b"\0"))
    return Size(width, height, channels)


def _of_png(data: bytes) -> Size:
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR" or len(data) < 33:
        raise _damaged()
    width, height = struct.unpack_from(">II", data, 16)
    return Size(width, height, 4)


def _of_jpeg2000(data: bytes) -> Size:
    width, height, bits, _ = jpeg2000.codestream_size(data)
    jpeg2000.check_precincts(data)
    return Size(width, height, len(bits))


def _of_webp(data: bytes) -> Size:
    name, start = data[12:16], data[20:30]
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(start) < 10:
        raise _damaged()
    if name == b"VP8X":
        width, height = (1 + int.from_bytes(start[i : i + 3], "little") for i in (4, 7))
        return Size(width, height, 4)
    if name == b"VP8L":
        bits = int.from_bytes(start[1:5], "little")
        return Size(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), 4)
    if name != b"VP8 ":
        raise _damaged()
    width, height = struct.unpack_from("<HH", start, 6)
    return Size(width & 0x3FFF, height & 0x3FFF, 4)


_SIZES: dict[int, Callable[[bytes], Size]] = {
    **dict.fromkeys((6, 7, 33007, 34892), size_of_jpeg),
    **dict.fromkeys((33003, 33004, 33005, 34712), _of_jpeg2000),
    **dict.fromkeys((34927, 50001), _of_webp),
    34933: _of_png,
}
# JPEG XR, LERC, Jetraw, EER and JPEG XL, whose frames may be larger than the picture.
UNCHECKED = frozenset((22610, 34934, 34887, 48124, 50002, 52546, 65000, 65001, 65002))


def is_picture(compression: int) -> bool:
    """Returns whether strips and tiles of a TIFF's compression are pictures with a size."""
    return compression in _SIZES


def check(data: bytes, compression: int, width: int, height: int) -> None:
    """Rejects a strip or tile that would be decoded to many more pixels than it has.

    Args:
        data: the compressed strip or tile.
        compression: TIFF's number of its compression, for which `is_picture` is true.
        width: its width in the TIFF, in pixels.
        height: its height in the TIFF, in pixels.

    Raises:
        UnreadablePhoto: it is larger, damaged, or has more than 8 channels.
    """
    size = _SIZES[compression](data)
    if size.width * size.height > 2 * width * height + 2**12 or size.channels > 8:
        raise UnreadablePhoto(
            f"a strip of {width}x{height} pixels holds a picture of {size.width}x{size.height}"
        )
