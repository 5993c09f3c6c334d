"""The scale on which networks see Lab."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from colorjax import color


def test_lightness_maps_to_minus_one_to_one_and_back():
    lightness = np.array([0.0, 25.0, 50.0, 100.0])
    normalized = color.normalize_lightness(lightness)
    np.testing.assert_array_equal(normalized, [-1.0, -0.5, 0.0, 1.0])
    np.testing.assert_array_equal(color.denormalize_lightness(normalized), lightness)


def test_ab_is_divided_by_110_and_back():
    ab = np.array([[-110.0, 55.0], [0.0, 110.0]])
    normalized = color.normalize_ab(ab)
    np.testing.assert_array_equal(normalized, [[-1.0, 0.5], [0.0, 1.0]])
    np.testing.assert_allclose(color.denormalize_ab(normalized), ab)


@pytest.mark.parametrize(
    "function",
    [
        color.normalize_lightness,
        color.denormalize_lightness,
        color.normalize_ab,
        color.denormalize_ab,
    ],
)
def test_kind_precision_and_refusal_of_integers(function):
    assert function(np.ones(2, np.float32)).dtype == np.float32
    assert function(jnp.ones(2, jnp.bfloat16)).dtype == jnp.float32
    assert isinstance(function(jnp.ones(2)), jax.Array)
    with pytest.raises(ValueError, match="must hold floating-point numbers, got uint8"):
        function(np.ones(2, np.uint8))


@pytest.mark.parametrize("convert", [np.asarray, jnp.asarray])
@pytest.mark.parametrize("shape", [(3,), (0, 3), (200, 150, 3), (2, 5, 7, 3)])
def test_u8_to_the_networks_scale_in_one_pass(convert, shape):
    rgb_u8 = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    gray, ab = color.rgb_u8_to_normalized(convert(rgb_u8))
    lab = color.rgb_to_lab(rgb_u8 / 255.0)
    assert isinstance(gray, type(convert(rgb_u8)))
    assert gray.dtype == ab.dtype == np.float32
    np.testing.assert_allclose(gray, lab[..., :1] / 50 - 1, atol=1e-5)
    np.testing.assert_allclose(ab, lab[..., 1:] / 110, atol=1e-5)
    with pytest.raises(ValueError, match="rgb_u8 must be uint8"):
        color.rgb_u8_to_normalized(convert(rgb_u8 / np.float32(255)))
