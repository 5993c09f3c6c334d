"""JPEG: copies marker segments unchanged; quantization is at least as fine as the source's."""

from __future__ import annotations

import hashlib
import io
import itertools
import re
import struct
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from colorjax.errors import UnreadablePhoto
from colorjax.photos import derivatives, exif, xmp
from colorjax.photos.formats import containers, pillow
from colorjax.photos.photo import Metadata, Photo, UnwritablePhoto

_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_ICC, _IRB = b"ICC_PROFILE\0", b"Photoshop 3.0\0"
_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_COM, _START, _END, _SCAN = 0xFE, 0xD8, 0xD9, 0xDA
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")  # in a scan
_SEGMENT = re.compile(rb"\xff[\xc0-\xc4\xda\xdb\xdd\xe0-\xef\xfe]")
_MOST_CANDIDATES = 1000
_JUNK = bytes((73 * i + 41) % 255 for i in range(512))  # without a marker
_MOST_FULL_PIXELS = 2**20
_ISO_GAIN_MAP = b"urn:iso:std:iso:ts:21496:-1"
_GAIN_MAPS = (_ISO_GAIN_MAP, b"http://ns.adobe.com/hdr-gain-map/", b"HDRGainMap")
_MOST_BYTES = 65533  # per segment, without its length field
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)
_MOST_PIXELS_A_SIDE = 65500  # libjpeg's


class Segment(NamedTuple):
    """The second byte of a marker, and its content without the length field."""

    marker: int
    content: bytes


class _Parts(NamedTuple):
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
    return _segments_from(data, 2)[0]


def _segments_from(data: bytes, offset: int) -> tuple[list[Segment], int]:
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
        offset += 2 + length
    return parts, offset


def _split(data: bytes) -> _Parts:
    """Splits a JPEG; finds the segments again after one with a wrong length."""
    parts, scan = _segments_from(data, 2)
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
    scans = data[scan:end] if has_end else data[scan:end].rstrip(b"\xff")
    return _Parts(parts, scans, data[after:], has_end, is_repaired)


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
        further, scan = _segments_from(data, candidate.start())
        frame = next((p.content for p in (*parts, *further) if p.marker in _FRAMES), b"")
        if not _is_scan(data, scan) or len(frame) < 6:
            continue
        height, width = struct.unpack_from(">HH", frame, 1)
        if height * width > area:
            best, area = (candidate.start(), further, scan), height * width
    if best is None:
        return parts, len(data)
    damaged = Segment(data[start + 1], data[start + 4 : best[0]]) if start > 1 else None
    return [*parts, *([damaged] if damaged else []), *best[1]], best[2]


def read(data: bytes, max_pixels: int) -> Photo:
    """Reads a JPEG; see `colorjax.photos.read`."""
    parts = _split(data)
    frame = next((part for part in parts.segments if part.marker in _FRAMES), None)
    if frame is None or len(frame.content) < 6:
        raise UnreadablePhoto("a JPEG without a picture")
    if frame.content[0] != 8 or frame.marker in _LOSSLESS:
        raise UnreadablePhoto(
            f"{frame.content[0]}-bit or lossless JPEG: convert it to TIFF or PNG first"
        )
    if not parts.scans:
        raise containers.cut_off(0, 1)
    image = pillow.open_image(_picture(parts), "JPEG", max_pixels)
    metadata, turned, notes = _metadata(parts.segments)
    density = next((p.content for p in parts.segments if p.content[:5] == b"JFIF\0"), b"")[7:12]
    if turned in exif.SIDEWAYS:
        density = density[:1] + density[3:] + density[1:3]
    encoding = {
        "tables": _tables(image),
        "progressive": frame.marker in _PROGRESSIVE,
        "density": density,
    }
    photo = pillow.to_photo(image, "JPEG", metadata, turned)
    _check_whole(parts, image, is_progressive=frame.marker in _PROGRESSIVE)
    photo.encoding, photo.notes = encoding, (*_notes(parts), *notes, *photo.notes)
    return photo


def _picture(parts: _Parts, junk: bytes = b"") -> bytes:
    """Returns a JPEG of the pixels only, with `junk` before the end marker.

    Damaged metadata cannot disturb its decoding.
    """
    kept = [part for part in parts.segments if not _is_metadata(part)]
    return b"".join((b"\xff\xd8", _coded(kept), parts.scans, junk, b"\xff\xd9"))


