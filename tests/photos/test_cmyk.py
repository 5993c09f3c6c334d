"""CMYK of JPEG and TIFF reads as the positive that Pillow shows, also without Adobe's marker."""

import functools
import io
import struct

import imagecodecs
import numpy as np
import pytest
from helpers.photos import conformance, zoo
from helpers.photos.cmyk_profile import cmyk_profile
from PIL import Image
from skimage.color import rgb2lab

from colorjax import photos
from colorjax.photos.formats import jpeg_parts


def inks():
    """Returns (H, W, 4) uint8, 0 being no ink: a light corner, mostly black ink."""
    light = zoo.scene(1).astype(int)[..., 0]
    return np.stack([light // 8, light // 6, light // 4, 255 - light], -1).astype(np.uint8)


def cmyk_jpeg(**options):
    return zoo.pillow(inks(), "JPEG", "CMYK", quality=97, subsampling=0, **options)


def ycck_jpeg():
    return bytes(
        imagecodecs.jpeg8_encode(
            255 - inks(), level=97, colorspace="CMYK", outcolorspace="YCCK", subsampling="444"
        )
    )


def without_marker(data):
    adobe = next(part.content for part in jpeg_parts.segments(data) if part.marker == 0xEE)
    start = data.index(adobe) - 4
    return data[:start] + data[start + 4 + len(adobe) :]


tiff = functools.partial(zoo.tiff, photometric="separated")
FILES = {
    "jpeg": cmyk_jpeg,
    "jpeg without marker": lambda: without_marker(cmyk_jpeg()),
    "jpeg YCCK": ycck_jpeg,
    "jpeg YCCK without marker": lambda: without_marker(ycck_jpeg()),
    "jpeg progressive without marker": lambda: without_marker(cmyk_jpeg(progressive=True)),
    "tiff": lambda: tiff(inks()),
    "tiff LZW": lambda: tiff(inks(), compression="lzw"),
    "tiff JPEG": lambda: tiff(inks(), compression="jpeg"),
    "tiff tiled": lambda: tiff(inks(), tile=(16, 16)),
    "tiff 16": lambda: tiff(inks().astype(np.uint16) * 257),
    "tiff planar": lambda: tiff(
        np.ascontiguousarray(inks().transpose(2, 0, 1)), planarconfig="separate"
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_cmyk_is_what_pillow_shows(name):
    data = FILES[name]()
    photo = photos.read(data)
    srgb = photo.srgb(slice(0, photo.height))
    srgb = srgb / 255 if photo.is_8_bit else srgb
    with Image.open(io.BytesIO(data)) as image:
        shown = np.asarray(image.convert("RGB")) / 255
    assert np.abs(srgb - shown).max() < 0.6 / 255 + (1e-6 if photo.is_8_bit else 1 / 255)
    if name != "jpeg YCCK without marker":  # every reader takes its Y, C, C and K for inks
        assert srgb[2:6, 3:9].mean() > 0.7  # light: not a negative


@pytest.mark.parametrize("has_marker", [True, False])
def test_cmyk_with_a_profile_comes_back_positive(has_marker):
    data = cmyk_jpeg(icc_profile=cmyk_profile())
    data = data if has_marker else without_marker(data)
    _, made = conformance.colorize(data, "JPEG")
    assert any(part.content[:5] == b"Adobe" for part in jpeg_parts.segments(made))
    before, after = (photos.read(d).srgb(slice(0, zoo.HEIGHT)) for d in (data, made))
    difference = rgb2lab(before)[..., 0] - rgb2lab(after)[..., 0]
    assert np.abs(difference).mean() < 1
    assert rgb2lab(after)[2:6, 3:9, 0].mean() > 60  # light: not a negative


def jpeg_2000(profile=b""):
    """Returns CMYK in a JPEG 2000: its encoder writes RGBA, whose boxes are replaced."""
    data = bytes(imagecodecs.jpeg2k_encode(inks(), level=0, codecformat="jp2", reversible=True))
    image_header = data[data.index(b"ihdr") - 4 :][:22]
    color = b"\2\0\0" + profile if profile else b"\1\0\0" + struct.pack(">I", 12)
    color = struct.pack(">I4s", len(color) + 8, b"colr") + color
    header = struct.pack(">I4s", 8 + 22 + len(color), b"jp2h") + image_header + color
    return data[: data.index(b"jp2h") - 4] + header + data[data.index(b"jp2c") - 4 :]


def test_cmyk_in_jpeg_2000_becomes_rgb():
    photo = photos.read(jpeg_2000())
    assert not photo.has_alpha
    assert any("CMYK" in note for note in photo.notes)
    paper = 1 - inks() / 255
    wanted = np.rint(paper[..., :3] * paper[..., 3:] * 255)
    np.testing.assert_allclose(photo.pixels, wanted, atol=1)
    with_profile = photos.read(jpeg_2000(cmyk_profile()))
    tiff_photo = photos.read(tiff(inks(), iccprofile=cmyk_profile()))
    wanted = tiff_photo.srgb(slice(0, tiff_photo.height)) * 255
    np.testing.assert_allclose(with_profile.pixels, wanted, atol=1)
