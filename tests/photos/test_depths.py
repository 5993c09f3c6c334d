"""Depths that libraries would clip or darken in silence, and readers that overlap."""

import io
import logging
import threading

import imagecodecs
import numpy as np
import pytest
import tifffile
from helpers.photos import readers
from PIL import Image

from colorjax import photos
from colorjax.photos import color_space
from colorjax.photos.formats import netpbm, pillow, tiff
from colorjax.photos.photo import Metadata

WIDTH, HEIGHT = 48, 32


def values(channels, full):
    """Returns (H, W, C) whole numbers from 0 to `full`, both among them."""
    count = WIDTH * HEIGHT * channels
    return np.rint(np.linspace(0, full, count)).astype(int).reshape(HEIGHT, WIDTH, channels)


def plain(stored, full, separator=b" "):
    """Returns a file of the netpbm family in text."""
    kind = b"P2" if stored.shape[2] == 1 else b"P3"
    text = separator.join(b"%d" % value for value in stored.ravel())
    return b"%s\n%d %d\n%d\n%s\n" % (kind, stored.shape[1], stored.shape[0], full, text)


def written(data, kind):
    """Returns a photo as written after its own colors were painted onto it."""
    photo = photos.read(data)
    rows = slice(0, photo.height)
    photo.paint(rows, photo.srgb(rows).copy())
    target = io.BytesIO()
    photos.write(target, photo, kind, mark=None)
    return target.getvalue()


@pytest.mark.parametrize("full", [15, 255, 1000, 65535])
@pytest.mark.parametrize("channels", [1, 3])
def test_text_reads_as_the_raw_numbers(full, channels):
    stored = values(channels, full)
    photo = photos.read(plain(stored, full))
    unit = photo.srgb(slice(0, HEIGHT)) / (255 if photo.is_8_bit else 1)
    np.testing.assert_allclose(unit, np.broadcast_to(stored / full, unit.shape), atol=1e-6)
    dtype = "u1" if full < 256 else ">u2"
    head = b"P%d %d %d %d\n" % (5 if channels == 1 else 6, WIDTH, HEIGHT, full)
    raw = photos.read(head + stored.astype(dtype).tobytes())
    assert (photo.space, photo.notes) == (raw.space, raw.notes)
    np.testing.assert_array_equal(photo.pixels, raw.pixels)
    made = photos.read(written(plain(stored, full), "PPM"))
    np.testing.assert_array_equal(made.pixels, photo.pixels)


