"""JPEG 2000: up to 16 bits per channel; metadata boxes are copied unchanged."""

from __future__ import annotations

import contextlib
import struct
from typing import Any, BinaryIO, NamedTuple

import imagecodecs
import numpy as np

from colorjax.errors import UnreadablePhoto
from colorjax.photos import color_space, exif
from colorjax.photos.formats import pillow, tiff_pixels
from colorjax.photos.formats.containers import cut_off
from colorjax.photos.formats.png import gray_as_rgb
from colorjax.photos.photo import Metadata, Photo

_START = b"\xffO\xffQ"
SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
_EXIF = b"JpgTiffExif->JP2"
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_CARRIED = (b"uuid", b"xml ", b"uinf")
_CDEF_ALPHA = 1
_LEAST_TILE = 1024  # pixels; a decoder needs some 10 kB for each tile
_SOT, _SOD, _COD, _COC = 0xFF90, 0xFF93, 0xFF52, 0xFF53
_LEAST_PRECINCT = 5  # log2 of its sides
_CMYK = 12  # enumerated color space


class Box(NamedTuple):
    """Name and content of a box."""

    name: bytes
    content: bytes


def boxes(data: bytes | bytearray, offset: int = 0) -> list[Box]:
    """Returns the boxes of a file or of a box, up to any damage."""
    result = []
    while offset + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, offset)
        head = 8
        if size == 1 and offset + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, offset + 8)
            head = 16
        size = len(data) - offset if size == 0 else size
        if size < head or offset + size > len(data):
            break
        content = b"" if name == b"jp2c" else data[offset + head : offset + size]
        result.append(Box(name, bytes(content)))
        offset += size
    return result


def codestream(data: bytes) -> tuple[int, bool]:
    """Returns the offset of the codestream that a decoder reads, and whether the boxes lead to it.

    If they do not, a codestream is searched; then only that part may be given to a decoder.
    """
    if data[:4] == _START:
        return 0, True
    offset = 0
    while offset + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, offset)
        head = 8
        if size == 1 and offset + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, offset + 8)
            head = 16
        if name == b"jp2c" and data[offset + head : offset + head + 4] == _START:
            return offset + head, True
        if name == b"jp2c" or size < head:
            break
        offset += size
    return data.find(_START), False


