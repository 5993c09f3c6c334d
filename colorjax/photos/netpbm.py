"""PGM and PPM, 8 and 16 bits a channel."""

from __future__ import annotations

import re
from typing import BinaryIO

import numpy as np

from colorjax.data.decode import UnreadablePhoto
from colorjax.photos import pictures, space
from colorjax.photos.photo import Metadata, Photo
from colorjax.photos.png import grey_as_rgb

_SPACE = rb"(?:\s|#[^\r\n]*[\r\n])+"
_HEADER = re.compile(
    rb"P([56])" + _SPACE + rb"(\d{1,9})" + _SPACE + rb"(\d{1,9})" + _SPACE + rb"(\d{1,5})\s"
)


def read(data: bytes, max_pixels: int) -> Photo:
    """Reads raw PGM and PPM, and what else of the family Pillow opens."""
    header = _HEADER.match(data[:4096])
    if header is None:
        image = pictures.open_image(data, "PPM", max_pixels)
        return pictures.to_photo(image, "PPM", Metadata())
    channels = 1 if header[1] == b"5" else 3
    width, height, full = int(header[2]), int(header[3]), int(header[4])
    pictures.check_size(width, height, max_pixels)
    if not 0 < full < 65536:
        raise UnreadablePhoto(f"a PPM whose white is {full}")
    dtype = np.dtype(np.uint8 if full < 256 else ">u2")
    needed = width * height * channels * dtype.itemsize
    if len(data) - header.end() < needed:
        raise UnreadablePhoto("a PPM that is cut short")
    values = np.frombuffer(data, dtype, width * height * channels, header.end())
    stored = values.astype(dtype.newbyteorder("=")).reshape(height, width, channels)
    np.minimum(stored, full, out=stored)
    # The file's own white is kept: every value of it comes back.
    colors = space.Space(stored.dtype, float(full))
    return Photo(grey_as_rgb(stored, 1), colors, kind="PPM", metadata=Metadata())


def write(file: BinaryIO, photo: Photo, quality: int | None) -> tuple[str, ...]:
    """Encodes a photo as raw PPM, a grey copy as PGM. See `colorjax.photos.write`."""
    pictures.rgb_only(photo, "PPM")
    pixels, notes = pictures.output_pixels(photo), ()
    full = photo.space.full
    if pixels.dtype not in (np.uint8, np.uint16):
        pixels, notes = pictures.eight_bits(photo, "PPM", alpha=True)
        full = 255.0
    colors = 1 if photo.is_grey else 3
    if pixels.shape[2] > colors:
        notes += ("PPM holds no alpha: dropped",)
    file.write(b"P%d\n%d %d\n%d\n" % (5 if colors == 1 else 6, photo.width, photo.height, full))
    for rows in space.bands(pixels):
        band = pixels[rows, :, :colors]
        file.write(band.astype(band.dtype.newbyteorder(">")).tobytes())
    return notes