def test_text_may_hold_comments_and_lines_of_any_length(monkeypatch):
    monkeypatch.setattr(netpbm, "_BLOCK_BYTES", 7)  # numbers at the ends of blocks
    stored = values(1, 65535)
    data = plain(stored, 65535, b" # 7 white\r\n\t")
    np.testing.assert_array_equal(photos.read(data).pixels[..., :1], stored)
    np.testing.assert_array_equal(photos.read(data + b"surplus").pixels[..., :1], stored)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"P2 2 2 65535\n1 2 3", "cut off after 71 % of its rows"),
        (b"P2 2 2 65535\n1111 2222 3333  ", "cut off"),
        (b"P2 2 2 65535\n1 2 3 65536", "65535"),
        (b"P2 2 2 65535\n1 2 -3 4", "damaged"),
        (b"P2 2 2 65535\n1 2 3.5 4", "damaged"),
        (b"P2 2 2 65535\n1 2 3_5 4", "damaged"),
        (b"P2 2 2 65535\n1 2 x 4", "damaged"),
        (b"P3 1 1 65535\n1 2 " + b"9" * 5000, "65535"),
        (b"P2 2 2 65536\n1 2 3 4", "maximum value is 65536"),
        (b"P2 2 2 0\n0 0 0 0", "maximum value is 0"),
        (b"P2 99999 99999 65535\n1 2 3 4", "--max-pixels"),
        (b"P3 16000 16000 65535\n1 2 3 4", "cut off after 0 % of its rows"),
        (b"P2 0 2 65535\n", "not a photo"),
        (b"Pf\n2 1\n-1.0\n" + np.array([0, 1], "<f4").tobytes(), "PFM"),
        (b"PF\n1 1\n-1.0\n" + np.array([0, 1, 1], "<f4").tobytes(), "PFM"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(text, why):
    with pytest.raises(photos.UnreadablePhoto) as caught:
        photos.read(text)
    assert why in str(caught.value)
    assert "Error" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", ["I", "F", "I;16"])
def test_numbers_that_pillow_would_clip_are_refused(mode):
    with pytest.raises(photos.UnreadablePhoto, match=f"more than 8 bits .*mode {mode}"):
        pillow.to_photo(Image.new(mode, (4, 3)), "PPM", Metadata())


def jpeg2000(stored, depth):
    squeezed = np.ascontiguousarray(stored[..., 0] if stored.shape[2] == 1 else stored)
    return imagecodecs.jpeg2k_encode(
        squeezed, level=0, codecformat="jp2", reversible=True, bitspersample=depth
    )


@pytest.mark.parametrize("depth", [1, 4, 6, 7, 8, 10, 12, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_depth_of_jpeg_2000_comes_back(depth, channels):
    stored = values(channels, 2**depth - 1).astype(np.uint8 if depth <= 8 else np.uint16)
    data = jpeg2000(stored, depth)
    made = written(data, "JPEG2000")
    start = made.index(b"\xffO\xffQ")
    assert made[start + 42] + 1 == depth
    pixels = readers.pixels(made, "JPEG2000")
    np.testing.assert_array_equal(pixels, np.broadcast_to(stored, pixels.shape))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "JPEG", "WEBP", "JPEG2000", "PPM"])
@pytest.mark.parametrize("full", [15, 100, 127, 1023, 5000])
def test_white_is_white_in_every_format(kind, full):
    stored = values(3, full)
    made = photos.read(written(plain(stored, full), kind))
    unit = made.srgb(slice(0, HEIGHT)) / (255 if made.is_8_bit else 1)
    tolerance = 0.03 if kind in ("JPEG", "WEBP") else 0.5 / 127 if full < 128 else 0.5 / 255
    assert np.abs(unit - stored / full).max() <= tolerance + 1e-6


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_signalling_nans_are_black_without_a_complaint():
    """Found by damaging a float TIFF: dividing one is an "invalid value" to NumPy."""
    bits = np.array([0x7F800001, 0x42FE0000, 0x437E0000], np.uint32)  # sNaN, 127, 254
    colors = bits.view(np.float32).reshape(1, 1, 3)
    srgb = color_space.Space(np.dtype(np.float32), 254).to_srgb(colors)
    np.testing.assert_array_equal(srgb, np.array([[[0, 0.5, 1]]], np.float32))


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_numbers_beyond_float32_are_read_and_written():
    stored = np.tile([[-1e300, 0.0, 5e299], [2.5e299, 1e300, 1e-300]], (HEIGHT, WIDTH // 2, 1))
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, stored, photometric="rgb")
    photo = photos.read(buffer.getvalue())
    assert photo.notes == ("its largest value is 1e+300: 1e+300 was used as white",)
    unit = photo.srgb(slice(0, HEIGHT))
    np.testing.assert_allclose(unit[0, :2], [[0, 0, 0.5], [0.25, 1, 0]], rtol=1e-6)
    made = photos.read(written(buffer.getvalue(), "TIFF"))
    assert made.pixels.dtype == np.float64
    np.testing.assert_allclose(made.pixels[0, :2] / 1e300, unit[0, :2], rtol=1e-6)


def test_readers_that_overlap_leave_the_logger_as_it_was(caplog):
    logger = logging.getLogger("tifffile")
    before = (logger.level, list(logger.filters))
    inside, left = threading.Event(), threading.Event()

    def stay():
        with tiff._quiet():
            inside.set()
            left.wait(10)
            logger.error("of the longer reader")

    thread = threading.Thread(target=stay)
    with tiff._quiet():
        thread.start()
        assert inside.wait(10)
        logger.error("of the shorter reader")
    logger.error("of nobody's reader")
    left.set()
    thread.join()
    logger.error("after both")
    assert (logger.level, list(logger.filters)) == before
    messages = [record.message for record in caplog.records]
    assert messages == ["of nobody's reader", "after both"]


def test_only_the_readers_own_complaints_are_dropped(caplog):
    logger = logging.getLogger("tifffile")
    with tiff._quiet():
        logger.error("ours")
        with tiff._quiet():
            logger.error("ours")
        logger.error("ours")
        other = threading.Thread(target=logger.error, args=("theirs",))
        other.start()
        other.join()
    logger.error("later")
    assert [record.message for record in caplog.records] == ["theirs", "later"]
