"""Which photos have colors of their own: toned, stained, noisy and compressed prints have none."""

import io

import imagecodecs
import numpy as np
import pytest
from helpers.samples import read_sample
from PIL import Image

from colorjax import photos
from colorjax.inference.batch.own_colors import own_colors

# sRGB of a toned print for gray from black to white
TONES = {
    "sepia": [(30, 15, 5), (110, 80, 55), (190, 160, 120), (250, 240, 215)],
    "selenium": [(25, 18, 30), (90, 80, 95), (165, 158, 165), (245, 243, 240)],
    "cyanotype": [(5, 20, 60), (30, 80, 140), (120, 170, 210), (245, 250, 250)],
    "split": [(10, 20, 45), (85, 95, 115), (180, 165, 140), (255, 245, 215)],
    "yellow paper": [(40, 38, 35), (107, 99, 83), (173, 161, 132), (240, 222, 180)],
}
PRINTS = ("coffee.png", "chelsea.png", "astronaut.png", "rocket.jpg")
PHOTOS = ("coffee.png", "chelsea.png", "astronaut.png")


def sample(name):
    image = Image.fromarray(read_sample(name)).convert("RGB")
    image.thumbnail((480, 480))
    return image


def toned(image, stops):
    gray = np.asarray(image.convert("L")) / 255
    stops = np.array(stops, float)
    return np.stack([np.interp(gray, np.linspace(0, 1, 4), stops[:, n]) for n in range(3)], -1)


def as_image(rgb):
    return Image.fromarray(np.clip(np.round(rgb), 0, 255).astype(np.uint8))


def compressed(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def measured(image):
    if isinstance(image, Image.Image):
        buffer = io.BytesIO()
        image.save(buffer, "BMP")
        image = buffer.getvalue()
    return own_colors(photos.read(image))


@pytest.mark.parametrize("name", PRINTS)
@pytest.mark.parametrize("tone", TONES)
def test_a_toned_print_is_not_in_color(name, tone):
    rgb = toned(sample(name), TONES[tone])
    noise = np.random.default_rng(0).normal(0, 8, rgb.shape)
    for version in (as_image(rgb), compressed(as_image(rgb), 30), as_image(rgb + noise)):
        assert not measured(version).is_color_photo


@pytest.mark.parametrize("name", PRINTS)
def test_stains_and_uneven_yellowing_are_not_colors(name):
    gray = np.asarray(sample(name).convert("L")).astype(float)[..., None]
    y, x = np.mgrid[-1 : 1 : gray.shape[0] * 1j, -1 : 1 : gray.shape[1] * 1j]
    sepia = toned(sample(name), TONES["sepia"])
    share = np.clip((x**2 + y**2) / 2, 0, 1)[..., None]
    assert not measured(as_image(share * sepia + (1 - share) * gray)).is_color_photo
    stain = 0.6 * (np.hypot(x - 0.3, y + 0.2) < 0.4)[..., None]
    brown = np.array([190, 150, 95]) * (0.4 + 0.6 * gray / 255)
    assert not measured(as_image(gray * (1 - stain) + brown * stain)).is_color_photo


@pytest.mark.parametrize("name", PHOTOS)
def test_color_photos_are_in_color(name):
    image = sample(name)
    faded = np.asarray(image) * [0.6, 0.45, 0.4] + [90, 75, 65]
    for version in (image, compressed(image, 30), as_image(faded), image.resize((60, 60))):
        assert measured(version).is_color_photo


def test_a_hand_tinted_print_is_in_color():
    """Cheeks, lips and a blue dress, thinly painted on a sepia print."""
    rgb = toned(sample("astronaut.png"), TONES["sepia"])
    paint = np.zeros_like(rgb)
    height, width = rgb.shape[:2]
    paint[height // 2 :, : width // 2] = (-25, 0, 45)
    paint[: height // 3, width // 2 :] = (35, -10, 0)
    paint[height // 2 :, width // 2 :] = (-20, 20, -20)
    assert measured(as_image(rgb + paint)).is_color_photo


@pytest.mark.parametrize("share", [0.005, 0.02, 0.04])
def test_a_stamp_on_a_gray_photo_is_a_colored_part(share):
    rgb = np.repeat(np.asarray(sample("astronaut.png").convert("L"))[..., None], 3, -1).copy()
    side = round((rgb.shape[0] * rgb.shape[1] * share) ** 0.5)
    plain = measured(as_image(rgb))
    assert (plain.is_color_photo, plain.has_colored_part) == (False, False)
    rgb[5 : 5 + side, 5 : 5 + side] = (190, 40, 40)
    found = measured(as_image(rgb))
    assert (found.is_color_photo, found.has_colored_part) == (False, True)
    assert found.share == pytest.approx(share, rel=0.5)


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 300), (900, 2), (7, 5), (47, 50)])
def test_any_size_is_measured(size):
    gray = np.random.default_rng(0).integers(0, 255, size[::-1], np.uint8)
    found = measured(Image.fromarray(gray))
    assert found.spread < 0.01
    assert found.share == 0


def test_depth_and_color_space_do_not_matter():
    image = sample("coffee.png")
    wanted = measured(image)
    deep = imagecodecs.png_encode(np.asarray(image).astype(np.uint16) * 257)
    found = own_colors(photos.read(deep))
    assert found.spread == pytest.approx(wanted.spread, rel=0.02)
