"""PNG's cICP, iCCP, sRGB, gAMA and cHRM count in this order, at 8 and 16 bits; nclx of AVIF."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from helpers.photos import conformance, readers, zoo
from skimage.color import rgb2lab

from colorjax import photos
from colorjax.photos import color_code
from colorjax.photos.formats import png_chunks

D65 = (0.3127, 0.3290)
SRGB = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
ADOBE = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
P3 = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
BT2020 = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046)


def gama(gamma):
    return b"gAMA", struct.pack(">I", round(gamma * 1e5))


def chrm(colors, white=D65):
    return b"cHRM", struct.pack(">8I", *(round(value * 1e5) for value in (*white, *colors)))


def iccp(profile):
    return b"iCCP", b"p\0\0" + zlib.compress(profile)


SRGB_CHUNK = (b"sRGB", b"\0")
BITS = pytest.mark.parametrize("bits", [8, 16])


def png(bits, *chunks, channels=3):
    pixels = zoo.squeezed(zoo.scene(channels, bits))
    return zoo.with_png_chunks(imagecodecs.png_encode(pixels), *chunks)


def seen(data):
    """Returns the photo as sRGB, (H, W, 3) in [0, 1]."""
    photo = photos.read(data)
    srgb = photo.srgb(slice(0, photo.height))
    return srgb / 255 if photo.is_8_bit else srgb


def stored(bits, channels=3):
    return zoo.scene(channels, bits) / (2**bits - 1)


def encoded(linear):
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def decoded(code):
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def to_xyz(colors, white=D65):
    """Returns the matrix from linear RGB to XYZ, as in SMPTE RP 177."""
    primaries = np.array([[x / y, 1, (1 - x - y) / y] for x, y in np.reshape(colors, (3, 2))]).T
    x, y = white
    return primaries * np.linalg.solve(primaries, [x / y, 1, (1 - x - y) / y])


def in_srgb(linear, colors):
    rgb = linear @ (np.linalg.inv(to_xyz(SRGB)) @ to_xyz(colors)).T
    return encoded(np.clip(rgb, 0, 1))


@BITS
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("gamma", [1.0, 1 / 1.8, 0.3])
def test_gamma_counts(bits, channels, gamma):
    data = png(bits, gama(gamma), channels=channels)
    wanted = encoded(stored(bits, channels) ** (1 / (round(gamma * 1e5) / 1e5)))
    np.testing.assert_allclose(seen(data), np.broadcast_to(wanted, (36, 52, 3)), atol=2e-3)


@BITS
def test_chromaticities_count(bits):
    for colors in (ADOBE, P3):
        data = png(bits, gama(1 / 2.2), chrm(colors))
        wanted = in_srgb(stored(bits) ** 2.2, colors)
        np.testing.assert_allclose(seen(data), wanted, atol=4e-3)
        data = png(bits, chrm(colors))
        wanted = in_srgb(decoded(stored(bits)), colors)
        np.testing.assert_allclose(seen(data), wanted, atol=4e-3)


@BITS
@pytest.mark.parametrize(
    ("code", "colors", "curve"),
    [
        ((12, 13), P3, decoded),
        ((9, 8), BT2020, lambda code: code),
        ((9, 4), BT2020, lambda code: code**2.2),
        ((1, 1), SRGB, lambda c: np.where(c < 0.081, c / 4.5, ((c + 0.099) / 1.099) ** (1 / 0.45))),
    ],
)
def test_color_codes_count(bits, code, colors, curve):
    data = png(bits, (b"cICP", bytes((*code, 0, 1))))
    np.testing.assert_allclose(seen(data), in_srgb(curve(stored(bits)), colors), atol=5e-3)


@BITS
def test_a_narrow_range_counts(bits):
    data = png(bits, (b"cICP", bytes((1, 13, 0, 0))))
    wanted = np.clip((stored(bits) * 255 - 16) / 219, 0, 1)
    np.testing.assert_allclose(seen(data), wanted, atol=3e-3)


@BITS
def test_the_order_in_which_they_count(bits):
    plain = stored(bits)
    linear = encoded(plain)
    code = (b"cICP", bytes((1, 8, 0, 1)))
    adobe = seen(png(bits, iccp(zoo.ADOBE)))
    assert np.abs(adobe - plain).max() > 0.02
    for chunks, wanted in (
        ((code, iccp(zoo.ADOBE), SRGB_CHUNK, gama(0.3)), linear),
        ((iccp(zoo.ADOBE), SRGB_CHUNK, gama(1.0), chrm(P3)), adobe),
        ((SRGB_CHUNK, gama(1.0), chrm(P3)), plain),
        ((gama(1.0),), linear),
        (((b"cICP", bytes((1, 13, 0, 1))), iccp(zoo.ADOBE), gama(1.0)), plain),
        (((b"cICP", bytes((2, 2, 0, 1))), gama(1.0)), linear),  # unspecified
        ((iccp(b"junk" * 60), gama(1.0)), linear),
        ((gama(0.0),), plain),
        ((chrm((0, 0, 0, 0, 0, 0)),), plain),
        ((gama(0.45455), chrm(SRGB)), plain),
    ):
        np.testing.assert_allclose(seen(png(bits, *chunks)), wanted, atol=2e-3)


def test_srgb_by_any_chunk_is_not_converted():
    for chunks in ((SRGB_CHUNK,), (gama(0.45455),), (gama(0.45455), chrm(SRGB))):
        assert photos.read(png(8, *chunks)).is_8_bit


@BITS
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "chunks",
    [
        (gama(1.0),),
        (gama(1 / 1.8), chrm(ADOBE)),
        ((b"cICP", bytes((12, 13, 0, 1))), iccp(zoo.ADOBE)),
    ],
)
def test_the_result_stays_in_its_own_space(bits, channels, chunks):
    data = png(bits, *chunks, channels=channels)
    _, made = conformance.colorize(data, "PNG")
    kept = {chunk.name: chunk.content for chunk in png_chunks.split(made).chunks}
    assert all(kept[name] == content for name, content in chunks)
    assert (b"iCCP" in kept) == any(name == b"iCCP" for name, _ in chunks)
    assert readers.pixels(made, "PNG").dtype.itemsize * 8 == bits
    before, after = (rgb2lab(seen(d))[..., 0] for d in (data, made))
    assert np.quantile(np.abs(before - after), 0.99) < (1.2 if bits == 8 else 0.1)


@BITS
def test_unpainted_pixels_come_back(bits):
    data = png(bits, gama(1.0))
    photo = photos.read(data)
    rows = slice(0, photo.height)
    photo.paint(rows, photo.srgb(rows).copy())
    made = io.BytesIO()
    photos.write(made, photo, "PNG", mark=None)
    error = readers.pixels(made.getvalue(), "PNG").astype(int) - zoo.scene(3, bits)
    assert np.abs(error).max() <= 1


@BITS
def test_another_format_gets_a_profile(bits):
    data = png(bits, gama(1 / 1.8), chrm(ADOBE))
    for kind in ("TIFF", "JPEG"):
        _, made = conformance.colorize(data, kind)
        before, after = (rgb2lab(seen(d))[..., 0] for d in (data, made))
        assert np.abs(before - after).mean() < 1
        assert photos.read(made).metadata.icc


@BITS
def test_gray_copies_are_srgb_and_say_nothing_else(bits):
    photo = photos.read(png(bits, gama(1.0), chrm(P3), iccp(zoo.ADOBE)))
    gray = np.linspace(0, 1, photo.height * photo.width, dtype=np.float32)
    gray = gray.reshape(photo.height, photo.width)
    photo.paint_gray(slice(0, photo.height), gray)
    made = io.BytesIO()
    photos.write(made, photo, "PNG", mark=None)
    names = {chunk.name for chunk in png_chunks.split(made.getvalue()).chunks}
    assert not names & {b"gAMA", b"cHRM", b"iCCP", b"cICP"}
    np.testing.assert_allclose(seen(made.getvalue())[..., 0], gray, atol=0.51 / (2**bits - 1))


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_is_compressed_and_comes_back(transfer):
    code = np.linspace(0, 1, 256)
    curve = {16: color_code._pq, 18: color_code._hlg}[transfer](code)
    assert (np.diff(curve) >= 0).all()
    assert curve[0] == pytest.approx(0, abs=1e-6)
    assert curve[-1] == pytest.approx(1, abs=1e-6)
    data = png(16, (b"cICP", bytes((9, transfer, 0, 1))))
    photo = photos.read(data)
    assert any("HDR" in note for note in photo.notes)
    middle = seen(data)[..., 1].mean()
    assert 0.2 < middle < 0.9  # neither black nor white
    _, made = conformance.colorize(data, "PNG")
    assert (b"cICP", bytes((9, transfer, 0, 1))) in png_chunks.split(made).chunks
    difference = rgb2lab(seen(data))[..., 0] - rgb2lab(seen(made))[..., 0]
    assert np.quantile(np.abs(difference), 0.98) < 1.5


def test_pq_and_hlg_are_those_of_the_standards():
    """Reference white is 203 cd/m^2: 0.5807 in PQ and 0.75 in HLG (BT.2408, table 1)."""
    white = (1 + (203 / 1000) ** 2) / 2  # of Reinhard's curve with a peak of 1000 cd/m^2
    for curve, code in ((color_code._pq, 0.5807), (color_code._hlg, 0.75)):
        assert float(curve(np.array(code))) == pytest.approx(white, abs=0.004)


def avif(primaries, transfer):
    data = zoo.pillow(zoo.scene(3), "AVIF", quality=100, subsampling="4:4:4")
    start = data.index(b"colrnclx") + 8
    return data[:start] + struct.pack(">HH", primaries, transfer) + data[start + 4 :]


@pytest.mark.parametrize(("code", "colors"), [((1, 1), None), ((2, 2), None), ((12, 13), P3)])
def test_the_color_code_of_avif_counts(code, colors):
    wanted = stored(8) if colors is None else in_srgb(decoded(stored(8)), colors)
    data = avif(*code)
    assert np.abs(seen(data) - wanted).mean() < 0.01
    _, made = conformance.colorize(data, "AVIF")
    difference = rgb2lab(seen(data))[..., 0] - rgb2lab(seen(made))[..., 0]
    assert np.abs(difference).mean() < 1


def test_an_hdr_avif_becomes_sdr_with_a_note():
    data = avif(9, 16)
    assert any("the result is SDR" in note for note in photos.read(data).notes)
    assert 0.2 < seen(data).mean() < 0.9
