"""Bits per pixel of the true color bins."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from colorjax import color, metrics


def logits_and_truth(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = color.rgb_to_lab(rng.uniform(0, 1, (*shape, 3)))[..., 1:]
    return rng.normal(0, 3, (*shape, 313)).astype(np.float32), truth.astype(np.float32)


def test_uniform_logits_take_log2_of_the_number_of_bins():
    _, truth = logits_and_truth(2, 8, 8)
    for level in (0.0, 300.0, -300.0):
        bits = metrics.bits_per_pixel(np.full((2, 8, 8, 313), level, np.float32), truth)
        np.testing.assert_allclose(bits, [np.log2(313)] * 2, rtol=1e-6)


def test_by_hand():
    """Half of the probability on the true bin of one pixel, an eighth on that of the other."""
    truth = np.array([[[3.0, -61.0], [40.0, 50.0]]])
    bins = color.ab_bins().tolist()
    share = np.empty((1, 2, 313))
    for pixel, (bin_color, true_share) in enumerate([([0, -60], 1 / 2), ([40, 50], 1 / 8)]):
        share[0, pixel] = (1 - true_share) / 312
        share[0, pixel, bins.index(bin_color)] = true_share
    assert metrics.bits_per_pixel(np.log(share), truth) == pytest.approx((1 + 3) / 2, rel=1e-5)
    assert metrics.bits_per_pixel(np.log(share)[:, ::-1], truth) > 8.0


def test_equals_a_loop_over_the_pixels():
    logits, truth = logits_and_truth(2, 3, 6, 5)
    bits = metrics.bits_per_pixel(logits, truth)
    assert isinstance(bits, np.ndarray)
    assert (bits.shape, bits.dtype) == ((2, 3), np.float32)
    expected = np.zeros((2, 3))
    for index in np.ndindex(2, 3, 6, 5):
        nearest = np.argmin(((color.ab_bins() - truth[index]) ** 2).sum(axis=-1))
        share = np.exp(logits[index].astype(np.float64))
        expected[index[:2]] -= np.log2(share[nearest] / share.sum()) / 30
    np.testing.assert_allclose(bits, expected, rtol=1e-5)
    assert np.ptp(expected) > 0.1
    on_device = jax.jit(metrics.bits_per_pixel)(logits, truth)
    assert isinstance(on_device, jax.Array)
    assert on_device.dtype == jnp.float32
    np.testing.assert_allclose(on_device, expected, rtol=1e-5)


@pytest.mark.parametrize("metric", [metrics.bits_per_pixel, jax.jit(metrics.bits_per_pixel)])
def test_certainty_neither_overflows_nor_underflows(metric):
    logits, truth = np.zeros((1, 2, 313), np.float32), np.zeros((1, 2, 2), np.float32)
    gray = color.ab_bins().tolist().index([0, 0])
    logits[..., gray] = 1000.0
    assert metric(logits, truth) == 0.0
    np.testing.assert_allclose(metric(-logits, truth), 1000 / np.log(2) + np.log2(312), rtol=1e-6)


def test_logits_of_any_precision_are_computed_in_float32():
    logits, truth = logits_and_truth(1, 16, 16)
    assert metrics.bits_per_pixel(logits.astype(np.float64), truth).dtype == np.float32
    rounded = jnp.asarray(logits, jnp.bfloat16)
    bits = metrics.bits_per_pixel(rounded, truth)
    assert bits.dtype == jnp.float32
    expected = metrics.bits_per_pixel(np.asarray(rounded, np.float32), truth)
    np.testing.assert_allclose(bits, expected, rtol=1e-5)


def test_wrong_input_is_refused():
    logits, truth = np.zeros((1, 4, 4, 313), np.float32), np.zeros((1, 4, 4, 2), np.float32)
    with pytest.raises(ValueError, match=r"^logits and true_ab must have the same shape except"):
        metrics.bits_per_pixel(logits, np.zeros((1, 16, 16, 2), np.float32))
    with pytest.raises(ValueError, match=r"^logits and true_ab must have the same shape except"):
        metrics.bits_per_pixel(logits, truth[0])
    with pytest.raises(ValueError, match=r"^logits must have shape \(\.\.\., height, width, 313\)"):
        metrics.bits_per_pixel(logits[..., :312], truth)
    with pytest.raises(ValueError, match=r"^true_ab must have shape"):
        metrics.bits_per_pixel(logits, truth[..., :1])
