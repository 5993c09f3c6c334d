"""A JPEG in parts: segments, scans and what follows; whether its pixels are whole."""

from __future__ import annotations

import io
import itertools
import re
import struct
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from colorjax.errors import UnreadablePhoto
from colorjax.photos.formats import containers

COMMENT, _START, _END, _SCAN = 0xFE, 0xD8, 0xD9, 0xDA
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")  # in a scan
_SEGMENT = re.compile(rb"\xff[\xc0-\xc4\xda\xdb\xdd\xe0-\xef\xfe]")
_MOST_CANDIDATES = 1000
_MOST_SEGMENTS = 2**16  # a profile has up to 255, extended XMP a few hundred
_MOST_COMPONENTS = 4  # of a scan
_MOST_CONTENT = 65533  # bytes of a segment
_JUNK = bytes((73 * i + 41) % 255 for i in range(512))  # without a marker
_MOST_FULL_PIXELS = 2**20


class Segment(NamedTuple):
    """The second byte of a marker, and its content without the length field."""

    marker: int
    content: bytes


class Parts(NamedTuple):
    """A JPEG in parts: the segments before the first scan, scans, and the bytes after the picture.

    Attributes:
        segments: up to the first scan.
        scans: from the first scan to the end marker, without it.
        after: bytes after the picture.
        has_end: whether the picture has an end marker.
        is_repaired: whether a segment had a wrong length.
    """

    segments: list[Segment]
    scans: bytes
    after: bytes
    has_end: bool
    is_repaired: bool


def segments(data: bytes) -> list[Segment]:
    """Returns the segments before the first scan, or before any damage."""
    return segments_and_end(data)[0]


def segments_and_end(data: bytes, offset: int = 2) -> tuple[list[Segment], int]:
    """Returns the segments from an offset on, and the offset of the first scan or of any damage."""
    parts = []
    while offset + 4 <= len(data) and data[offset] == 0xFF:
        marker = data[offset + 1]
        if marker == 0xFF:  # a fill byte
            offset += 1
            continue
        if marker in (0x01, 0xD8) or 0xD0 <= marker <= 0xD7:  # without content
            offset += 2
            continue
        (length,) = struct.unpack_from(">H", data, offset + 2)
        if marker in (_SCAN, _END) or length < 2 or offset + 2 + length > len(data):
            break
        parts.append(Segment(marker, data[offset + 4 : offset + 2 + length]))
        if len(parts) > _MOST_SEGMENTS:
            raise UnreadablePhoto("a JPEG with too many segments")
        offset += 2 + length
    return parts, offset


def split(data: bytes) -> Parts:
    """Splits a JPEG; finds the segments again after one with a wrong length."""
    parts, scan = segments_and_end(data, 2)
    is_repaired = not _is_scan(data, scan)
    if is_repaired:
        parts, scan = _resynchronized(data, parts, scan)
    end = after = len(data)
    offset = scan
    while marker := _MARKER.search(data, offset):
        if marker[1][0] in (_START, _END):
            end, after = marker.start(), marker.end()
            break
        offset = marker.end()
        if marker[1] != b"\x01" and offset + 2 <= len(data):
            offset += max(2, struct.unpack_from(">H", data, offset)[0])
    has_end = data[after - 1 : after] == bytes((_END,)) and end < after
    if not has_end:
        after = end
    return Parts(parts, data[scan:end].rstrip(b"\xff"), data[after:], has_end, is_repaired)


def _is_scan(data: bytes, offset: int) -> bool:
    return data[offset : offset + 2] == bytes((0xFF, _SCAN))


