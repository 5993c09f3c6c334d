"""The trivial predictors: gray, the mean color, the mean color per lightness."""

import jax
import numpy as np
import pytest

from colorjax import metrics


def random_lab(*shape: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    lab = rng.uniform([0, -80, -80], [100, 80, 80], (*shape, 3))
    lab[..., 1] += lab[..., 0] - 30
    return lab.astype(np.float32)


def test_sums_equal_a_loop_over_the_levels_and_add_over_batches():
    lab = random_lab(4, 16, 16)
    sums = metrics.color_sums(lab[:1]) + metrics.color_sums(lab[1:])
    assert sums.dtype == np.float64
    pixels = lab.reshape(-1, 3).astype(np.float64)
    for level in range(101):
        chosen = pixels[np.round(pixels[:, 0]) == level]
        np.testing.assert_allclose(sums[level, :2], chosen[:, 1:].sum(axis=0), atol=1e-6)
        assert sums[level, 2] == len(chosen)
    assert sums[:, 2].sum() == 4 * 16 * 16


def test_tables_hold_the_means():
    lab = random_lab(4, 16, 16)
    lab = lab[np.round(lab[..., 0]) != 40].reshape(-1, 1, 3)
    tables = metrics.fit_color_tables(metrics.color_sums(lab))
    assert list(tables) == ["grey", "mean", "per_lightness"]
    mean = lab[..., 1:].mean(axis=(0, 1))
    seen = lab[np.round(lab[..., 0]) == 60][:, 1:].mean(axis=0)
    lightness = np.array([[40.2], [60.0]], np.float32)
    np.testing.assert_array_equal(tables["grey"].predict(lightness), np.zeros((2, 2)))
    np.testing.assert_allclose(tables["mean"].predict(lightness), [mean, mean], atol=1e-3)
    np.testing.assert_allclose(tables["per_lightness"].predict(lightness), [mean, seen], atol=1e-3)


def test_each_predictor_beats_the_simpler_one_on_its_own_data():
    lab = random_lab(4, 16, 16)
    tables = metrics.fit_color_tables(metrics.color_sums(lab))
    errors = [
        metrics.rmse_ab(table.predict(lab[..., :1]), lab[..., 1:]).mean()
        for table in tables.values()
    ]
    assert errors[0] > errors[1] + 1 > errors[2] + 2


def test_predict_on_jax_equals_numpy():
    table = metrics.fit_color_tables(metrics.color_sums(random_lab(4, 16, 16)))["per_lightness"]
    lightness = np.linspace(-1, 101, 1021, dtype=np.float32).reshape(1, 1021, 1)
    expected = table.predict(lightness)
    assert isinstance(expected, np.ndarray)
    assert (expected.shape, expected.dtype) == ((1, 1021, 2), np.float32)
    on_device = jax.jit(table.predict)(lightness)
    assert isinstance(on_device, jax.Array)
    np.testing.assert_array_equal(on_device, expected)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match=r"^lab must have shape \(\.\.\., 3\)"):
        metrics.color_sums(np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"^lab must hold floating-point"):
        metrics.color_sums(np.zeros((4, 3), np.uint8))
    with pytest.raises(ValueError, match=r"at least one pixel"):
        metrics.fit_color_tables(np.zeros((101, 3)))
    with pytest.raises(ValueError, match=r"^sums must have shape \(101, 3\)"):
        metrics.fit_color_tables(np.zeros((100, 3)))
    table = metrics.ColorTable(np.zeros((101, 2), np.float32))
    with pytest.raises(ValueError, match=r"^lightness must have shape \(\.\.\., 1\)"):
        table.predict(np.zeros((4, 4)))
