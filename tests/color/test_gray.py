"""Three grays against NumPy, Pillow and scikit-image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.color
from PIL import Image

from colorjax import color
from colorjax.data.targets import TargetEncoder
from colorjax.errors import RequestError
from configs import default

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (32, 24, 3), np.uint8)
RGB = PHOTO / 255

EXPECTED = {
    "luma": RGB @ np.array([0.299, 0.587, 0.114]),
    "mean": RGB.sum(-1) / 3,
    "lightness": skimage.color.rgb2lab(RGB)[..., 0] / 100,
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_against_numpy(kind):
    expected = EXPECTED[kind][..., None]
    result = color.gray_from_rgb(RGB, kind)
    assert isinstance(result, np.ndarray)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, expected, atol=1e-6 if kind == "lightness" else 1e-14)
    # JAX, by the way jit takes, and batches.
    photos = jnp.asarray(RGB[None], jnp.float32)
    result = jax.jit(color.gray_from_rgb, static_argnums=1)(photos, kind)
    assert result.shape == (1, 32, 24, 1)
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result[0], expected, atol=2e-6)


def test_luma_is_pillows_l():
    luma = 255 * color.gray_from_rgb(RGB, "luma")[..., 0]
    eight_bits = np.asarray(Image.fromarray(PHOTO).convert("L"), np.float64)
    assert np.abs(luma - eight_bits).max() < 0.505  # rounding, and its weights of 16 bits
    # scikit-image's gray has BT.709's weights.
    other = skimage.color.rgb2gray(PHOTO)
    assert np.abs(luma / 255 - other).max() > 0.05


@pytest.mark.parametrize("kind", EXPECTED)
def test_gray_stays_on_its_scale(kind):
    ramp = np.linspace(0, 1, 11)[:, None].repeat(3, 1)
    result = color.gray_from_rgb(ramp, kind)[:, 0]
    np.testing.assert_allclose(result[[0, -1]], [0, 1], atol=1e-6)
    if kind != "lightness":
        np.testing.assert_allclose(result, ramp[:, 0], atol=1e-12)


def test_lightness_is_the_default():
    np.testing.assert_array_equal(color.gray_from_rgb(RGB), color.gray_from_rgb(RGB, "lightness"))


@pytest.mark.parametrize("kind", EXPECTED)
def test_kind_and_dtype_are_preserved(kind):
    result = color.gray_from_rgb(RGB.astype(np.float32), kind)
    assert isinstance(result, np.ndarray)
    assert result.dtype == np.float32
    assert isinstance(color.gray_from_rgb(jnp.asarray(RGB, jnp.float32), kind), jax.Array)


def test_wrong_input_says_so():
    with pytest.raises(ValueError, match="lightness, luma, mean, not 'hsv'"):
        color.gray_from_rgb(RGB, "hsv")
    for kind in EXPECTED:
        with pytest.raises(ValueError, match="rgb must hold floating-point"):
            color.gray_from_rgb(PHOTO, kind)
        with pytest.raises(ValueError, match="rgb must have shape"):
            color.gray_from_rgb(RGB[..., :2], kind)


# What a network sees.


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
@pytest.mark.parametrize("saturation", [1.0, 1.8])
@pytest.mark.parametrize("kind", EXPECTED)
def test_the_encoder_gives_this_gray_and_the_same_colors(kind, saturation, array):
    photo = array(PHOTO)
    targets = TargetEncoder(saturation=saturation, grey=kind)(photo)
    assert {x.dtype for x in targets.values()} == {np.dtype(np.float32)}
    assert {type(x) for x in targets.values()} == {type(photo)}
    # Of the photo as it is, whatever the targets.
    np.testing.assert_allclose(targets["gray"][..., 0], 2 * EXPECTED[kind] - 1, atol=1e-5)
    plain = TargetEncoder(saturation=saturation)(photo)["ab"]
    np.testing.assert_array_equal(targets["ab"], plain)
    if saturation == 1.0:
        np.testing.assert_allclose(110 * plain, skimage.color.rgb2lab(RGB)[..., 1:], atol=1e-3)


def test_configs_choose_the_gray():
    data = default.get_config().data
    assert TargetEncoder.from_config(data).grey == "lightness"
    data.grey = "luma"
    assert TargetEncoder.from_config(data).grey == "luma"
    data.grey = "value"
    with pytest.raises(RequestError, match=r"data\.grey.*known: lightness, luma, mean"):
        TargetEncoder.from_config(data)
