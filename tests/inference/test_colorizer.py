from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from helpers.synthetic import synthetic_images
from PIL import Image

from colorjax import color
from colorjax.data.sources.source import read_sample
from colorjax.data.targets import TargetEncoder
from colorjax.errors import RequestError
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.working_size import WorkingSize

SIZES = [(1, 1), (7, 9), (33, 250), (250, 33)]
TOLERANCE = 100 / 255  # of L


class ConstantMethod:
    """Predicts one strong color everywhere."""

    takes_hints = False
    global_size = None
    encode = TargetEncoder()
    network = SimpleNamespace(inputs=frozenset({"gray"}), outputs=frozenset({"ab"}))

    def __init__(self, a, b):
        self.ab = (a, b)

    def predict_shown(self, variables, fields):
        return jnp.broadcast_to(jnp.array(self.ab, jnp.float32), (*fields["gray"].shape[:3], 2))


def painter(a, b):
    return Colorizer(ConstantMethod(a, b), {}, WorkingSize(32, 4, is_fixed=False))


@pytest.fixture(scope="module")
def violet():
    return painter(90.0, -120.0)


def lightness_of(rgb_u8):
    return color.rgb_u8_to_lab(rgb_u8)[..., 0]


def random_rgb(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_load_finds_the_checkpoint(colorizer):
    assert colorizer.step == 7


def test_load_says_what_is_wanted(tmp_path):
    with pytest.raises(RequestError, match=r"or the workdir of a run or of imported weights"):
        Colorizer.load("zhang16")
    with pytest.raises(RequestError, match=r"or the workdir of a run or of imported weights"):
        Colorizer.load(tmp_path)


@pytest.mark.parametrize("size", SIZES)
def test_lightness_is_kept_under_saturated_predictions(violet, size):
    for pixels in (random_rgb(*size), random_rgb(*size)[..., :1].repeat(3, -1)):
        result = violet.colorize(pixels)
        assert np.abs(lightness_of(result) - lightness_of(pixels)).max() <= TOLERANCE


def test_every_gray_keeps_its_lightness_and_gets_color(violet):
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    result = violet.colorize(gray)
    expected = lightness_of(np.stack([gray] * 3, -1))
    assert np.abs(lightness_of(result) - expected).max() <= TOLERANCE
    middle = result[np.abs(gray.astype(int) - 128) < 40].astype(int)
    assert (middle[:, 2] - middle[:, 1] > 20).all()


def test_a_network_that_predicts_gray_gives_back_gray():
    gray = np.arange(256, dtype=np.uint8).reshape(8, 32)
    np.testing.assert_array_equal(painter(0.0, 0.0).colorize(gray), np.stack([gray] * 3, -1))


def test_only_the_lightness_of_a_colored_input_counts(colorizer):
    rgb = synthetic_images(1, 48)[0]
    lab = color.rgb_u8_to_lab(rgb)
    lab[..., 1:] = 0
    gray = color.lab_to_rgb_u8(lab)
    result = [colorizer.colorize(image).astype(int) for image in (rgb, gray)]
    assert np.abs(result[0] - result[1]).max() <= 2  # gray was rounded to 8 bits


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [(), (1,), (3,), (2,), (4,)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_arrays_keep_size_dtype_and_alpha(colorizer, size, channels, dtype):
    pixels = np.random.default_rng(1).random((*size, *channels))
    pixels = (pixels * 255).astype(np.uint8) if dtype == np.uint8 else pixels.astype(dtype)
    before = pixels.copy()
    result = colorizer.colorize(pixels)
    has_alpha = channels in ((2,), (4,))
    assert result.shape == (*size, 4 if has_alpha else 3)
    assert result.dtype == dtype
    np.testing.assert_array_equal(pixels, before)
    if has_alpha:
        np.testing.assert_array_equal(result[..., 3], pixels[..., -1])
    if dtype != np.uint8:
        assert result.min() >= 0
        assert result.max() <= 1


def test_semantic_takes_photos_of_any_size(semantic_workdir):
    loaded = Colorizer.load(semantic_workdir)
    for size in [(1, 1), (1, 40), (7, 9), (40, 33)]:
        rgb = random_rgb(*size)
        result = loaded.colorize(rgb)
        assert result.shape == rgb.shape
        assert np.abs(lightness_of(result) - lightness_of(rgb)).max() <= TOLERANCE
        assert np.ptp(result, axis=-1).max() > 0  # in color


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_floats_agree_with_bytes(colorizer, dtype):
    rgb = synthetic_images(1, 20)[0]
    result = colorizer.colorize((rgb / 255).astype(dtype))
    assert result.dtype == dtype
    np.testing.assert_allclose(result * 255.0, colorizer.colorize(rgb), atol=1.5)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ([[0.5]], "NumPy array or a Pillow image"),
        (np.zeros((4, 4, 5), np.uint8), "must have shape"),
        (np.zeros(4, np.uint8), "must have shape"),
        (np.zeros((0, 4), np.uint8), "must have shape"),
        (np.zeros((2, 4, 4, 3), np.uint8), "must have shape"),
        (np.zeros((4, 4), np.int32), "must hold uint8"),
        (np.zeros((4, 4), bool), "must hold uint8"),
        (np.full((4, 4), 128.0), r"must be in \[0, 1\]"),
        (np.full((4, 4), np.nan), r"must be in \[0, 1\]"),
    ],
)
def test_other_arrays_are_refused(colorizer, image, says):
    with pytest.raises(ValueError, match=f"image.*{says}"):
        colorizer.colorize(image)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "CMYK", "YCbCr", "I", "F", "HSV"])
