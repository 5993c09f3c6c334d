"""PGM and PPM, binary and text, 8 and 16 bits per channel."""

from __future__ import annotations

import re
from typing import BinaryIO

import numpy as np

from colorjax.errors import UnreadablePhoto
from colorjax.photos import color_space
from colorjax.photos.formats import pillow
from colorjax.photos.formats.containers import cut_off
from colorjax.photos.formats.png import gray_as_rgb
from colorjax.photos.photo import Metadata, Photo

_SPACE = rb"(?:\s|#[^\r\n]*[\r\n])+"
_HEADER = re.compile(
    rb"P([2356])" + _SPACE + rb"(\d{1,9})" + _SPACE + rb"(\d{1,9})" + _SPACE + rb"(\d{1,5})\s"
)
_COMMENT = re.compile(rb"#[^\r\n]*")
_BLANK = re.compile(rb"\s")
_BLOCK_BYTES = 2**20  # of text at a time: parsed numbers need some 30 times the memory


def read(data: bytes, max_pixels: int) -> Photo:
    """Reads PGM and PPM, binary or text, and related formats that Pillow opens."""
    if data[:2] in (b"Pf", b"PF"):
        raise UnreadablePhoto("PFM is not supported: save it as a TIFF of 32-bit floats")
    header = _HEADER.match(data[:4096])
    if header is None:
        image = pillow.open_image(data, "PPM", max_pixels)
        return pillow.to_photo(image, "PPM", Metadata())
    channels = 1 if header[1] in b"25" else 3
    width, height, full = int(header[2]), int(header[3]), int(header[4])
    pillow.check_size(width, height, max_pixels)
    if not 0 < full < 65536:
        raise UnreadablePhoto(f"a PPM whose maximum value is {full}: it must be from 1 to 65535")
    dtype = np.dtype(np.uint8 if full < 256 else ">u2")
    count = width * height * channels
    is_text = header[1] in b"23"
    needed = 2 * count - 1 if is_text else count * dtype.itemsize
    if len(data) - header.end() < needed:
        raise cut_off(len(data) - header.end(), needed)
    if is_text:
        stored = _numbers(data[header.end() :], count, full, dtype.newbyteorder("="))
    else:
        values = np.frombuffer(data, dtype, count, header.end())
        stored = values.astype(dtype.newbyteorder("="))
        np.minimum(stored, full, out=stored)
    stored = stored.reshape(height, width, channels)
    # The file's maximum value is kept, so that all values are preserved.
    colors = color_space.Space(stored.dtype, float(full))
    return Photo(gray_as_rgb(stored, 1), colors, kind="PPM", metadata=Metadata())


def _numbers(text: bytes, count: int, full: int, dtype: np.dtype) -> np.ndarray:
    """Returns the first `count` numbers of a text, (count,); the rest is ignored.

    Raises:
        UnreadablePhoto: too few numbers, one above `full`, or other text among them.
    """
    if b"#" in text:
        text = _COMMENT.sub(b"", text)
    numbers = np.empty(count, dtype)
    done = start = 0
    while done < count and start < len(text):
        blank = _BLANK.search(text, start + _BLOCK_BYTES)
        end = blank.start() if blank else len(text)
        tokens = text[start:end].split()[: count - done]
        start = end
        if tokens and not b"".join(tokens).isdigit():
            raise UnreadablePhoto("a PPM whose text is damaged")
        try:
            values = [int(token) for token in tokens]
        except ValueError:  # more digits than Python converts
            values = [full + 1]
        if max(values, default=0) > full:
            raise UnreadablePhoto(f"a PPM with a value above its maximum {full}")
        numbers[done : done + len(values)] = values
        done += len(values)
    if done < count:
        raise cut_off(done, count)
    return numbers


def write(file: BinaryIO, photo: Photo, quality: int | None) -> tuple[str, ...]:
    """Encodes a photo as binary PPM, a gray copy as PGM. See `colorjax.photos.write`."""
    pillow.rgb_only(photo, "PPM")
    pixels, notes = pillow.output_pixels(photo), ()
    full = photo.space.full
    if pixels.dtype not in (np.uint8, np.uint16):
        pixels, notes = pillow.eight_bits(photo, "PPM", alpha=True)
        full = 255.0
    colors = 1 if photo.is_gray else 3
    if pixels.shape[2] > colors:
        notes += ("PPM cannot store alpha: dropped",)
    file.write(b"P%d\n%d %d\n%d\n" % (5 if colors == 1 else 6, photo.width, photo.height, full))
    for rows in color_space.bands(pixels):
        band = pixels[rows, :, :colors]
        file.write(band.astype(band.dtype.newbyteorder(">")).tobytes())
    return notes
