"""PNG: 8 and 16 bits per channel; chunks are copied unchanged."""

from __future__ import annotations

import binascii
import re
import struct
import zlib
from typing import BinaryIO

import imagecodecs
import numpy as np

from colorjax.photos import color_code, color_space, derivatives, exif
from colorjax.photos.formats import pillow, png_chunks
from colorjax.photos.formats.png_chunks import Chunk
from colorjax.photos.photo import Metadata, Photo

_XMP = b"XML:com.adobe.xmp\0"
_MOST_BYTES = 2**26  # of a decompressed chunk
# Chunks of the stored pixels, of an animation, or of the private data of a program.
_DROPPED = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"hIST", b"acTL", b"fcTL", b"fdAT"}
_DROPPED |= {b"iDOT", b"CgBI", b"dSIG"}
# Unknown chunks with an uppercase last letter must not be copied when the pixels change.
_KNOWN = {b"bKGD", b"cHRM", b"cICP", b"cLLI", b"gAMA", b"iCCP", b"mDCV", b"pCAL", b"sBIT"}
_KNOWN |= {b"sCAL", b"sPLT", b"sRGB", b"sTER", b"tIME"}
_OF_SPACE = {b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI"}
_PALETTE = 3
_RAW_PROFILE = b"Raw profile type "


def read(data: bytes, max_pixels: int) -> Photo:
    """Reads a PNG; see `colorjax.photos.read`."""
    parts = png_chunks.split(data)
    header = parts.header
    pillow.check_size(header.width, header.height, max_pixels)
    picture, notes = png_chunks.picture(parts)
    notes = parts.notes + notes
    metadata, turned, more = _metadata(parts.chunks)
    notes += more
    if any(part.name == b"acTL" for part in parts.chunks):
        notes += ("only the first picture of an animation was used",)
    metadata.icc, is_of_chunks, more = _profile(parts.chunks, metadata.icc)
    metadata.parts = _for_rgb(metadata.parts, header.color_type)
    try:
        if header.depth == 16:
            photo = _read_deep(picture, metadata, turned)
        else:
            image = pillow.open_image(picture, "PNG", max_pixels)
            photo = pillow.to_photo(image, "PNG", metadata, turned)
    except Exception:  # of Pillow or libpng
        png_chunks.whole_pixels(parts)  # says where the damage is
        raise
    photo.notes = (*notes, *more, *photo.notes)
    photo.encoding = {"space_is_in_chunks": is_of_chunks}
    if photo.space.model == "gray":  # replaced by sRGB
        photo.metadata.parts = [p for p in photo.metadata.parts if p.name not in _OF_SPACE]
    return photo


def _read_deep(picture: bytes, metadata: Metadata, turned: int) -> Photo:
    stored = imagecodecs.png_decode(picture)  # tRNS becomes alpha
    stored = stored.reshape(*stored.shape[:2], -1)
    model = "gray" if stored.shape[2] <= 2 else "rgb"
    colors, metadata.icc, notes = color_space.choose(metadata.icc, model, np.uint16, 65535)
    assert colors is not None  # it is not CMYK
    pixels = gray_as_rgb(stored, turned)
    return Photo(pixels, colors, kind="PNG", metadata=metadata, notes=notes)


def _profile(parts: list[Chunk], icc: bytes) -> tuple[bytes, bool, tuple[str, ...]]:
    """Returns the profile that counts, whether it is that of other chunks than iCCP, and notes.

    cICP counts before iCCP, iCCP before sRGB, sRGB before gAMA and cHRM (PNG, third edition).
    """
    chunks = {part.name: part.content for part in reversed(parts)}
    notes: tuple[str, ...] = ()
    if b"cICP" in chunks:
        primaries, transfer, matrix, is_full = chunks[b"cICP"]
        if color_code.is_known(primaries, transfer) and matrix == 0:
            if color_code.is_hdr(transfer):
                notes = ("its HDR brightness was compressed for the network; the result is HDR",)
            profile = color_code.of_code(primaries, transfer, is_full_range=bool(is_full))
            return profile, True, notes
        notes = ("its color code (cICP) is unknown: not used",)
    kind = {b"RGB ": "rgb", b"GRAY": "gray"}.get(icc[16:20], "")
    if color_space.usable(icc, kind) or b"sRGB" in chunks:
        return icc, False, notes
    gamma = struct.unpack(">I", chunks[b"gAMA"])[0] / 1e5 if b"gAMA" in chunks else None
    points = struct.unpack(">8I", chunks[b"cHRM"]) if b"cHRM" in chunks else ()
    is_sensible = (gamma is None or 0.1 < gamma < 10) and (not points or min(points[1::2]) > 0)
    if not is_sensible:
        return icc, False, (*notes, "its gamma or chromaticities are damaged: not used")
    profile = color_code.of_png(gamma, tuple(value / 1e5 for value in points) or None)
    if profile and not color_space.usable(profile, "rgb"):
        return icc, False, (*notes, "its gamma or chromaticities are damaged: not used")
    if profile and icc:
        notes += ("its color profile is damaged: dropped, colors read by gamma and chromaticities",)
    return profile or icc, bool(profile), notes


def gray_as_rgb(stored: np.ndarray, turned: int) -> np.ndarray:
    """Returns stored (H, W, 1 to 4) pixels upright, with gray as three equal channels."""
    if stored.shape[2] > 2:
        return pillow.turn(stored, turned)
    shape = (*stored.shape[:2], stored.shape[2] + 2)
    pixels, view = pillow.upright_buffer(shape, stored.dtype, turned)
    view[..., :3] = stored[..., :1]
    view[..., 3:] = stored[..., 1:]
    return pixels


def _metadata(parts: list[Chunk]) -> tuple[Metadata, int, tuple[str, ...]]:
    """Returns the metadata, the orientation of the pixels, and notes."""
    notes: tuple[str, ...] = ()
    metadata = Metadata(parts=[part for part in parts if _is_carried(part.name)])
    for part in parts:
        name, content = part
        if name == b"eXIf" and not metadata.exif:
            metadata.exif = exif.without_prefix(content)
        elif name == b"iCCP" and not metadata.icc:
            profile = png_chunks.inflated(content.partition(b"\0")[2][1:], _MOST_BYTES)
            notes = ("its color profile is damaged: dropped",) if profile is None else ()
            metadata.icc = profile or b""
        elif name == b"iTXt" and content.startswith(_XMP) and not metadata.xmp:
            text = png_chunks.itxt_text(content)
            is_compressed = content[len(_XMP) : len(_XMP) + 1] == b"\1"
            metadata.xmp = (
                (png_chunks.inflated(text, _MOST_BYTES) or b"") if is_compressed else text
            )
        elif name == b"pHYs" and len(content) == 9:
            x, y, unit = struct.unpack(">IIB", content)
            metadata.dpi = (x * 0.0254, y * 0.0254) if unit == 1 and x and y else None
    if _take_raw_profiles(metadata):
        notes += (derivatives.THUMBNAIL_NOTE,)
    turned = pillow.make_upright(metadata)
    if turned in exif.SIDEWAYS:
        metadata.parts = [_swapped(part) for part in metadata.parts]
    return metadata, turned, notes


def _is_carried(name: bytes) -> bool:
    """Returns whether a chunk is copied; critical or non-alphabetic names are treated as damage."""
    if not (name.isalpha() and name[:1].islower()):
        return False
    return name not in _DROPPED and (name in _KNOWN or name[3:].islower() or name == b"eXIf")


def _swapped(part: Chunk) -> Chunk:
    if part.name != b"pHYs" or len(part.content) != 9:
        return part
    return Chunk(part.name, part.content[4:8] + part.content[:4] + part.content[8:])


def _take_raw_profiles(metadata: Metadata) -> bool:
    """Moves EXIF and XMP of ImageMagick's text chunks to the metadata; cleans Photoshop's.

    Returns:
        Whether thumbnails in Photoshop's blocks were removed.
    """
    has_exif, has_xmp, cleaned = bool(metadata.exif), bool(metadata.xmp), False
    for part in list(metadata.parts):
        key, content = _raw_profile_of(part)
        if key in (b"exif", b"APP1") and not has_exif:
            blob = exif.without_prefix(content)
            if blob[:2] in (b"II", b"MM"):
                metadata.exif = blob
                metadata.parts.remove(part)
                has_exif = True
        elif key == b"xmp" and content and not has_xmp:
            metadata.xmp = content
            metadata.parts.remove(part)
            has_xmp = True
        elif key in (b"8bim", b"iptc"):
            clean = derivatives.resources_without_thumbnails(content)
            if clean != content:
                chunk = Chunk(b"zTXt", _raw_profile(key, clean))
                metadata.parts[metadata.parts.index(part)] = chunk
                cleaned = True
    return cleaned


def _raw_profile_of(part: Chunk) -> tuple[bytes, bytes]:
    """Returns the name and content of a profile in a text chunk with hexadecimal digits."""
    key, _, rest = part.content.partition(b"\0")
    if part.name not in (b"tEXt", b"zTXt") or not key.startswith(_RAW_PROFILE):
        return b"", b""
    text = rest if part.name == b"tEXt" else png_chunks.inflated(rest[1:], _MOST_BYTES) or b""
    digits = re.sub(rb"\s", b"", b"".join(text.split(b"\n")[3:]))
    try:
        return key.removeprefix(_RAW_PROFILE), binascii.unhexlify(digits)
    except binascii.Error:
        return b"", b""


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
    file.writelines(png_chunks.coded(chunk) for chunk in before)
    file.write(encoded[33:-12])
    file.writelines(png_chunks.coded(chunk) for chunk in after)
    file.write(encoded[-12:])
    return notes


def _output_chunks(photo: Photo) -> tuple[list[Chunk], list[Chunk]]:
    """Returns the chunks before and after the pixels; all allowed before the pixels are there."""
    metadata = photo.metadata
    made = []
    is_own_space = photo.encoding.get("space_is_in_chunks", False) and not photo.is_gray
    if metadata.icc and not is_own_space:
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
    rebuilt = (b"eXIf",) if is_own_space else (b"eXIf", b"iCCP")
    own = [part for part in metadata.parts if part.name not in rebuilt]
    own = [part for part in own if not part.content.startswith(_XMP)]
    if photo.is_gray:
        own = [part for part in own if part.name not in (b"sBIT", b"bKGD")]
        if photo.space.profile is not None:  # gray is coded as sRGB
            own = [part for part in own if part.name not in _OF_SPACE]
    return made + own, []


def _raw_profile(name: bytes, content: bytes) -> bytes:
    """Returns a text chunk with hexadecimal digits, as ImageMagick and exiftool write IPTC."""
    digits = binascii.hexlify(content)
    lines = [digits[start : start + 72] for start in range(0, len(digits), 72)]
    text = b"\n%s\n%8d\n%s\n" % (name, len(content), b"\n".join(lines))
    return _RAW_PROFILE + name + b"\0\0" + zlib.compress(text)