def _resynchronized(data: bytes, parts: list[Segment], end: int) -> tuple[list[Segment], int]:
    """Returns the segments and the offset of the first scan, in spite of a wrong length.

    The segment before the damage ends where a series of segments with the largest frame begins; a
    smaller one is a thumbnail.
    """
    start = end
    if data[end : end + 1] != b"\xff" and parts:  # the last length led to no marker
        start = end - 4 - len(parts[-1].content)
        parts = parts[:-1]
    best, area, begin = None, -1, start + 4
    for candidate in itertools.islice(_SEGMENT.finditer(data, begin), _MOST_CANDIDATES):
        if best and candidate.start() < best[2]:
            continue
        further, scan = segments_and_end(data, candidate.start())
        frame = next((p.content for p in (*parts, *further) if p.marker in FRAMES), b"")
        if not _is_scan(data, scan) or len(frame) < 6:
            continue
        height, width = struct.unpack_from(">HH", frame, 1)
        if height * width > area:
            best, area = (candidate.start(), further, scan), height * width
    if best is None:
        return parts, len(data)
    content = data[start + 4 : best[0]][:_MOST_CONTENT]
    return [*parts, Segment(data[start + 1], content), *best[1]], best[2]


def picture(parts: Parts, junk: bytes = b"") -> bytes:
    """Returns a JPEG of the pixels only, with `junk` before the end marker.

    Damaged metadata cannot disturb its decoding.
    """
    kept = [part for part in parts.segments if not _is_metadata(part)]
    return b"".join((b"\xff\xd8", coded(kept), parts.scans, junk, b"\xff\xd9"))


def _is_metadata(part: Segment) -> bool:
    if part.marker == 0xEE and part.content.startswith(b"Adobe"):
        return False
    if part.marker == 0xE0 and part.content.startswith(b"JFIF\0"):
        return False
    return part.marker == COMMENT or 0xE0 <= part.marker <= 0xEF


def check_whole(parts: Parts, image: Any, *, is_progressive: bool) -> None:
    """Rejects a picture whose scans are cut off, which libjpeg would fill with gray.

    Bytes after the end of a whole scan are ignored; bytes after a scan that is cut off become
    pixels. So a picture is whole if random bytes at its end do not change it.
    """
    is_complete = _has_all_scans(parts) if is_progressive else not _ends_flat(image)
    if parts.has_end and is_complete:  # for speed, a picture that looks whole is not decoded again
        return
    plain, filled = (_small(picture(parts, junk)) for junk in (b"", _JUNK))
    different = np.flatnonzero((plain != filled).reshape(len(plain), -1).any(1))
    if len(different):
        raise containers.cut_off(different[0], len(plain))
    if not parts.has_end and is_progressive and not is_complete:
        raise UnreadablePhoto("the file is cut off: the finer details of its pixels are missing")


def _ends_flat(image: Any) -> bool:
    """Returns whether the last block of 8x8 pixels has one color, as after the end of the data."""
    width, height = image.size
    block = image.crop(((width - 1) // 8 * 8, (height - 1) // 8 * 8, width, height))
    return not np.ptp(np.asarray(block).reshape(-1, len(block.getbands())), axis=0).any()


def _small(picture: bytes) -> np.ndarray:
    """Decodes a JPEG, a large one at an eighth of its size."""
    with Image.open(io.BytesIO(picture), formats=["JPEG"]) as image:
        if image.width * image.height > _MOST_FULL_PIXELS:
            image.draft(image.mode, (1, 1))
        return np.asarray(image)


def _has_all_scans(parts: Parts) -> bool:
    """Returns whether the scans of a progressive JPEG transmit every bit of every coefficient."""
    missing = {}  # (component, coefficient) -> lowest bit so far
    scans = parts.scans
    for match in re.finditer(rb"\xff\xda", scans):
        start = match.end()
        count = scans[start + 2] if start + 2 < len(scans) else 0
        header = scans[start + 3 : start + 6 + 2 * count]
        if len(header) < 3 + 2 * count or count > _MOST_COMPONENTS:
            return False
        first, last, bits = header[-3:]
        for component in header[: 2 * count : 2]:
            missing |= {(component, k): bits & 15 for k in range(first, min(last, 63) + 1)}
    frame = next(part.content for part in parts.segments if part.marker in FRAMES)
    return len(missing) == 64 * frame[5] and not any(missing.values())


def coded(parts: list[Segment]) -> bytes:
    """Returns segments as bytes, with marker and length."""
    return b"".join(
        struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content for marker, content in parts
    )