def _is_metadata(part: Segment) -> bool:
    if part.marker == 0xEE and part.content.startswith(b"Adobe"):
        return False
    if part.marker == 0xE0 and part.content.startswith(b"JFIF\0"):
        return False
    return part.marker == _COM or 0xE0 <= part.marker <= 0xEF


def _check_whole(parts: _Parts, image: Any, *, is_progressive: bool) -> None:
    """Rejects a picture whose scans are cut off, which libjpeg would fill with gray.

    Bytes after the end of a whole scan are ignored; bytes after a scan that is cut off become
    pixels. So a picture is whole if random bytes at its end do not change it.
    """
    is_complete = _has_all_scans(parts) if is_progressive else not _ends_flat(image)
    if parts.has_end and is_complete:  # for speed, a picture that looks whole is not decoded again
        return
    plain, filled = (_small(_picture(parts, junk)) for junk in (b"", _JUNK))
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


def _has_all_scans(parts: _Parts) -> bool:
    """Returns whether the scans of a progressive JPEG transmit every bit of every coefficient."""
    missing = {}  # (component, coefficient) -> lowest bit so far
    scans = parts.scans
    for match in re.finditer(rb"\xff\xda", scans):
        start = match.end()
        count = scans[start + 2] if start + 2 < len(scans) else 0
        header = scans[start + 3 : start + 6 + 2 * count]
        if len(header) < 3 + 2 * count:
            return False
        first, last, bits = header[-3:]
        for component in header[: 2 * count : 2]:
            missing |= {(component, k): bits & 15 for k in range(first, min(last, 63) + 1)}
    frame = next(part.content for part in parts.segments if part.marker in _FRAMES)
    return len(missing) == 64 * frame[5] and not any(missing.values())


def _notes(parts: _Parts) -> tuple[str, ...]:
    """Returns notes on repaired damage and on what is not written again."""
    notes = []
    if parts.is_repaired:
        notes.append("a metadata block with a wrong length was repaired")
    if not parts.has_end:
        notes.append(containers.END_NOTE)
    after = parts.after.strip(b"\0\r\n ")
    contents = [part.content for part in parts.segments]
    has_index = any(content.startswith(b"MPF\0") for content in contents)
    has_pictures = derivatives.JPEG_START.search(after) is not None
    has_film = b"ftyp" in after
    if any(mark in text for mark in _GAIN_MAPS for text in (after, *contents)):
        notes.append(derivatives.GAIN_MAP_NOTE)
    if has_film:
        notes.append(derivatives.FILM_NOTE)
    if has_index or has_pictures:
        notes.append("only the first of several pictures was used")
    elif after and not has_film:
        notes.append(f"{len(parts.after)} bytes after the end of its picture were dropped")
    if any(content.startswith(b"JFXX\0") for content in contents) or _previews(parts.segments):
        notes.append(derivatives.THUMBNAIL_NOTE)
    return tuple(notes)


def _metadata(parts: list[Segment]) -> tuple[Metadata, int, tuple[str, ...]]:
    """Returns the metadata, the orientation of the pixels, and notes."""
    previews = _previews(parts)
    metadata = Metadata(parts=[p for p in parts if _is_carried(p) and p not in previews])
    profile: dict[int, bytes] = {}
    for marker, content in parts:
        if marker == 0xE1 and content.startswith(_EXIF[:5]) and not metadata.exif:
            metadata.exif = content[6:]
        elif marker == 0xE1 and content.startswith(_XMP) and not metadata.xmp:
            metadata.xmp = content[len(_XMP) :]
        elif marker == 0xE2 and content.startswith(_ICC) and len(content) > 14:
            profile.setdefault(content[12], content[14:])
        elif marker == 0xED and content.startswith(_IRB):
            metadata.photoshop += content[len(_IRB) :]
        elif marker == _COM and not metadata.comment:
            metadata.comment = content
        elif marker == 0xE0 and content.startswith(b"JFIF\0") and len(content) >= 12:
            unit, x, y = struct.unpack_from(">BHH", content, 7)
            scale = {1: 1.0, 2: 2.54}.get(unit, 0.0)
            metadata.dpi = (x * scale, y * scale) if x * y * scale else None
    metadata.icc = b"".join(profile[number] for number in sorted(profile))
    notes = (derivatives.THUMBNAIL_NOTE,) if _clean_extension(metadata) else ()
    return metadata, pillow.make_upright(metadata), notes


