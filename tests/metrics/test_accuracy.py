"""The share of pixels within a tolerance, at and around its limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from colorjax import metrics


def pixels(*colors: list[float]) -> np.ndarray:
    return np.array([colors])


def random_lab(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform([0, -110, -110], [100, 110, 110], (*shape, 3))


def test_identical_images_are_right_at_every_tolerance():
    lab = random_lab(3, 8, 8)
    for percent in (0, 2, 5):
        np.testing.assert_array_equal(metrics.accuracy_within(lab, lab, percent), np.ones(3))
        ab = lab[..., 1:]
        np.testing.assert_array_equal(metrics.accuracy_within_ab(ab, ab, percent), np.ones(3))


def test_a_gray_image_is_right_where_the_truth_is_nearly_gray():
    truth = pixels([40, 11, -11], [50, 12, 0], [60, 4, 4], [70, 0, -5], [80, -30, 70])
    gray = truth * [1, 0, 0]
    assert metrics.accuracy_within(gray, truth, 5) == pytest.approx(3 / 5)
    assert metrics.accuracy_within(gray, truth, 2) == pytest.approx(1 / 5)
    assert metrics.accuracy_within_ab(gray[..., 1:], truth[..., 1:], 5) == pytest.approx(3 / 5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("percent", "lightness_limit", "ab_limit"),
    [(0, 0, 0), (1, 1, 2), (2, 2, 4), (5, 5, 11), (10, 10, 22), (25, 25, 55), (2.5, 2, 5)],
)
def test_limits_are_inclusive_in_each_channel_and_direction(
    percent, lightness_limit, ab_limit, dtype
):
    truth = np.array([[50, -3, 7]], dtype)
    limits = (lightness_limit, ab_limit, ab_limit)
    for channel, limit in enumerate(limits):
        for sign in (-1, 1):
            for step, expected in ((limit, 1.0), (limit + 1, 0.0)):
                lab = truth.copy()
                lab[0, channel] += sign * step
                on_host = metrics.accuracy_within(lab[None], truth[None], percent)
                on_device = metrics.accuracy_within(jnp.asarray(lab)[None], truth[None], percent)
                assert (on_host, on_device) == (expected, expected), (channel, sign, step)
                ab, true_ab = lab[None, :, 1:], truth[None, :, 1:]
                without_lightness = metrics.accuracy_within_ab(ab, true_ab, percent)
                assert without_lightness == (1.0 if channel == 0 else expected)


def test_all_channels_of_a_pixel_must_be_right():
    truth = np.zeros((1, 4, 3))
    lab = pixels([0, 0, 0], [0, 20, 0], [0, 0, 20], [20, 0, 0])
    assert metrics.accuracy_within(lab, truth, 5) == pytest.approx(1 / 4)
    assert metrics.accuracy_within_ab(lab[..., 1:], truth[..., 1:], 5) == pytest.approx(2 / 4)


@pytest.mark.parametrize("as_array", [np.asarray, jnp.asarray])
def test_each_value_is_rounded_half_to_even_before_the_difference(as_array):
    def value(a: float, true_a: float) -> float:
        lab, truth = as_array([[[50.0, a, 0.0]]]), as_array([[[50.0, true_a, 0.0]]])
        return float(metrics.accuracy_within(lab, truth, 5))

    assert value(11.5, 0.0) == 0.0  # 12
    assert value(10.5, 0.0) == 1.0  # 10
    assert value(12.5, 1.5) == 1.0  # 12 - 2
    assert value(13.5, 2.5) == 0.0  # 14 - 2, though 11 apart
    assert value(11.49, -0.49) == 1.0  # 11 - 0, though 11.98 apart
    assert value(-11.5, 0.0) == 0.0
    assert value(-12.5, -1.5) == 1.0


def test_equals_a_loop_and_jit_equals_numpy():
    truth = random_lab(2, 3, 16, 16).astype(np.float32)
    noise = np.random.default_rng(1).normal(0, [3, 6, 6], truth.shape)
    lab = (truth + noise).astype(np.float32)
    for percent, ab_limit in ((2, 4), (5, 11)):
        expected = np.zeros((2, 3))
        for index in np.ndindex(2, 3, 16, 16):
            pairs = zip(lab[index].tolist(), truth[index].tolist(), strict=True)
            apart = [abs(round(x) - round(y)) for x, y in pairs]
            is_right = apart[0] <= percent and apart[1] <= ab_limit and apart[2] <= ab_limit
            expected[index[:2]] += is_right / 256
        assert 0.05 < expected.min() < expected.max() < 0.95
        value = metrics.accuracy_within(lab, truth, percent)
        assert isinstance(value, np.ndarray)
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, expected, rtol=1e-6)
        on_device = jax.jit(metrics.accuracy_within, static_argnums=2)(lab, truth, percent)
        assert isinstance(on_device, jax.Array)
        np.testing.assert_allclose(on_device, expected, rtol=1e-6)
        without_lightness = metrics.accuracy_within_ab(lab[..., 1:], truth[..., 1:], percent)
        assert (without_lightness > expected).all()


def test_wrong_input_is_refused():
    lab = np.zeros((1, 4, 4, 3))
    with pytest.raises(ValueError, match=r"^lab and true_lab must have the same shape"):
        metrics.accuracy_within(lab, lab[0], 5)
    with pytest.raises(ValueError, match=r"^true_lab must have shape"):
        metrics.accuracy_within(lab, lab[..., 1:], 5)
    with pytest.raises(ValueError, match=r"^ab and true_ab must have the same shape"):
        metrics.accuracy_within_ab(lab[..., 1:], lab[0, ..., 1:], 5)
    for percent in (-1, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"^percent must be"):
            metrics.accuracy_within(lab, lab, percent)
