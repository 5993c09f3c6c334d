"""Aged gray photos: what each effect may do, and that chance comes from the generator alone."""

import numpy as np
import pytest
from helpers.synthetic import synthetic_images
from PIL import Image
from skimage.color import rgb2lab

from colorjax.data import aging
from colorjax.data.targets import TargetEncoder

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)  # Rec. 709, the Y of sRGB
EFFECTS = [effect for effect, _ in aging.EFFECTS]
DRAWS = range(40)


def rng_of(seed):
    return np.random.default_rng(seed)


def ramp(size=64):
    """Every gray from black to white, with some texture."""
    texture = rng_of(0).normal(0, 0.02, (size, size))
    return np.clip(np.linspace(0, 1, size) + texture, 0, 1).astype(np.float32)


def middle(size=64):
    return np.full((size, size), 0.5, np.float32)


def test_luminance_keeps_the_lightness():
    rgb = synthetic_images(1, 64, seed=1)[0]
    gray = aging.expose(rgb, LUMINANCE)
    assert gray.dtype == np.float32
    lightness = rgb2lab(np.repeat(gray[..., None], 3, axis=-1).astype(np.float64))[..., 0]
    np.testing.assert_allclose(lightness, rgb2lab(rgb)[..., 0], atol=0.02)


def test_films_are_mixes_of_which_most_are_blind_to_red():
    weights = np.array([aging.film_weights(rng_of(seed)) for seed in range(600)])
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    red, _, blue = weights.T
    assert 0.6 < np.mean(red < 0.09) < 0.8  # blue-sensitive and orthochromatic: 70 %
    assert 0.2 < np.mean(blue > 0.6) < 0.4  # blue-sensitive alone
    dark = aging.expose(np.uint8([[[200, 0, 0]]]), np.float32([0.02, 0.3, 0.68]))
    assert dark < 0.2 < aging.expose(np.uint8([[[200, 0, 0]]]), LUMINANCE)


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.__name__)
def test_an_effect_changes_the_photo_a_little(effect):
    gray = ramp()
    before = gray.copy()
    results = [np.clip(effect(gray, rng_of(seed), 1.0), 0, 1) for seed in DRAWS]
    np.testing.assert_array_equal(gray, before)
    assert {(each.shape, each.dtype) for each in results} == {(gray.shape, np.dtype(np.float32))}
    changes = np.array([np.abs(each - gray).mean() for each in results])
    assert changes.min() > 1e-4
    assert changes.max() < 0.2  # the photo is still there
    assert np.unique(changes).size > len(DRAWS) // 2
    again = np.clip(effect(gray, rng_of(7), 1.0), 0, 1)
    np.testing.assert_array_equal(again, results[7])


def test_blur_keeps_the_mean_and_takes_detail():
    gray = np.clip(middle() + rng_of(0).normal(0, 0.1, (64, 64)), 0, 1).astype(np.float32)
    for seed in DRAWS:
        blurred = aging.blur(gray, rng_of(seed), 1.0)
        assert blurred.mean() == pytest.approx(gray.mean(), abs=0.004)
        assert blurred.std() < 0.99 * gray.std()
    assert aging.blur(gray, rng_of(0), 4.0).std() < aging.blur(gray, rng_of(0), 1.0).std()


def test_fading_raises_black_and_lowers_white():
    ends = [aging.fade(np.float32([[0, 1]]), rng_of(seed), 1.0)[0] for seed in DRAWS]
    black, white = np.array(ends).T
    assert 0 <= black.min() < 0.05 < 0.2 < black.max() <= 0.25
    assert 0.8 <= white.min() < 0.85 < 0.95 < white.max() <= 1


def test_tone_keeps_the_order_of_grays():
    gray = np.linspace(0, 1, 256, dtype=np.float32)[None]
    for seed in DRAWS:
        toned = np.clip(aging.tone(gray, rng_of(seed), 1.0), 0, 1)
        assert np.diff(toned[0]).min() >= 0
        assert np.ptp(toned) > 0.7