def codestream_size(data: bytes) -> tuple[int, int, list[int], int]:
    """Returns width, height, bits of each component and number of tiles of the codestream.

    Raises:
        UnreadablePhoto: no codestream, or components of different sizes.
    """
    offset, _ = codestream(data)
    if offset < 0 or offset + 42 > len(data):
        raise UnreadablePhoto("a JPEG 2000 without a picture")
    x1, y1, x0, y0, tile_x, tile_y, _, _ = struct.unpack_from(">8I", data, offset + 8)
    (count,) = struct.unpack_from(">H", data, offset + 40)
    parts = [tuple(data[offset + 42 + 3 * i : offset + 45 + 3 * i]) for i in range(min(count, 65))]
    if not parts or any(part[1:] != (1, 1) for part in parts) or not tile_x or not tile_y:
        raise UnreadablePhoto("a JPEG 2000 with channels of different sizes")
    width, height = x1 - x0, y1 - y0
    tiles = -(-max(width, 0) // tile_x) * -(-max(height, 0) // tile_y)
    if any(part[0] & 0x80 for part in parts):
        raise UnreadablePhoto("a JPEG 2000 with signed values is not a photo")
    return width, height, [part[0] + 1 for part in parts], tiles


def check_precincts(data: bytes) -> None:
    """Rejects precincts of a few pixels, each of which takes a decoder hundreds of bytes.

    Raises:
        UnreadablePhoto: there are some.
    """
    start, _ = codestream(data)
    at = start + 2
    tile_part = 0
    while 0 < at <= len(data) - 12:
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == _SOT:
            tile_part = at + struct.unpack_from(">I", data, at + 6)[0]
        if marker == _SOD:  # pixels, up to the end of the tile-part
            if tile_part <= at:
                return
            at = tile_part
            continue
        content = data[at + 4 : at + 2 + length]
        if marker in (_COD, _COC) and len(content) >= 7:
            style, start = (content[0], 10) if marker == _COD else (content[1], 7)
            sizes = content[start:] if style & 1 else b""
            if any(min(size & 15, size >> 4) < _LEAST_PRECINCT for size in sizes):
                raise UnreadablePhoto("a JPEG 2000 of tiny precincts cannot be read")
        at += 2 + max(length, 2)


def read(data: bytes, max_pixels: int) -> Photo:
    """Reads a JPEG 2000; see `colorjax.photos.read`."""
    width, height, bits, tiles = codestream_size(data)
    pillow.check_size(width, height, max_pixels, len(bits))
    if len(bits) > 4:
        raise UnreadablePhoto(f"a JPEG 2000 with {len(bits)} channels is not a photo")
    most = min(65535, 64 + width * height // _LEAST_TILE)
    if tiles > most or max(bits) > 16 or min(bits) != max(bits):
        raise UnreadablePhoto(f"a JPEG 2000 with {max(bits)} bits in {tiles} tiles cannot be read")
    check_precincts(data)
    metadata, header = _metadata(data)
    if b"pclr" in header:
        if not codestream(data)[1]:  # a decoder could find another codestream
            raise UnreadablePhoto("the boxes of the file are damaged")
        image = pillow.open_image(data, "JPEG2000", max_pixels)
        return pillow.to_photo(image, "JPEG2000", metadata, pillow.make_upright(metadata))
    stored, notes = _decoded(data)
    stored = stored.reshape(*stored.shape[:2], -1)
    if stored.shape[:2] != (height, width) or stored.dtype not in (np.uint8, np.uint16):
        raise UnreadablePhoto("a JPEG 2000 whose header and picture differ")
    turned = pillow.make_upright(metadata)
    full = float(2 ** bits[0] - 1)
    if stored.shape[2] == 4 and _is_cmyk(header):
        stored, more = _rgb_of_cmyk(stored, full, metadata.icc)
        metadata.icc, notes = b"", notes + more
    if data[:12] == SIGNATURE and sum(box.name == b"jp2c" for box in boxes(data)) > 1:
        notes += ("only the first of several pictures was used",)
    model = "gray" if stored.shape[2] <= 2 else "rgb"
    colors, metadata.icc, more = color_space.choose(metadata.icc, model, stored.dtype, full)
    assert colors is not None  # it is not CMYK
    pixels = gray_as_rgb(stored, turned)
    return Photo(pixels, colors, kind="JPEG2000", metadata=metadata, notes=notes + more)


def _is_cmyk(header: dict[bytes, bytes]) -> bool:
    color = header.get(b"colr", b"")
    if color[:1] == b"\2":
        return color[3 + 16 : 3 + 20] == b"CMYK"
    return color[:1] == b"\1" and color[3:7] == struct.pack(">I", _CMYK)


def _rgb_of_cmyk(
    inks: np.ndarray, full: float, profile: bytes
) -> tuple[np.ndarray, tuple[str, ...]]:
    space, _, notes = color_space.choose(profile, "cmyk", inks.dtype, full)
    if space is None:
        return tiff_pixels.rgb_of_cmyk(inks, full), (*notes, pillow.CMYK_NOTE)
    rgb = color_space.Space(inks.dtype, full).coded(space.to_srgb(inks))
    return rgb, ("its CMYK became RGB",)


def _decoded(data: bytes) -> tuple[np.ndarray, tuple[str, ...]]:
    """Decodes a file; if that fails, its codestream without the boxes around it."""
    start, is_led_to = codestream(data)
    if is_led_to:
        with contextlib.suppress(imagecodecs.Jpeg2kError):
            return imagecodecs.jpeg2k_decode(data), ()
    stored = imagecodecs.jpeg2k_decode(_whole(data, start))
    return stored, ("a part of its metadata or its end marker is damaged: all pixels are there",)


def _whole(data: bytes, start: int) -> bytes:
    """Returns the codestream at an offset with an end marker.

    Raises:
        UnreadablePhoto: one of its tiles is cut off.
    """
    first = offset = data.find(b"\xff\x90", start)
    while offset >= 0 and offset + 10 <= len(data) and data[offset : offset + 2] == b"\xff\x90":
        (size,) = struct.unpack_from(">I", data, offset + 6)
        if size < 14:
            raise UnreadablePhoto("the pixels of the file are damaged")
        offset += size
    if first < 0 or offset > len(data):
        raise cut_off(len(data) - first if first > 0 else 0, max(1, offset - first), "pixel data")
    return data[start:offset] + b"\xff\xd9"


def _metadata(data: bytes) -> tuple[Metadata, dict[bytes, bytes]]:
    metadata, header = Metadata(), dict[bytes, bytes]()
    if data[:12] != SIGNATURE:
        return metadata, header
    for box in boxes(data):
        if box.name == b"jp2h":
            header = {inner.name: inner.content for inner in reversed(boxes(box.content))}
        elif box.name == b"uuid" and box.content.startswith(_EXIF):
            metadata.exif = exif.without_prefix(box.content[16:])
        elif box.name == b"uuid" and box.content.startswith(_XMP):
            metadata.xmp = box.content[16:]
        elif box.name in _CARRIED:
            metadata.parts.append(box)
    color = header.get(b"colr", b"")
    if color[:1] == b"\2":
        metadata.icc = color[3:]
    if b"res " in header:
        metadata.parts.append(Box(b"res ", header[b"res "]))
    return metadata, header


def write(file: BinaryIO, photo: Photo, quality: int | None) -> tuple[str, ...]:
    """Encodes a photo losslessly; `quality` is ignored. See `colorjax.photos.write`."""
    pillow.rgb_only(photo, "JPEG2000")
    pixels, notes = pillow.output_pixels(photo), ()
    if pixels.dtype in (np.uint8, np.uint16):
        depth = int(photo.space.full).bit_length()
        pixels = pillow.stretched(pixels, photo, 2**depth - 1)
    else:
        pixels, notes = pillow.eight_bits(photo, "JPEG2000", alpha=True)
        depth = 8
    encoded = imagecodecs.jpeg2k_encode(
        np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels),
        level=0,
        codecformat="jp2",
        reversible=True,
        bitspersample=depth,
        numthreads=1,
    )
    start = encoded.find(b"jp2c") - 4
    colors = 1 if photo.is_gray else 3
    metadata = photo.metadata
    for box in boxes(encoded[:start]):
        content = _header(box.content, photo, colors) if box.name == b"jp2h" else box.content
        file.write(_coded(box.name, content))
    if metadata.exif:
        file.write(_coded(b"uuid", _EXIF + metadata.exif))
    if metadata.xmp:
        file.write(_coded(b"uuid", _XMP + metadata.xmp))
    for box in metadata.parts if photo.kind == "JPEG2000" else []:
        if box.name != b"res ":
            file.write(_coded(*box))
    file.write(memoryview(encoded)[start:])
    return notes


def _header(content: bytes, photo: Photo, colors: int) -> bytes:
    """Rebuilds the encoder's header boxes with profile, alpha and resolution."""
    made = b""
    for box in boxes(content):
        if box.name == b"colr":
            space_code = 17 if colors == 1 else 16  # gray or sRGB
            made += _coded(b"colr", _color(photo.metadata.icc, space_code))
        elif box.name != b"cdef":
            made += _coded(*box)
    channels = 1 if photo.is_gray else photo.pixels.shape[2]
    if photo.is_gray:
        channels += photo.pixels.shape[2] - photo.space.num_colors
    if channels > colors:
        rows = [(i, 0, i + 1) for i in range(colors)]
        rows += [(i, _CDEF_ALPHA, 0) for i in range(colors, channels)]
        made += _coded(b"cdef", struct.pack(">H", channels) + _packed(rows))
    for box in photo.metadata.parts if photo.kind == "JPEG2000" else []:
        if box.name == b"res ":
            made += _coded(*box)
    return made


def _color(profile: bytes, space_code: int) -> bytes:
    return b"\2\0\0" + profile if profile else b"\1\0\0" + struct.pack(">I", space_code)


def _packed(rows: list[Any]) -> bytes:
    return b"".join(struct.pack(">HHH", *row) for row in rows)


def _coded(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, name) + content
