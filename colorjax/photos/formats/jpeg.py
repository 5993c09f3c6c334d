"""JPEG: copies marker segments unchanged; quantization is at least as fine as the source's."""

from __future__ import annotations

import io
import struct
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from colorjax.errors import UnreadablePhoto
from colorjax.photos import exif, xmp
from colorjax.photos.formats import pillow
from colorjax.photos.photo import Metadata, Photo, UnwritablePhoto

_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_ICC, _IRB = b"ICC_PROFILE\0", b"Photoshop 3.0\0"
_COM = 0xFE
_MOST_BYTES = 65533  # per segment, without its length field
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)
_MOST_PIXELS_A_SIDE = 65500  # libjpeg's


class Segment(NamedTuple):
    """The second byte of a marker, and its content without the length field."""

    marker: int
    content: bytes


def segments(data: bytes) -> list[Segment]:
    """Returns the segments before the first scan, or before any damage."""
    parts, offset = [], 2
    while offset + 4 <= len(data) and data[offset] == 0xFF:
        marker = data[offset + 1]
        if marker == 0xFF:  # a fill byte
            offset += 1
            continue
        if marker in (0x01, 0xD8) or 0xD0 <= marker <= 0xD7:  # without content
            offset += 2
            continue
        (length,) = struct.unpack_from(">H", data, offset + 2)
        if marker in (0xDA, 0xD9) or length < 2 or offset + 2 + length > len(data):
            break
        parts.append(Segment(marker, data[offset + 4 : offset + 2 + length]))
        offset += 2 + length
    return parts


def read(data: bytes, max_pixels: int) -> Photo:
    """Reads a JPEG; see `colorjax.photos.read`."""
    parts = segments(data)
    frame = next((part for part in parts if part.marker in _FRAMES), None)
    if frame is None or len(frame.content) < 6:
        raise UnreadablePhoto("a JPEG without a picture")
    if frame.content[0] != 8 or frame.marker in _LOSSLESS:
        raise UnreadablePhoto(
            f"{frame.content[0]}-bit or lossless JPEG: convert it to TIFF or PNG first"
        )
    image = pillow.open_image(data, "JPEG", max_pixels)
    metadata, turned = _metadata(parts)
    notes: tuple[str, ...] = ()
    if any(part.marker == 0xE2 and part.content[:4] == b"MPF\0" for part in parts):
        notes = ("only the first of several pictures was used",)
    density = next((p.content for p in parts if p.content[:5] == b"JFIF\0"), b"")[7:12]
    if turned in exif.SIDEWAYS:
        density = density[:1] + density[3:] + density[1:3]
    encoding = {
        "tables": _tables(image),
        "progressive": frame.marker in _PROGRESSIVE,
        "density": density,
    }
    photo = pillow.to_photo(image, "JPEG", metadata, turned)
    # Pillow also counts the previews of an MPO.
    further = (note for note in photo.notes if not note.startswith("only the first"))
    photo.encoding, photo.notes = encoding, (*notes, *further)
    return photo


def _metadata(parts: list[Segment]) -> tuple[Metadata, int]:
    metadata = Metadata(parts=[part for part in parts if _is_carried(part)])
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
    return metadata, pillow.make_upright(metadata)


def _is_carried(part: Segment) -> bool:
    """Returns whether a segment is copied: all but those of the encoder (JFIF, Adobe, MPF)."""
    marker, content = part
    if marker == _COM:
        return True
    owned = (b"JFIF\0", b"JFXX\0") if marker == 0xE0 else ()
    owned += (b"Adobe",) if marker == 0xEE else ()
    owned += (b"MPF\0",) if marker == 0xE2 else ()
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
    if photo.kind != "JPEG":
        made += [Segment(0xED, part) for part in _irb_parts(metadata.photoshop)]
    rest = [part for part in own if not _is_rebuilt(part)]
    return b"".join(
        struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content
        for marker, content in made + rest
    ), tuple(notes)


def _fitting(packet: bytes) -> bytes:
    """Makes XMP fit into a segment: removes its trailing padding, then if needed the mark."""
    if len(_XMP) + len(packet) <= _MOST_BYTES:
        return packet
    head, end, tail = packet.rpartition(b"<?xpacket end")
    tight = head.rstrip() + b"\n" + end + tail if end else packet
    return tight if len(_XMP) + len(tight) <= _MOST_BYTES else xmp.unmarked(packet)


def _is_rebuilt(part: Segment) -> bool:
    return part.content.startswith((_EXIF[:5], _XMP)) or (
        part.marker == 0xE2 and part.content.startswith(_ICC)
    )


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