def test_shade_is_smooth_and_strongest_in_the_corners():
    for seed in DRAWS:
        change = np.abs(aging.shade(middle(), rng_of(seed), 1.0) - 0.5)
        assert np.abs(np.diff(change, axis=0)).max() < 0.03
        corners = change[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert corners.mean() > change[24:40, 24:40].mean()
        assert corners.max() < 0.4


def test_grain_is_strongest_in_middle_gray_and_its_size_grows_with_the_photo():
    stds = [aging.grain(middle(), rng_of(seed), 1.0).std() for seed in DRAWS]
    assert 0.0099 < min(stds) < 0.02 < 0.04 < max(stds) < 0.0501
    black, gray = (
        aging.grain(np.full((64, 64), v, np.float32), rng_of(3), 1.0).std() for v in (0, 0.5)
    )
    assert black == pytest.approx(0.3 * gray, rel=1e-3)

    def correlation(unit):
        noise = aging.grain(middle(256), rng_of(3), unit) - 0.5
        return float((noise[:, 1:] * noise[:, :-1]).mean() / noise.var())

    assert correlation(4.0) > 0.8 > correlation(1.0)


def test_halftone_is_a_screen_of_one_pitch_and_leaves_black_and_white():
    for level in (0, 1):
        flat = np.full((64, 64), level, np.float32)
        np.testing.assert_array_equal(aging.halftone(flat, rng_of(0), 1.0), flat)
    for seed in DRAWS:
        screen = aging.halftone(middle(128), rng_of(seed), 1.0) - 0.5
        assert 0.025 < np.abs(screen).max() <= 0.1 + 1e-6
        spectrum = np.abs(np.fft.rfft2(screen))
        down, right = np.unravel_index(spectrum.argmax(), spectrum.shape)
        pitch = 128 / np.hypot(min(down, 128 - down), right)
        assert 2.4 < pitch < 4.8


def test_scratches_are_few_light_and_dark():
    changes = np.array([aging.scratch(middle(128), rng_of(seed), 1.0) - 0.5 for seed in DRAWS])
    touched = (np.abs(changes) > 1e-6).mean(axis=(1, 2))
    assert touched.min() > 0
    assert touched.max() < 0.15
    assert changes.max() > 0.1
    assert changes.min() < -0.1


def test_compression_is_that_of_a_jpeg_file():
    gray = ramp()
    compressed = aging.compress(gray, rng_of(5), 1.0)
    errors = []
    for quality in range(30, 81):
        file = _through_jpeg(np.rint(255 * gray).astype(np.uint8), quality)
        errors.append(np.abs(file / 255 - compressed).max())
    assert min(errors) < 1e-6


def _through_jpeg(gray_u8, quality):
    import io

    buffer = io.BytesIO()
    Image.fromarray(gray_u8).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer), np.float64)


@pytest.mark.parametrize("size", [(8, 8), (32, 40), (128, 96)])
def test_an_aged_photo_is_gray_and_comes_from_the_generator(size):
    rgb = synthetic_images(1, 128, seed=2)[0][: size[0], : size[1]]
    before = rgb.copy()
    aged = [aging.age(rgb, rng_of(seed)) for seed in DRAWS]
    np.testing.assert_array_equal(rgb, before)
    for seed, each in zip(DRAWS, aged, strict=True):
        assert (each.shape, each.dtype) == (rgb.shape, np.uint8)
        assert (each == each[..., :1]).all()
        np.testing.assert_array_equal(each, aging.age(rgb, rng_of(seed)))
    assert len({each.tobytes() for each in aged}) == len(aged)


@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_photos_stay_in_the_range_of_the_network(level):
    rgb = np.full((32, 32, 3), level, np.uint8)
    for gray in ("lightness", "luma", "mean"):
        seen = [TargetEncoder(grey=gray).gray_input(aging.age(rgb, rng_of(seed))) for seed in DRAWS]
        assert np.abs(seen).max() <= 1
        assert np.ptp(seen) > 0.1


def test_every_effect_occurs_in_its_share_of_the_photos(monkeypatch):
    seen = []

    def spied(effect):
        def spy(gray, rng, unit):
            seen.append(effect.__name__)
            return effect(gray, rng, unit)

        return spy

    effects = tuple((spied(effect), share) for effect, share in aging.EFFECTS)
    monkeypatch.setattr(aging, "EFFECTS", effects)
    rgb = synthetic_images(1, 16)[0]
    for seed in range(400):
        aging.age(rgb, rng_of(seed))
    for effect, (_, share) in zip(EFFECTS, effects, strict=True):
        assert seen.count(effect.__name__) / 400 == pytest.approx(share, abs=0.08)
