"""Damage to files: bits, lengths, pieces cut out, doubled or moved; and what comes of it."""

import io
import struct
import zlib

import numpy as np
from helpers.photos import conformance, readers, zoo

from colorjax import photos

MAX_PIXELS = 2**20


def damaged(data, rng):
    """Returns the file with one or two kinds of damage."""
    for _ in range(rng.integers(1, 3)):
        if len(data) < 16:
            break
        data = _KINDS[rng.integers(len(_KINDS))](bytearray(data), rng)
    if rng.random() < 0.7 and data.startswith(b"\x89PNG"):
        data = with_right_checksums(data)
    return bytes(data)


def _place(data, rng):
    """Somewhere, more often in the first bytes, where headers are."""
    end = len(data) if rng.random() < 0.4 else min(len(data), 1 << int(rng.integers(3, 11)))
    return int(rng.integers(0, end))


def _flip_bits(data, rng):
    for _ in range(rng.integers(1, 4)):
        data[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return data


def _cut(data, rng):
    return data[: int(rng.integers(1, len(data)))]


def _number(data, rng):
    """Overwrites two or four bytes by a number that lengths and sizes choke on."""
    values = (0, 1, 0x7FFF, 0xFFFF, 0x8000, 0x7FFFFFFF, 0xFFFFFFFF, int(rng.integers(2**32)))
    value = values[rng.integers(len(values))]
    code = (">I", "<I", ">H", "<H")[rng.integers(4)]
    place = _place(data, rng)
    content = struct.pack(code, value if code[1] == "I" else value & 0xFFFF)
    data[place : place + len(content)] = content
    return data


def _double(data, rng):
    start = _place(data, rng)
    end = min(len(data), start + int(rng.integers(1, 400)))
    at = _place(data, rng)
    return data[:at] + data[start:end] + data[at:]


def _remove(data, rng):
    start = _place(data, rng)
    del data[start : start + int(rng.integers(1, 200))]
    return data


def _noise(data, rng):
    start = _place(data, rng)
    size = int(rng.integers(1, 64))
    data[start : start + size] = rng.integers(0, 256, size, np.uint8).tobytes()
    return data


_KINDS = (_flip_bits, _flip_bits, _flip_bits, _number, _number, _cut, _double, _remove, _noise)


def with_right_checksums(data):
    """Mends a PNG's checksums, so that damage gets past them."""
    made, place = bytearray(data[:8]), 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        if place + 12 + length > len(data):
            break
        body = bytes(data[place + 4 : place + 8 + length])
        made += struct.pack(">I", length) + body + struct.pack(">I", zlib.crc32(body))
        place += 12 + length
    return bytes(made + data[place:])


def originals():
    """Returns the zoo's whole files, as (name, data, output kind)."""
    return [(a.name, a.data, a.output) for a in zoo.animals() if a.output]


def survives(data, kind):
    """Reads, paints and writes a damaged file; "refused", or "written" if the output is whole.

    Any other exception, and any output that does not open, goes to the caller.
    """
    target, complaint = io.BytesIO(), ""
    try:
        photo = photos.read(data, max_pixels=MAX_PIXELS)
        conformance.paint(photo)
        photos.write(target, photo, kind, mark=conformance.MARK)
    except (photos.UnreadablePhoto, photos.UnwritablePhoto) as error:
        complaint = str(error)
    if complaint:
        assert "\n" not in complaint
        assert not target.getvalue()
        return "refused"
    stored = readers.pixels(target.getvalue(), kind)
    assert stored.shape[:2] == (photo.height, photo.width)
    return "written"
