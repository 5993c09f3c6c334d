"""PNG: 8 and 16 bits per channel; chunks are copied unchanged."""

from __future__ import annotations

import binascii
import re
import struct
import zlib
from typing import BinaryIO, NamedTuple

import imagecodecs
import numpy as np

from colorjax.errors import UnreadablePhoto
from colorjax.photos import color_space, exif
from colorjax.photos.formats import pillow
from colorjax.photos.photo import Metadata, Photo

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP = b"XML:com.adobe.xmp\0"
_MOST_BYTES = 2**26  # of a decompressed chunk
# Chunks of the stored pixels, of an animation, or of the private data of a program.
_DROPPED = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"hIST", b"acTL", b"fcTL", b"fdAT"}
_DROPPED |= {b"iDOT", b"CgBI", b"dSIG"}
_REBUILT = {b"iCCP", b"eXIf"}
# Unknown chunks with an uppercase last letter must not be copied when the pixels change.
_KNOWN = {b"bKGD", b"cHRM", b"cICP", b"cLLI", b"gAMA", b"iCCP", b"mDCV", b"pCAL", b"sBIT"}
_KNOWN |= {b"sCAL", b"sPLT", b"sRGB", b"sTER", b"tIME"}
_OF_SPACE = {b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI"}
_PALETTE = 3


class Chunk(NamedTuple):
    """Name and content of a chunk."""

    name: bytes
    content: bytes


def chunks(data: bytes) -> list[Chunk]:
    """Returns the chunks up to IEND, or before any damage."""
    result, offset = [], len(SIGNATURE)
    while offset + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, offset)
        if offset + 12 + length > len(data):
            break
        content = b"" if name in (b"IDAT", b"fdAT") else data[offset + 8 : offset + 8 + length]
        result.append(Chunk(name, content))
        offset += 12 + length
        if name == b"IEND":
            break
    return result


def read(data: bytes, max_pixels: int) -> Photo:
    """Reads a PNG; see `colorjax.photos.read`."""
    parts = chunks(data)
    if not parts or parts[0].name != b"IHDR" or len(parts[0].content) < 13:
        raise UnreadablePhoto("a PNG without a header")
    if parts[-1].name != b"IEND":
        raise UnreadablePhoto("a truncated PNG")
    width, height, depth, kind = struct.unpack_from(">IIBB", parts[0].content)
    pillow.check_size(width, height, max_pixels)
    metadata, turned = _metadata(parts)
    notes: tuple[str, ...] = ()
    if any(part.name == b"acTL" for part in parts):
        notes = ("only the first picture of an animation was used",)
    if depth == 16:
        photo = _read_deep(data, kind, metadata, turned)
    else:
        image = pillow.open_image(data, "PNG", max_pixels)
        metadata.parts = _for_rgb(metadata.parts, kind)
        photo = pillow.to_photo(image, "PNG", metadata, turned)
    # Pillow also counts the frames of an animation.
    photo.notes = (*notes, *(note for note in photo.notes if not note.startswith("only the first")))
    if photo.space.model == "gray":  # replaced by sRGB
        photo.metadata.parts = [p for p in photo.metadata.parts if p.name not in _OF_SPACE]
    return photo


def _read_deep(data: bytes, kind: int, metadata: Metadata, turned: int) -> Photo:
    stored = imagecodecs.png_decode(_without_metadata(data))  # tRNS becomes alpha
    stored = stored.reshape(*stored.shape[:2], -1)
    model = "gray" if stored.shape[2] <= 2 else "rgb"
    colors, metadata.icc, notes = color_space.choose(metadata.icc, model, np.uint16, 65535)
    assert colors is not None  # it is not CMYK
    metadata.parts = _for_rgb(metadata.parts, kind)
    pixels = gray_as_rgb(stored, turned)
    return Photo(pixels, colors, kind="PNG", metadata=metadata, notes=notes)


def _without_metadata(data: bytes) -> bytes:
    """Returns the file with image chunks only; libpng prints warnings about others."""
    kept, offset = [SIGNATURE], len(SIGNATURE)
    while offset + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, offset)
        if name in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            kept.append(data[offset : offset + 12 + length])
        offset += 12 + length
    return b"".join(kept)


def gray_as_rgb(stored: np.ndarray, turned: int) -> np.ndarray:
    """Returns stored (H, W, 1 to 4) pixels upright, with gray as three equal channels."""
    if stored.shape[2] > 2:
        return pillow.turn(stored, turned)
    shape = (*stored.shape[:2], stored.shape[2] + 2)
    pixels, view = pillow.upright_buffer(shape, stored.dtype, turned)
    view[..., :3] = stored[..., :1]
    view[..., 3:] = stored[..., 1:]
    return pixels


def _metadata(parts: list[Chunk]) -> tuple[Metadata, int]:
    metadata = Metadata(parts=[part for part in parts if _is_carried(part.name)])
    for part in parts:
        name, content = part
        if name == b"eXIf" and not metadata.exif:
            metadata.exif = exif.without_prefix(content)
        elif name == b"iCCP" and not metadata.icc:
            metadata.icc = _inflated(content.partition(b"\0")[2][1:])
        elif name == b"iTXt" and content.startswith(_XMP) and not metadata.xmp:
            metadata.xmp = _text(content)
        elif name == b"pHYs" and len(content) == 9:
            x, y, unit = struct.unpack(">IIB", content)
            metadata.dpi = (x * 0.0254, y * 0.0254) if unit == 1 and x and y else None
    if not metadata.exif:
        _take_raw_exif(metadata)
    turned = pillow.make_upright(metadata)
    if turned in exif.SIDEWAYS:
        metadata.parts = [_swapped(part) for part in metadata.parts]
    return metadata, turned


