"""Sizes in the headers of compressed pictures, which strips and tiles of a TIFF may be."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from colorjax.errors import UnreadablePhoto
from colorjax.photos.formats import jpeg2000, jpeg_parts

_JPEG_XL = b"\xff\x0a"
_JPEG_XL_FILE = b"\0\0\0\x0cJXL \r\n\x87\n"
_JPEG_XL_BITS = (9, 13, 18, 30)
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


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


class _Bits:
    """Reads bits, the lowest of each byte first."""

    def __init__(self, data: bytes):
        self._value = int.from_bytes(data[:64], "little")

    def read(self, number: int) -> int:
        value = self._value & ((1 << number) - 1)
        self._value >>= number
        return value

    def choice(self, *kinds: tuple[int, int]) -> int:
        """Returns a number of one of four kinds, each (bits, offset): U32 of ISO/IEC 18181-1."""
        bits, offset = kinds[self.read(2)]
        return offset + self.read(bits)


def _of_jpeg_xl(data: bytes) -> Size:
    """Reads a JPEG XL: ISO/IEC 18181-1, SizeHeader and ImageMetadata."""
    if data.startswith(_JPEG_XL_FILE):
        data = next(
            (
                box.content[4 * (box.name == b"jxlp") :]
                for box in jpeg2000.boxes(data)
                if box.name in (b"jxlc", b"jxlp")
            ),
            b"",
        )
    if not data.startswith(_JPEG_XL):
        raise _damaged()
    bits = _Bits(data[2:])
    is_small = bits.read(1)

    def side() -> int:
        if is_small:
            return 8 * (1 + bits.read(5))
        return bits.choice(*((number, 1) for number in _JPEG_XL_BITS))

    height = side()
    ratio = bits.read(3)
    width = side() if not ratio else height * _RATIOS[ratio - 1][0] // _RATIOS[ratio - 1][1]
    extra = 0
    if not bits.read(1):  # not all fields have their defaults
        if bits.read(1):
            bits.read(3)  # orientation
            if bits.read(3):  # an intrinsic size, a preview or an animation
                raise UnreadablePhoto("a TIFF of JPEG XL animations or previews is not a photo")
        if bits.read(1):  # floats
            bits.choice((0, 32), (0, 16), (0, 24), (6, 1))
            bits.read(4)
        else:
            bits.choice((0, 8), (0, 10), (0, 12), (6, 1))
        bits.read(1)
        extra = bits.choice((0, 0), (0, 1), (4, 2), (12, 1))
    return Size(width, height, 3 + extra)


_SIZES: dict[int, Callable[[bytes], Size]] = {
    **dict.fromkeys((6, 7, 33007, 34892), size_of_jpeg),
    **dict.fromkeys((33003, 33004, 33005, 34712), _of_jpeg2000),
    **dict.fromkeys((50002, 52546), _of_jpeg_xl),
    **dict.fromkeys((34927, 50001), _of_webp),
    34933: _of_png,
}
# JPEG XR, LERC, Jetraw and EER: their sizes are not checked.
UNCHECKED = frozenset((22610, 34934, 34887, 48124, 65000, 65001, 65002))


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
