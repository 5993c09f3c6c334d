"""All eight orientations of every format: turned once, and written as upright."""

import functools
import io
import struct

import imagecodecs
import numpy as np
import pytest
from helpers.photos import readers, zoo
from PIL import Image

from colorjax import photos


def exif(turned):
    tags = Image.Exif()
    tags[274] = turned
    return tags.tobytes()


def pillow(pixels, turned, kind, **options):
    image = Image.fromarray(pixels)
    for mode in options.pop("modes", ()):
        image = image.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind, exif=exif(turned), **{"quality": 95} | options)
    return buffer.getvalue()


def png_16(pixels, turned):
    data = imagecodecs.png_encode(pixels.astype(np.uint16) * 257)
    return zoo.with_png_chunks(data, (b"eXIf", exif(turned).removeprefix(b"Exif\0\0")))


def tiff(pixels, turned, *, ycbcr=False, bits=8, planar=False, inks=False, **options):
    if ycbcr:
        pixels = np.asarray(Image.fromarray(pixels).convert("YCbCr"))
        options["photometric"] = "ycbcr"
    if inks:  # black only
        pixels = np.concatenate([np.zeros_like(pixels), 255 - pixels[..., :1]], -1)
        options["photometric"] = "separated"
    if bits == 16:
        pixels = pixels.astype(np.uint16) * 257
    if bits == 32:
        pixels = (pixels / 255).astype(np.float32)
    if planar:
        pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        options["planarconfig"] = "separate"
    options = {"photometric": "rgb"} | options
    return zoo.tiff(pixels, extratags=[(274, 3, 1, turned, True)], **options)


def tiff_palette(pixels, turned):
    table = np.repeat((np.arange(256) * 257).astype(np.uint16)[None], 3, 0)
    return tiff(pixels[..., :1], turned, photometric="palette", colormap=table)


def tiff_subsampled(pixels, turned):
    """YCbCr with a quarter of the chroma: blocks of 4 luma values, Cb and Cr, in one LZW strip."""
    height, width = pixels.shape[:2]
    planes = np.asarray(Image.fromarray(pixels).convert("YCbCr"))
    blocks = planes.reshape(height // 2, 2, width // 2, 2, 3).transpose(0, 2, 1, 3, 4)
    luma = blocks[..., 0].reshape(*blocks.shape[:2], 4)
    chroma = np.rint(blocks[..., 1:].mean((2, 3))).astype(np.uint8)
    strip = imagecodecs.lzw_encode(np.concatenate([luma, chroma], -1).tobytes())
    tags = [(256, width), (257, height), (259, 5), (262, 6), (274, turned), (277, 3)]
    tags += [(278, height), (284, 1)]
    start, count = 8 + len(strip), len(tags) + 4
    after = start + 2 + 12 * count + 4
    rows = [struct.pack("<HHII", tag, 3, 1, value) for tag, value in tags]
    rows.append(struct.pack("<HHII", 258, 3, 3, after))
    rows.append(struct.pack("<HHII", 273, 4, 1, 8))
    rows.append(struct.pack("<HHII", 279, 4, 1, len(strip)))
    rows.append(struct.pack("<HHIHH", 530, 3, 2, 2, 2))
    rows.sort(key=lambda row: row[:2][::-1])
    directory = struct.pack("<H", count) + b"".join(rows) + bytes(4)
    return b"II*\0" + struct.pack("<I", start) + strip + directory + struct.pack("<3H", 8, 8, 8)


def jpeg_2000(pixels, turned):
    data = imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="jp2", reversible=True)
    box = b"JpgTiffExif->JP2" + exif(turned).removeprefix(b"Exif\0\0")
    start = data.index(b"jp2c") - 4
    return data[:start] + struct.pack(">I4s", len(box) + 8, b"uuid") + box + data[start:]


FORMATS = {
    "JPEG": functools.partial(pillow, kind="JPEG", subsampling=0),
    "JPEG gray": functools.partial(pillow, kind="JPEG", modes=["L"]),
    "JPEG progressive": functools.partial(pillow, kind="JPEG", progressive=True),
    "JPEG CMYK": functools.partial(pillow, kind="JPEG", modes=["CMYK"]),
    "PNG 8": functools.partial(pillow, kind="PNG"),
    "PNG palette": functools.partial(pillow, kind="PNG", modes=["L", "P"]),
    "PNG 16": png_16,
    "WebP": functools.partial(pillow, kind="WEBP"),
    "WebP lossless": functools.partial(pillow, kind="WEBP", lossless=True),
    "AVIF": functools.partial(pillow, kind="AVIF", subsampling="4:4:4"),
    "HEIF": functools.partial(pillow, kind="HEIF"),
    "JPEG 2000": jpeg_2000,
    "TIFF 8": tiff,
    "TIFF 16": functools.partial(tiff, bits=16),
    "TIFF float": functools.partial(tiff, bits=32),
    "TIFF LZW": functools.partial(tiff, compression="lzw", predictor=True),
    "TIFF tiled": functools.partial(tiff, tile=(16, 16)),
    "TIFF planar": functools.partial(tiff, planar=True),
    "TIFF planar tiled 16": functools.partial(tiff, planar=True, tile=(16, 16), bits=16),
    "TIFF BigTIFF": functools.partial(tiff, bigtiff=True),
    "TIFF CMYK": functools.partial(tiff, inks=True),
    "TIFF CMYK LZW": functools.partial(tiff, inks=True, compression="lzw"),
    "TIFF palette": tiff_palette,
    "TIFF JPEG": functools.partial(tiff, compression="jpeg", subsampling=(1, 1)),
    "TIFF JPEG tiled": functools.partial(tiff, compression="jpeg", tile=(16, 16)),
    "TIFF YCbCr": functools.partial(tiff, ycbcr=True),
    "TIFF YCbCr LZW": functools.partial(tiff, ycbcr=True, compression="lzw"),
    "TIFF YCbCr deflate tiled": functools.partial(
        tiff, ycbcr=True, compression="deflate", tile=(16, 16)
    ),
    "TIFF YCbCr 4:2:0": tiff_subsampled,
}
LOSSY = ("JPEG", "WebP", "AVIF", "HEIF", "YCbCr")


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize("name", FORMATS)
def test_pixels_are_turned_once(name, turned):
    if name == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    scene = zoo.scene(1).repeat(3, 2)
    data = FORMATS[name](np.ascontiguousarray(zoo.STORED[turned](scene)), turned)
    photo = photos.read(data)
    is_lossy = name.startswith(LOSSY[:-1]) or "YCbCr" in name or "TIFF JPEG" in name
    tolerance = 12 if is_lossy and name != "JPEG 2000" else 1
    np.testing.assert_allclose(gray_levels(photo), scene[..., 0], atol=tolerance)
    rows = slice(0, photo.height)
    photo.paint(rows, photo.srgb(rows).copy())
    made = io.BytesIO()
    kind = {"PNG palette": "PNG", "TIFF palette": "PNG"}.get(name, photo.kind)
    photos.write(made, photo, kind, mark=None)
    assert readers.facts(made.getvalue(), kind)["orientation"] == 1
    again = photos.read(made.getvalue())
    np.testing.assert_allclose(gray_levels(again), scene[..., 0], atol=2 * tolerance)


def gray_levels(photo):
    srgb = photo.srgb(slice(0, photo.height))[..., 1]
    return srgb.astype(float) if photo.is_8_bit else srgb * 255.0