def _previews(parts: list[Segment]) -> list[Segment]:
    """Returns the segments that hold a JPEG of the photo, which cameras spread over several."""
    previews, begun = [], b""
    for part in parts:
        is_own = part.content.startswith((_EXIF[:5], _XMP, _EXTENSION, _ICC, _IRB))
        if not 0xE0 <= part.marker <= 0xEF or is_own:
            begun = b""
            continue
        if not begun:
            start = derivatives.JPEG_START.search(part.content)
            begun = part.content[start.start() :] if start else b""
        else:
            begun += part.content
        if begun:
            previews.append(part)
        if begun.rstrip(b"\0").endswith(b"\xff\xd9"):
            begun = b""
    return previews


def _clean_extension(metadata: Metadata) -> bool:
    """Removes thumbnails from the extension of XMP, whose name is its MD5 checksum.

    Returns:
        Whether there were any.
    """
    old = [p for p in metadata.parts if p.marker == 0xE1 and p.content.startswith(_EXTENSION)]
    head = len(_EXTENSION) + 40  # checksum, total length, offset
    pieces = {p.content[head - 4 : head]: p.content[head:] for p in old}
    packet = b"".join(pieces[offset] for offset in sorted(pieces))
    clean = derivatives.xmp_without_thumbnails(packet)
    if clean == packet:
        return False
    name = hashlib.md5(clean, usedforsecurity=False).hexdigest().upper().encode()
    metadata.xmp = metadata.xmp.replace(old[0].content[len(_EXTENSION) : head - 8], name)
    metadata.parts = [part for part in metadata.parts if part not in old]
    size = _MOST_BYTES - head
    for start in range(0, len(clean), size):
        position = struct.pack(">II", len(clean), start)
        content = _EXTENSION + name + position + clean[start : start + size]
        metadata.parts.append(Segment(0xE1, content))
    return True


def _is_carried(part: Segment) -> bool:
    """Returns whether a segment is copied: not those of the encoder or of further pictures."""
    marker, content = part
    if marker == _COM:
        return True
    owned = (b"JFIF\0", b"JFXX\0") if marker == 0xE0 else ()
    owned += (b"Adobe",) if marker == 0xEE else ()
    owned += (b"MPF\0", _ISO_GAIN_MAP) if marker == 0xE2 else ()
    return 0xE0 <= marker <= 0xEF and not content.startswith(owned or (b"\xff" * 9,))


def _tables(image: Any) -> tuple[list[int], list[int]]:
    """Returns the luma table and the finest chroma table, in Pillow's order."""
    tables = image.quantization
    layers = [tables[number] for *_, number in image.layer if number in tables]
    if not layers:
        raise UnreadablePhoto("a JPEG without quantization tables")
    chroma = np.min(layers[1:] or layers[:1], axis=0)
    return list(layers[0]), [int(value) for value in chroma]


def write(file: BinaryIO, photo: Photo, quality: int | None) -> tuple[str, ...]:
    """Encodes a photo; see `colorjax.photos.write`."""
    if max(photo.height, photo.width) > _MOST_PIXELS_A_SIDE:
        raise UnwritablePhoto(
            f"JPEG allows at most {_MOST_PIXELS_A_SIDE} pixels per side: write it as PNG or TIFF"
        )
    pixels, notes = pillow.eight_bits(photo, "JPEG", alpha=False)
    image = pillow.to_image(pixels, photo)
    carried, more = _output_segments(photo)
    options: dict[str, Any] = {"subsampling": "4:4:4"} if not photo.is_gray else {}
    if quality is not None:
        options["quality"] = quality
    else:
        options["qtables"] = output_tables(photo.encoding.get("tables"), photo.space.model)
    if photo.metadata.dpi:
        options["dpi"] = photo.metadata.dpi
    start = file.tell()
    image.save(
        file, "JPEG", extra=carried, progressive=photo.encoding.get("progressive"), **options
    )
    _copy_density(file, start, photo.encoding.get("density", b""))
    return notes + more