@pytest.mark.parametrize("size", [(9, 7), (250, 33)])
def test_pillow_images_become_rgb(colorizer, mode, size):
    result = colorizer.colorize(Image.fromarray(random_rgb(*size[::-1])).convert(mode))
    assert (result.mode, result.size) == ("RGB", size)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_pillow_images_keep_their_alpha(colorizer, mode):
    alpha = random_rgb(7, 9)[..., 0]
    image = Image.fromarray(np.dstack([random_rgb(7, 9, 1), alpha]))
    if mode == "P":
        image = image.convert("RGB").convert("P")
        image.info["transparency"] = 3
        alpha = np.where(np.asarray(image) == 3, 0, 255)
    else:
        image = image.convert(mode)
        alpha = np.asarray(image.convert("RGBA"))[..., 3]
    result = colorizer.colorize(image)
    assert (result.mode, result.size) == ("RGBA", (9, 7))
    np.testing.assert_array_equal(np.asarray(result)[..., 3], alpha)


def test_strength_leaves_the_photos_own_colors(violet):
    rgb = synthetic_images(1, 40)[0]
    own = color.rgb_u8_to_lab(rgb)
    half = color.rgb_u8_to_lab(violet.colorize(rgb, strength=0.5))
    none = violet.colorize(rgb, strength=0.0).astype(int)
    assert np.abs(none - rgb).max() <= 2
    assert np.abs(half[..., 0] - own[..., 0]).max() <= TOLERANCE
    toward = (half - own)[..., 1:] @ np.array([90.0, -120.0])
    assert toward.mean() > 0


def test_many_are_as_one_after_the_other(colorizer):
    images = synthetic_images(3, 24)
    result = list(colorizer.colorize_many(iter(images), saturation=0.5))
    for image, one in zip(images, result, strict=True):
        np.testing.assert_array_equal(one, colorizer.colorize(image, saturation=0.5))


def test_colors_predicted_apart_are_painted_as_together(colorizer):
    photo = synthetic_images(1, 64)[0]
    ab = colorizer.predict_ab(photo)
    np.testing.assert_array_equal(colorizer.paint_ab(photo, ab), colorizer.colorize(photo))


@pytest.mark.parametrize("size", [(40, 96), (96, 40)])
def test_what_is_mirrored_to_a_square_is_cut_off_again(workdir, size):
    loaded = Colorizer.load(workdir, aspect="pad_square")
    photo = synthetic_images(1, 96)[0][: size[0], : size[1]]
    ab = loaded.predict_ab(photo)
    assert ab.shape[:2] == loaded.working_size.of(*size)
    assert ab.shape[0] != ab.shape[1]
    np.testing.assert_array_equal(loaded.paint_ab(photo, ab), loaded.colorize(photo))
    exact = loaded.colorize(photo, tiling="exact")
    np.testing.assert_array_equal(exact, Colorizer.load(workdir).colorize(photo, tiling="exact"))


def test_colors_are_enlarged_without_a_seam(monkeypatch, colorizer):
    photo = synthetic_images(1, 200)[0]
    whole = colorizer.colorize(photo)
    monkeypatch.setattr("colorjax.inference.colorizer.BAND_PIXELS", 1024)
    np.testing.assert_array_equal(colorizer.colorize(photo), whole)


@pytest.mark.parametrize(
    ("photo", "expected"),
    [((300, 400), (64, 88)), ((400, 300), (88, 64)), ((1, 1), (64, 64)), ((9, 900), (64, 256))],
)
def test_working_size_keeps_the_aspect_up_to_four(photo, expected):
    assert WorkingSize(64, 4, is_fixed=False).of(*photo) == expected
    assert WorkingSize(128, 128, is_fixed=True, aspect="squash").of(*photo) == (128, 128)


def test_real_photos_keep_their_lightness(violet, colorizer):
    for name in ("coffee.png", "rocket.jpg"):
        rgb = read_sample(name)
        for each in (violet, colorizer):
            result = each.colorize(rgb)
            assert np.abs(lightness_of(result) - lightness_of(rgb)).max() <= TOLERANCE
