"""Chunks of a PNG, with their checksums, and its pixels in spite of damage elsewhere."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from colorjax.errors import UnreadablePhoto
from colorjax.photos.formats.containers import END_NOTE, cut_off

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXELS = (b"IDAT", b"fdAT")
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by color type
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
_ADAM7 += ((0, 1, 1, 2),)  # first column and row, steps
_SIZES = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"pHYs": 9, b"tIME": 7}
_SIZES |= {b"mDCV": 24, b"cLLI": 8}
_MOST_TEXT = 2**20  # bytes; Pillow refuses more
_MOST_TRIES = 100  # damaged chunks in which the pixels are searched, up to the end of the file
_NAMES = {b"eXIf": "EXIF", b"iCCP": "color profile", b"tRNS": "transparency"}
_NAMES |= dict.fromkeys((b"tEXt", b"zTXt", b"iTXt"), "text")


class Chunk(NamedTuple):
    """Name and content of a chunk."""

    name: bytes
    content: bytes


class Header(NamedTuple):
    """The header of a PNG."""

    width: int
    height: int
    depth: int
    color_type: int
    interlaced: bool


class Parts(NamedTuple):
    """A PNG in parts.

    Attributes:
        header: its header.
        chunks: undamaged chunks, without pixels.
        pixels: compressed pixels, in pieces.
        is_doubtful: whether a checksum of the pixels or of the header is wrong.
        is_cut: whether the file ends before its end marker.
        notes: notes on damaged chunks.
    """

    header: Header
    chunks: list[Chunk]
    pixels: list[bytes]
    is_doubtful: bool
    is_cut: bool
    notes: tuple[str, ...]


def split(data: bytes) -> Parts:
    """Splits a PNG.

    Raises:
        UnreadablePhoto: without a header, or with a damaged palette.
    """
    chunks, pixels, lost, offset = list[Chunk](), list[bytes](), list[str](), len(SIGNATURE)
    is_doubtful = is_skipped = is_ended = False
    tries = _MOST_TRIES
    while offset + 8 <= len(data) and not is_ended:
        length, name = struct.unpack_from(">I4s", data, offset)
        if not name.isalpha() or (offset + 12 + length > len(data) and name != b"IDAT"):
            further = -1 if pixels else data.find(b"IDAT", offset + 4) - 4
            if further < offset:
                break
            offset, is_skipped = further, True
            continue
        body = data[offset + 4 : offset + 8 + length]
        is_cut = offset + 12 + length > len(data)
        is_right = is_cut or data[offset + 8 + length : offset + 12 + length] == struct.pack(
            ">I", zlib.crc32(body)
        )
        if not is_right and not pixels and name != b"IDAT" and tries:
            tries -= 1
            further = _next_pixels(data, offset + 8, offset + 12 + length)
            if further >= 0:  # inside a chunk whose length is too large
                offset, is_skipped = further, True
                continue
        chunk = Chunk(name, body[4:])
        if name == b"IDAT":
            pixels.append(chunk.content)
            is_doubtful |= not is_right
        elif name == b"PLTE" and not is_right:
            raise UnreadablePhoto("the palette of the file is damaged")
        elif name == b"IHDR" or (is_right and _is_valid(chunk, chunks)):
            chunks.append(chunk._replace(content=b"") if name in _PIXELS else chunk)
            is_doubtful |= not is_right
        elif name != b"IEND":
            lost.append(_NAMES.get(name, f"{name.decode('latin-1')} block"))
        is_ended = name == b"IEND"
        offset += 12 + length
    header = _header(chunks)
    notes = [f"its {name} is damaged: dropped" for name in dict.fromkeys(lost)]
    if is_skipped:
        notes.append("a metadata block with a wrong length was dropped")
    return Parts(header, chunks, pixels, is_doubtful, not is_ended, tuple(notes))


def _next_pixels(data: bytes, start: int, end: int) -> int:
    """Returns the offset of a first chunk of pixels between two offsets; -1 if there is none."""
    name = data.find(b"IDAT", start, end)
    if name < 0:
        return -1
    (length,) = struct.unpack_from(">I", data, name - 4)
    checksum = struct.pack(">I", zlib.crc32(data[name : name + 4 + length]))
    return name - 4 if data[name + 4 + length : name + 8 + length] == checksum else -1


def _header(chunks: list[Chunk]) -> Header:
    if not chunks or chunks[0].name != b"IHDR" or len(chunks[0].content) < 13:
        raise UnreadablePhoto("a PNG without a header")
    width, height, depth, kind, _, _, interlaced = struct.unpack_from(">IIBBBBB", chunks[0].content)
    return Header(width, height, depth, kind, interlaced == 1)


def _is_valid(chunk: Chunk, before: list[Chunk]) -> bool:
    """Returns whether readers accept a chunk: known sizes, and texts that can be decompressed."""
    name, content = chunk
    if name == b"tRNS":
        wanted = {0: 2, 2: 6}.get(_header(before).color_type)
        return wanted in (None, len(content))
    if name in _SIZES:
        return len(content) == _SIZES[name]
    if name == b"zTXt":
        text = inflated(content.partition(b"\0")[2][1:], _MOST_TEXT)
    elif name == b"iTXt" and content.partition(b"\0")[2][:1] == b"\1":
        text = inflated(itxt_text(content), _MOST_TEXT)
    else:
        return True
    return text is not None


def itxt_text(content: bytes) -> bytes:
    """Returns the text of an iTXt chunk as stored; it follows keyword, language and translation."""
    return content.partition(b"\0")[2][2:].partition(b"\0")[2].partition(b"\0")[2]


def inflated(content: bytes, most: int) -> bytes | None:
    """Returns the decompressed content of a chunk; None if damaged, or longer than `most`."""
    try:
        inflater = zlib.decompressobj()
        text = inflater.decompress(content, most)
    except zlib.error:
        return None
    return None if inflater.unconsumed_tail else text


def coded(chunk: Chunk) -> bytes:
    """Returns a chunk as bytes, with length and checksum."""
    body = chunk.name + chunk.content
    return struct.pack(">I", len(chunk.content)) + body + struct.pack(">I", zlib.crc32(body))


def picture(parts: Parts) -> tuple[bytes, tuple[str, ...]]:
    """Returns a PNG of the pixels only, and notes on damage that does not affect the pixels.

    Raises:
        UnreadablePhoto: pixels are missing or damaged.
    """
    pixels, notes = parts.pixels, ()
    if parts.is_doubtful or parts.is_cut or not pixels:
        pixels = [zlib.compress(whole_pixels(parts), 1)]
        notes = (END_NOTE,) if parts.is_cut else ()
        notes += ("a checksum is wrong: all pixels are there",) if parts.is_doubtful else ()
    kept = [chunk for chunk in parts.chunks if chunk.name in (b"IHDR", b"PLTE", b"tRNS")]
    kept += [Chunk(b"IDAT", piece) for piece in pixels] + [Chunk(b"IEND", b"")]
    return SIGNATURE + b"".join(map(coded, kept)), notes


def whole_pixels(parts: Parts) -> bytes:
    """Returns the decompressed, filtered rows.

    Raises:
        UnreadablePhoto: they are damaged or cut off; says after how many of the rows.
    """
    size = _num_bytes(parts.header)
    rows, inflater, is_damaged = bytearray(), zlib.decompressobj(), False
    try:
        for piece in parts.pixels:
            while piece and len(rows) <= size and not inflater.eof:
                rows += inflater.decompress(piece, max(256, size // 128))
                piece = inflater.unconsumed_tail
    except zlib.error:
        is_damaged = True
    is_checked = inflater.eof and not is_damaged  # its own checksum of the pixels is right
    if len(rows) >= size and not is_damaged and (is_checked or not parts.is_doubtful):
        return bytes(rows[:size])
    if is_damaged or parts.is_doubtful:
        raise UnreadablePhoto("the pixels of the file are damaged")
    raise cut_off(len(rows), size, "pixel data" if parts.header.interlaced else "rows")


def _num_bytes(header: Header) -> int:
    """Returns the size of the decompressed rows, each with a byte for its filter."""
    width, height, depth, kind, interlaced = header
    bits = depth * _CHANNELS.get(kind, 1)
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    total = 0
    for left, top, across, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * bits // 8))
    return total
