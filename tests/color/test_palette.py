"""The palette of a picture against NumPy and SciPy; the sRGB value of a lightness."""

import jax.numpy as jnp
import numpy as np
import pytest
import skimage.color
from scipy.spatial import KDTree

from colorjax import color

AB = np.random.default_rng(0).uniform(-50, 50, (2, 6, 4, 2))


def expected(ab):
    distances, bins = KDTree(color.ab_bins()).query(ab, 5)
    weights = np.exp(-(distances**2) / 50)
    weights /= weights.sum(-1, keepdims=True)
    shares = np.zeros((len(ab), 313))
    for number in range(len(ab)):
        np.add.at(shares[number], bins[number].ravel(), weights[number].ravel())
    shares /= ab.shape[1] * ab.shape[2]
    chroma = np.hypot(ab[..., 0], ab[..., 1]).mean((1, 2)) / 110
    return np.concatenate([shares, chroma[:, None]], axis=-1)


def test_against_scipy():
    result = color.palette(AB)
    assert isinstance(result, np.ndarray)
    assert result.shape == (2, color.PALETTE_SIZE)
    np.testing.assert_allclose(result, expected(AB), atol=1e-12)
    in_jax = color.palette(jnp.asarray(AB, jnp.float32))
    np.testing.assert_allclose(in_jax, expected(AB), atol=1e-6)


def test_it_does_not_depend_on_where_colors_are():
    shuffled = AB.reshape(2, 24, 2)[:, np.random.default_rng(1).permutation(24)].reshape(AB.shape)
    np.testing.assert_allclose(color.palette(shuffled), color.palette(AB), atol=1e-12)


def test_integers_are_refused():
    with pytest.raises(ValueError, match="ab"):
        color.palette(np.zeros((4, 4, 2), int))


def test_gray_of_lightness_undoes_the_lightness_of_gray():
    values = np.arange(256) / 255
    lightness = skimage.color.rgb2lab(np.repeat(values[:, None], 3, axis=-1))[..., 0]
    np.testing.assert_allclose(color.gray_of_lightness(lightness), values, atol=1e-7)
    in_jax = color.gray_of_lightness(jnp.asarray(lightness, jnp.float32))
    np.testing.assert_allclose(in_jax, values, atol=2e-5)


def test_nearest_bins_against_scipy():
    distances, expected_bins = KDTree(color.ab_bins()).query(AB, 5)
    weights = np.exp(-(distances**2) / 50)
    for ab in (AB, jnp.asarray(AB, jnp.float32)):
        bins, bin_weights = color.nearest_bins(ab)
        np.testing.assert_array_equal(bins, expected_bins)
        np.testing.assert_allclose(bin_weights, weights / weights.sum(-1, keepdims=True), atol=1e-5)
