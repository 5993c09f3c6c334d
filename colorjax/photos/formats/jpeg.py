"""JPEG: copies marker segments unchanged; quantization is at least as fine as the source's."""

from __future__ import annotations

import hashlib
import io
import struct
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from colorjax.errors import UnreadablePhoto
from colorjax.photos import derivatives, exif, xmp
from colorjax.photos.formats import containers, pillow
from colorjax.photos.formats.jpeg_parts import (
    COMMENT,
    FRAMES,
    Parts,
    Segment,
    check_whole,
    coded,
    picture,
    split,
)
from colorjax.photos.photo import Metadata, Photo, UnwritablePhoto

_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_ICC, _IRB = b"ICC_PROFILE\0", b"Photoshop 3.0\0"
_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_ISO_GAIN_MAP = b"urn:iso:std:iso:ts:21496:-1"
_GAIN_MAPS = (_ISO_GAIN_MAP, b"http://ns.adobe.com/hdr-gain-map/", b"HDRGainMap")
_MOST_BYTES = 65533  # per segment, without its length field
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)
_MOST_PIXELS_A_SIDE = 65500  # libjpeg's


def read(data: bytes, max_pixels: int) -> Photo:
    """Reads a JPEG; see `colorjax.photos.read`."""
    parts = split(data)
    frame = next((part for part in parts.segments if part.marker in FRAMES), None)
    if frame is None or len(frame.content) < 6:
        raise UnreadablePhoto("a JPEG without a picture")
    if frame.content[0] != 8 or frame.marker in _LOSSLESS:
        raise UnreadablePhoto(
            f"{frame.content[0]}-bit or lossless JPEG: convert it to TIFF or PNG first"
        )
    if not parts.scans:
        raise containers.cut_off(0, 1)
    image = pillow.open_image(picture(parts), "JPEG", max_pixels)
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
    check_whole(parts, image, is_progressive=frame.marker in _PROGRESSIVE)
    photo.encoding, photo.notes = encoding, (*_notes(parts), *notes, *photo.notes)
    return photo


def _notes(parts: Parts) -> tuple[str, ...]:
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
    metadata = Metadata(parts=[p for p in parts if _is_carried(p) and id(p) not in previews])
    profile: dict[int, bytes] = {}
    blocks = []
    for marker, content in parts:
        if marker == 0xE1 and content.startswith(_EXIF[:5]) and not metadata.exif:
            metadata.exif = content[6:]
        elif marker == 0xE1 and content.startswith(_XMP) and not metadata.xmp:
            metadata.xmp = content[len(_XMP) :]
        elif marker == 0xE2 and content.startswith(_ICC) and len(content) > 14:
            profile.setdefault(content[12], content[14:])
        elif marker == 0xED and content.startswith(_IRB):
            blocks.append(content[len(_IRB) :])
        elif marker == COMMENT and not metadata.comment:
            metadata.comment = content
        elif marker == 0xE0 and content.startswith(b"JFIF\0") and len(content) >= 12:
            unit, x, y = struct.unpack_from(">BHH", content, 7)
            scale = {1: 1.0, 2: 2.54}.get(unit, 0.0)
            metadata.dpi = (x * scale, y * scale) if x * y * scale else None
    metadata.photoshop = b"".join(blocks)
    metadata.icc = b"".join(profile[number] for number in sorted(profile))
    notes = (derivatives.THUMBNAIL_NOTE,) if _clean_extension(metadata) else ()
    return metadata, pillow.make_upright(metadata), notes


def _previews(parts: list[Segment]) -> set[int]:
    """Returns the ids of segments with a JPEG of the photo, which cameras spread over several."""
    previews, begun = set[int](), b""  # the last bytes of a JPEG that has begun, without zeros
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
            previews.add(id(part))
        begun = begun.rstrip(b"\0")[-2:]
        if begun == b"\xff\xd9":
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
    replaced = {id(part) for part in old}
    metadata.parts = [part for part in metadata.parts if id(part) not in replaced]
    size = _MOST_BYTES - head
    for start in range(0, len(clean), size):
        position = struct.pack(">II", len(clean), start)
        content = _EXTENSION + name + position + clean[start : start + size]
        metadata.parts.append(Segment(0xE1, content))
    return True


def _is_carried(part: Segment) -> bool:
    """Returns whether a segment is copied: not those of the encoder or of further pictures."""
    marker, content = part
    if marker == COMMENT:
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
    progressive = bool(photo.encoding.get("progressive"))
    try:
        image.save(file, "JPEG", extra=carried, progressive=progressive, **options)
    except OSError:
        if not progressive:
            raise
        file.seek(start)  # Pillow's buffer for progressive files is too small for much detail
        file.truncate()
        image.save(file, "JPEG", extra=carried, **options)
        notes += ("it is too detailed for a progressive JPEG: written as a sequential one",)
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
        ("comment", COMMENT, b"", b"" if photo.kind == "JPEG" else metadata.comment),
    ):
        if len(head) + len(content) > _MOST_BYTES:
            notes.append(f"its {name} is too large for a JPEG: dropped")
        elif content:
            made.append(Segment(marker, head + content))
    made += [Segment(0xE2, part) for part in _icc_parts(metadata.icc)]
    made += [Segment(0xED, part) for part in _irb_parts(metadata.photoshop)]
    rest = [part for part in own if not _is_rebuilt(part)]
    return coded(made + rest), tuple(notes)


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
