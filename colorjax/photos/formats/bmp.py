"""BMP writer with alpha and color profile, which Pillow's writer lacks."""

from __future__ import annotations

import struct
from typing import BinaryIO

import numpy as np

from colorjax.photos import color_space
from colorjax.photos.formats import pillow
from colorjax.photos.photo import Photo

_V5_HEADER_BYTES = 124
_MASKS = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)  # red, green, blue, alpha in a little-endian integer


def embedded_profile(data: bytes) -> bytes:
    """Returns the ICC profile of a BMP with a header of version 5, or b"" if there is none."""
    if len(data) < 14 + _V5_HEADER_BYTES or data[14:18] != struct.pack("<I", _V5_HEADER_BYTES):
        return b""
    if data[14 + 56 : 14 + 60] != b"DEBM":  # 'MBED'
        return b""
    offset, size = struct.unpack_from("<II", data, 14 + 112)
    return data[14 + offset : 14 + offset + size]


def write(file: BinaryIO, photo: Photo, quality: int | None) -> tuple[str, ...]:
    """Encodes a photo losslessly, in 24 or 32 bits per pixel. See `colorjax.photos.write`."""
    pillow.rgb_only(photo, "BMP")
    pixels, notes = pillow.eight_bits(photo, "BMP", alpha=True)
    colors = 1 if photo.is_gray else 3
    alpha = pixels.shape[2] > colors
    row_bytes = photo.width * 4 if alpha else -(-photo.width * 3 // 4) * 4
    size, start = row_bytes * photo.height, 14 + _V5_HEADER_BYTES
    x, y = (round(value / 0.0254) for value in photo.metadata.dpi or (0, 0))
    profile = photo.metadata.icc
    file.write(struct.pack("<2sIII", b"BM", start + size + len(profile), 0, start))
    file.write(
        struct.pack(
            "<IiiHHIIiiII",
            *(_V5_HEADER_BYTES, photo.width, photo.height, 1, 32 if alpha else 24),
            *(3 if alpha else 0, size, x, y, 0, 0),
        )
    )
    file.write(struct.pack("<4I", *(_MASKS if alpha else (0, 0, 0, 0))))
    file.write((b"DEBM" if profile else b"BGRs") + bytes(36 + 12))  # embedded, or 'sRGB'
    offset = _V5_HEADER_BYTES + size if profile else 0
    file.write(struct.pack("<IIII", 4, offset, len(profile), 0))
    for rows in reversed(color_space.bands(pixels)):
        file.write(_rows(pixels[rows], row_bytes, colors))
    file.write(profile)
    return notes


def _rows(pixels: np.ndarray, row_bytes: int, colors: int) -> bytes:
    """Encodes rows as blue, green, red and optional alpha, last row first, padded to 4 bytes."""
    order = [0, 0, 0] if colors == 1 else [2, 1, 0]
    order += range(colors, pixels.shape[2])[:1]
    coded = np.zeros((len(pixels), row_bytes), np.uint8)
    coded[:, : pixels.shape[1] * len(order)] = pixels[::-1][..., order].reshape(len(pixels), -1)
    return coded.tobytes()