def _is_carried(name: bytes) -> bool:
    """Returns whether a chunk is copied; critical or non-alphabetic names are treated as damage."""
    if not (name.isalpha() and name[:1].islower()):
        return False
    return name not in _DROPPED and (name in _KNOWN or name[3:].islower() or name == b"eXIf")


def _swapped(part: Chunk) -> Chunk:
    if part.name != b"pHYs" or len(part.content) != 9:
        return part
    return Chunk(part.name, part.content[4:8] + part.content[:4] + part.content[8:])


def _take_raw_exif(metadata: Metadata) -> None:
    """Moves EXIF from ImageMagick's text chunk with hexadecimal digits to `metadata.exif`."""
    for part in metadata.parts:
        key, _, rest = part.content.partition(b"\0")
        if part.name not in (b"tEXt", b"zTXt") or key not in (
            b"Raw profile type exif",
            b"Raw profile type APP1",
        ):
            continue
        text = rest if part.name == b"tEXt" else _inflated(rest[1:])
        digits = re.sub(rb"\s", b"", b"".join(text.split(b"\n")[3:]))
        try:
            blob = exif.without_prefix(binascii.unhexlify(digits))
        except binascii.Error:
            continue
        if blob[:2] in (b"II", b"MM"):
            metadata.exif = blob
            metadata.parts.remove(part)
            return


def _inflated(content: bytes) -> bytes:
    """Returns the decompressed content of a chunk; b"" if damaged or a decompression bomb."""
    try:
        inflater = zlib.decompressobj()
        text = inflater.decompress(content, _MOST_BYTES)
    except zlib.error:
        return b""
    return b"" if inflater.unconsumed_tail else text


def _text(content: bytes) -> bytes:
    """Returns the text of an iTXt chunk: keyword, compression, language, translation, text."""
    rest = content.partition(b"\0")[2]
    text = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    return _inflated(text) if rest[:1] == b"\1" else text


def _for_rgb(parts: list[Chunk], kind: int) -> list[Chunk]:
    """Expands per-channel chunks of a gray PNG to RGB; drops those of a palette."""
    kept = []
    for part in parts:
        if part.name in (b"sBIT", b"bKGD") and kind != 2 and kind != 6:
            size = 2 if part.name == b"bKGD" else 1
            if kind == _PALETTE:
                continue
            part = Chunk(part.name, part.content[:size] * 3 + part.content[size:])
        kept.append(part)
    return kept


def write(file: BinaryIO, photo: Photo, quality: int | None) -> tuple[str, ...]:
    """Encodes a photo losslessly; `quality` is ignored. See `colorjax.photos.write`."""
    pillow.rgb_only(photo, "PNG")
    pixels, notes = pillow.output_pixels(photo), ()
    if pixels.dtype == np.uint16 and photo.space.full == 65535:
        pass
    elif pixels.dtype == np.uint8:
        pixels = pillow.stretched(pixels, photo, 255)
    else:
        unit = np.clip(pixels.astype(np.float64) / photo.space.full, 0, 1)
        pixels = np.rint(unit * 65535).astype(np.uint16)
        notes = ("its values became 16 bits per channel in PNG",)
    if pixels.shape[2] > (2 if photo.is_gray else 4):
        pixels = pixels[..., : 2 if photo.is_gray else 4]
        notes += ("PNG can store one alpha channel: the others were dropped",)
    if pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    encoded = memoryview(imagecodecs.png_encode(np.ascontiguousarray(pixels)))
    before, after = _output_chunks(photo)
    file.write(encoded[:33])  # the signature and IHDR
    file.writelines(_coded(chunk) for chunk in before)
    file.write(encoded[33:-12])
    file.writelines(_coded(chunk) for chunk in after)
    file.write(encoded[-12:])
    return notes


def _coded(chunk: Chunk) -> bytes:
    body = chunk.name + chunk.content
    return struct.pack(">I", len(chunk.content)) + body + struct.pack(">I", zlib.crc32(body))


def _output_chunks(photo: Photo) -> tuple[list[Chunk], list[Chunk]]:
    """Returns the chunks before and after the pixels; all allowed before the pixels are there."""
    metadata = photo.metadata
    made = []
    if metadata.icc:
        made.append(Chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc)))
    if metadata.exif:
        made.append(Chunk(b"eXIf", metadata.exif))
    if metadata.xmp:
        made.append(Chunk(b"iTXt", _XMP + bytes(4) + metadata.xmp))
    if photo.kind != "PNG":
        if metadata.dpi:
            x, y = (round(value / 0.0254) for value in metadata.dpi)
            made.append(Chunk(b"pHYs", struct.pack(">IIB", x, y, 1)))
        if metadata.comment:
            made.append(Chunk(b"tEXt", b"Comment\0" + metadata.comment.replace(b"\0", b" ")))
        if metadata.photoshop:
            made.append(Chunk(b"zTXt", _raw_profile(b"8bim", metadata.photoshop)))
        return made, []
    own = [part for part in metadata.parts if part.name not in _REBUILT]
    own = [part for part in own if not part.content.startswith(_XMP)]
    if photo.is_gray:
        own = [part for part in own if part.name not in (b"sBIT", b"bKGD")]
    return made + own, []


def _raw_profile(name: bytes, content: bytes) -> bytes:
    """Returns a text chunk with hexadecimal digits, as ImageMagick and exiftool write IPTC."""
    digits = binascii.hexlify(content)
    lines = [digits[start : start + 72] for start in range(0, len(digits), 72)]
    text = b"\n%s\n%8d\n%s\n" % (name, len(content), b"\n".join(lines))
    return b"Raw profile type " + name + b"\0\0" + zlib.compress(text)