def output_tables(source: tuple[list[int], list[int]] | None, model: str) -> list[list[int]]:
    """Returns the quantization tables for luma and chroma to encode with.

    Luma is no coarser than in the source or with `_LUMA_QUALITY`. Chroma is as fine as possible,
    because chroma errors also affect the lightness.

    Args:
        source: luma and chroma tables of the source, if it was a JPEG.
        model: model of the pixels; each ink of CMYK is encoded as finely as luma.
    """
    luma = np.array(_standard_luma(), np.int64)
    if source:
        luma = np.minimum(luma, source[0])
    if source and model == "cmyk":
        luma = np.minimum(luma, source[1])
    luma = np.clip(luma, 1, 255).tolist()
    return [luma] if model == "cmyk" else [luma, [1] * 64]


# The mean error of L relative to gray JPEG files was 1.17 at 95 and 0.70 at 98: docs/photos.md.
_LUMA_QUALITY = 98


def _standard_luma() -> list[int]:
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "JPEG", quality=_LUMA_QUALITY)
    with Image.open(buffer) as image:
        return list(image.quantization[0])  # type: ignore[attr-defined]


def _output_segments(photo: Photo) -> tuple[bytes, tuple[str, ...]]:
    """Returns the encoded segments, and notes on metadata too large for a segment."""
    metadata, notes = photo.metadata, []
    own = metadata.parts if photo.kind == "JPEG" else []
    packet = _fitting(metadata.xmp)
    if packet != metadata.xmp and xmp.unmarked(packet) == packet:
        notes.append("its XMP has no space for the mark that the colors are predicted")
    made = []
    for name, marker, head, content in (
        ("EXIF", 0xE1, _EXIF, metadata.exif),
        ("XMP", 0xE1, _XMP, packet),
        ("comment", _COM, b"", b"" if photo.kind == "JPEG" else metadata.comment),
    ):
        if len(head) + len(content) > _MOST_BYTES:
            notes.append(f"its {name} is too large for a JPEG: dropped")
        elif content:
            made.append(Segment(marker, head + content))
    made += [Segment(0xE2, part) for part in _icc_parts(metadata.icc)]
    made += [Segment(0xED, part) for part in _irb_parts(metadata.photoshop)]
    rest = [part for part in own if not _is_rebuilt(part)]
    return _coded(made + rest), tuple(notes)


def _coded(parts: list[Segment]) -> bytes:
    return b"".join(
        struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content for marker, content in parts
    )


def _fitting(packet: bytes) -> bytes:
    """Makes XMP fit into a segment: removes its trailing padding, then if needed the mark."""
    if len(_XMP) + len(packet) <= _MOST_BYTES:
        return packet
    head, end, tail = packet.rpartition(b"<?xpacket end")
    tight = head.rstrip() + b"\n" + end + tail if end else packet
    return tight if len(_XMP) + len(tight) <= _MOST_BYTES else xmp.unmarked(packet)


def _is_rebuilt(part: Segment) -> bool:
    rebuilt = {0xE1: (_EXIF[:5], _XMP), 0xE2: (_ICC,), 0xED: (_IRB,)}
    return part.content.startswith(rebuilt.get(part.marker, (b"\xff" * 9,)))


def _icc_parts(profile: bytes) -> list[bytes]:
    size = _MOST_BYTES - 14
    pieces = [profile[start : start + size] for start in range(0, len(profile), size)]
    return [
        _ICC + bytes((number, len(pieces))) + piece for number, piece in enumerate(pieces[:255], 1)
    ]


def _irb_parts(blocks: bytes) -> list[bytes]:
    size = _MOST_BYTES - len(_IRB)
    return [_IRB + blocks[start : start + size] for start in range(0, len(blocks), size)]


def _copy_density(file: BinaryIO, start: int, density: bytes) -> None:
    """Copies the source's density unit and density, 5 bytes, into the written JFIF segment."""
    end = file.tell()
    file.seek(start + 6)
    if file.read(5) == b"JFIF\0" and len(density) == 5:
        file.seek(start + 13)
        file.write(density)
    file.seek(end)
