import io

import numpy as np
import pytest
from helpers.synthetic import synthetic_images
from PIL import Image

from colorjax.data import crops
from colorjax.data.decode import decode_reduced, decode_region, decode_rgb, to_rgb
from colorjax.errors import UnreadablePhoto


def encoded(image, **options):
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


@pytest.fixture
def rgb():
    return synthetic_images(1, 40)[0]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "CMYK", "1", "YCbCr"])
def test_every_mode_becomes_rgb(rgb, mode):
    image = Image.fromarray(rgb).convert(mode)
    decoded = np.asarray(to_rgb(image))
    assert decoded.shape == rgb.shape
    assert decoded.dtype == np.uint8
    if mode in ("RGB", "RGBA"):
        np.testing.assert_array_equal(decoded, rgb)
    if mode in ("L", "LA", "1"):
        assert (decoded == decoded[..., :1]).all()


def test_sixteen_bit_gray_is_scaled_not_clipped():
    deep = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    decoded = decode_rgb(encoded(Image.fromarray(deep), format="PNG"))
    np.testing.assert_allclose(decoded[..., 0], deep / 257, atol=0.51)


def test_float_gray_is_scaled():
    gray = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    decoded = np.asarray(to_rgb(Image.fromarray(gray)))
    np.testing.assert_allclose(decoded[..., 1], gray * 255, atol=0.51)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_exif_orientation_is_applied(rgb, format):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    fine = {"quality": 95, "subsampling": 0} if format == "JPEG" else {}
    data = encoded(Image.fromarray(rgb[:, :24]), format=format, exif=exif, **fine)
    upright = decode_rgb(data)
    assert upright.shape == (24, 40, 3)
    whole = decode_region(data, lambda width, height: (0, 0, 24, 24), 24)
    expected = np.rot90(rgb[:, :24], -1)[:, :24]
    error = np.abs(whole.astype(int) - expected)
    assert error.mean() < 5 if format == "JPEG" else error.max() == 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"no image at all",
        lambda data: b"",
        lambda data: data[:20],
    ],
)
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_damaged_files_are_unreadable(rgb, damage, format):
    data = damage(encoded(Image.fromarray(rgb), format=format))
    with pytest.raises(UnreadablePhoto):
        decode_rgb(data)
    with pytest.raises(UnreadablePhoto):
        decode_region(data, crops.center_square, 16)


def test_tiny_photos_are_unreadable():
    data = encoded(Image.new("RGB", (1, 1)), format="PNG")
    with pytest.raises(UnreadablePhoto, match="1x1 px"):
        decode_region(data, crops.center_square, 16)
    with pytest.raises(UnreadablePhoto, match="7x90 px"):
        decode_region(np.zeros((90, 7, 3), np.uint8), crops.center_square, 16)


def test_whole_photo_of_the_right_size_is_untouched(rgb):
    data = encoded(Image.fromarray(rgb), format="PNG")
    np.testing.assert_array_equal(decode_region(data, crops.center_square, 40), rgb)


def test_reduced_jpeg_decoding_matches_full_decoding():
    y, x = np.mgrid[0:512, 0:640]
    smooth = np.stack([x * 255 / 640, y * 255 / 512, (x + y) * 255 / 1152], -1).astype(np.uint8)
    data = encoded(Image.fromarray(smooth), format="JPEG", quality=95)
    box = (100.0, 50.0, 500.0, 450.0)
    fast = decode_region(data, lambda width, height: box, 32)
    full = Image.fromarray(decode_rgb(data)).resize((32, 32), Image.Resampling.BICUBIC, box)
    assert np.abs(fast.astype(int) - np.asarray(full)).max() <= 3


@pytest.mark.parametrize(
    ("height", "width", "short_side", "expected"),
    [
        (40, 60, 20, (20, 30)),
        (60, 41, 20, (30, 20)),
        (40, 60, 40, (40, 60)),
        (40, 60, 99, (40, 60)),
    ],
)
@pytest.mark.parametrize("format", ["JPEG", "PNG", None])
def test_reduced_photos_have_the_short_side_asked_for(height, width, short_side, expected, format):
    pixels = synthetic_images(1, 64)[0][:height, :width]
    photo = encoded(Image.fromarray(pixels), format=format) if format else pixels
    assert decode_reduced(photo, short_side).shape == (*expected, 3)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "CMYK", "I;16"])
def test_reduced_photos_are_means_of_pixels(rgb, mode):
    deep = np.linspace(0, 65535, 1600).astype(np.uint16).reshape(40, 40)
    image = Image.fromarray(deep) if mode == "I;16" else Image.fromarray(rgb).convert(mode)
    data = encoded(image, format="TIFF")
    whole = decode_rgb(data)
    np.testing.assert_array_equal(decode_reduced(data, 40), whole)
    means = whole.reshape(10, 4, 10, 4, 3).mean((1, 3))
    np.testing.assert_allclose(decode_reduced(data, 10), means, atol=2)  # rounded twice


def test_reduced_photos_that_cannot_be_read():
    for photo in (b"", b"no photo", np.zeros((90, 7, 3), np.uint8), np.zeros((9, 9, 3))):
        with pytest.raises(UnreadablePhoto):
            decode_reduced(photo, 64)
    assert decode_reduced(np.zeros((8, 8, 3), np.uint8), 64).shape == (8, 8, 3)


def test_random_crops_stay_inside_and_vary():
    rng = np.random.default_rng(0)
    boxes = [crops.random_resized(37, 91, rng, (0.1, 1.0), (0.5, 2.0)) for _ in range(300)]
    left, top, right, bottom = np.array(boxes).T
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (right <= 37).all()
    assert (bottom <= 91).all()
    assert (right > left).all()
    assert (bottom > top).all()
    share = (right - left) * (bottom - top) / (37 * 91)
    assert share.min() < 0.15
    assert share.max() > 0.5
    assert len(set(boxes)) > 250
