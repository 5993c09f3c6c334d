"""Repairs WebP, GIF and BMP outside their pixels, and says how much of a file is missing."""

from __future__ import annotations

import struct

from colorjax.errors import UnreadablePhoto

END_NOTE = "its end marker is missing: all pixels are there"
_WEBP_PIXELS = (b"VP8 ", b"VP8L", b"ALPH", b"ANMF")
_WEBP_FLAGS = {b"ICCP": 0x20, b"EXIF": 0x08, b"XMP ": 0x04}


def repaired(data: bytes, kind: str) -> tuple[bytes, tuple[str, ...]]:
    """Returns a file that Pillow opens in spite of damage outside its pixels, and notes.

    Args:
        data: the file.
        kind: kind of the file, as `Header.kind`.

    Raises:
        UnreadablePhoto: pixels are missing; says how many.
    """
    if kind == "WEBP":
        return _webp(data)
    if kind == "BMP":
        return _bmp(data)
    if kind == "GIF" and not _gif_ends(data):
        return data, (END_NOTE,)
    return data, ()


def explain(data: bytes, kind: str) -> None:
    """Raises an error that says why the pixels of a file cannot be decoded, if that is known.

    Raises:
        UnreadablePhoto: the file is cut off.
    """
    if kind == "GIF" and not _gif_ends(data):
        raise UnreadablePhoto("the file is cut off before its last rows")
    offset = 0
    while kind in ("AVIF", "HEIF") and offset + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, offset)
        if size == 1 and offset + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, offset + 8)
        if size < 8:
            return
        if offset + size > len(data):
            what = "pixel data" if name == b"mdat" else "header"
            raise cut_off(len(data) - offset, size, what)
        offset += size


def cut_off(present: float, whole: float, what: str = "rows") -> UnreadablePhoto:
    """Returns the error for a file of which only a part is present."""
    share = min(int(100 * present / whole), 99)
    return UnreadablePhoto(f"the file is cut off after {share} % of its {what}")


def _webp(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    (size,) = struct.unpack_from("<I", data.ljust(12, b"\0"), 4)
    end = 8 + size if 8 + size <= len(data) else len(data)
    chunks, offset, is_whole, has_pixels = [], 12, 8 + size <= len(data), False
    while offset + 8 <= end:
        name, length = struct.unpack_from("<4sI", data, offset)
        if offset + 8 + length > end and end < len(data):
            end, is_whole = len(data), False  # the size of the file is wrong
        if offset + 8 + length > end:
            if name in _WEBP_PIXELS and not has_pixels:
                raise cut_off(end - offset - 8, length, "pixel data")
            is_whole = False
            break
        has_pixels |= name in _WEBP_PIXELS and name != b"ALPH"
        chunks.append((name, data[offset + 8 : offset + 8 + length]))
        offset += 8 + length + length % 2
    if is_whole:
        return data, ()
    if not has_pixels:
        raise cut_off(0, 1, "pixel data")
    names = {name for name, _ in chunks}
    pieces = [b"WEBP"]
    for name, content in chunks:
        if name == b"VP8X" and content:
            missing = sum(flag for part, flag in _WEBP_FLAGS.items() if part not in names)
            content = bytes((content[0] & ~missing,)) + content[1:]
        pieces += [struct.pack("<4sI", name, len(content)), content, b"\0" * (len(content) % 2)]
    body = b"".join(pieces)
    notes = ("a part of its metadata is cut off or its size is wrong: all pixels are there",)
    return b"RIFF" + struct.pack("<I", len(body)) + body, notes


def _bmp(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    if len(data) < 34:
        raise cut_off(0, 1)
    start, header = struct.unpack_from("<II", data, 10)
    if header < 40:
        return data, ()
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    row = (width * bits + 31) // 32 * 4
    missing = start + row * abs(height) - len(data)
    if compression not in (0, 3) or row <= 0 or height == 0 or missing <= 0:
        return data, ()
    if missing > row - (width * bits + 7) // 8:
        raise cut_off(max(0, len(data) - start) // row, abs(height))
    return data + bytes(missing), (END_NOTE,)


def _gif_ends(data: bytes) -> bool:
    """Returns whether the blocks of a GIF lead to its end marker."""
    if len(data) < 13:
        return False
    offset = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    while offset < len(data) and data[offset] != 0x3B:
        if data[offset] == 0x21:
            offset += 2
        elif data[offset] == 0x2C and offset + 10 < len(data):
            flags = data[offset + 9]
            offset += 11 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
        else:
            return False
        while offset < len(data) and data[offset]:
            offset += 1 + data[offset]
        offset += 1
    return offset < len(data)
