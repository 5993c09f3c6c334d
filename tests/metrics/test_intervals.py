import numpy as np
import pytest
from scipy.stats import norm

from colorjax.metrics import comparison, intervals


def test_the_interval_of_a_mean_is_the_normal_one():
    values = np.random.default_rng(0).normal(5, 2, 4000)
    low, high = intervals.bootstrap({"x": values}, lambda means: means["x"])
    half = norm.ppf(0.975) * values.std() / np.sqrt(len(values))
    np.testing.assert_allclose([low, high], values.mean() + np.array([-half, half]), atol=0.006)


def test_differences_are_paired():
    """Variance common to both columns does not widen the interval of their difference."""
    rng = np.random.default_rng(0)
    common = rng.normal(0, 100, 500)
    values = {"a": common + 1 + rng.normal(0, 0.1, 500), "b": common}
    low, high = intervals.bootstrap(values, lambda means: means["a"] - means["b"])
    assert 0.98 < low < 1 < high < 1.02


def test_advantages_against_numpy():
    rng = np.random.default_rng(1)
    own = {"mae_ab": rng.uniform(5, 9, 300), "mse": rng.uniform(100, 300, 300)}
    other = {name: 2 * x for name, x in own.items()}
    gains = comparison.paired_gains(own, {"twice": other})["twice"]
    assert gains["mae_ab"]["better_by"] == pytest.approx(own["mae_ab"].mean())
    assert gains["skill"]["better_by"] == pytest.approx(0.5)
    np.testing.assert_allclose(gains["skill"]["interval"], 0.5)
    assert gains["psnr_of_mean_mse"]["better_by"] == pytest.approx(10 * np.log10(2))
    low, high = gains["mae_ab"]["interval"]
    assert low < gains["mae_ab"]["better_by"] < high


def test_what_cannot_be_compared():
    for values in ({"a": np.zeros(3), "b": np.zeros(4)}, {"a": np.zeros(0)}):
        with pytest.raises(ValueError, match="one number for each"):
            intervals.bootstrap(values, lambda means: means["a"])


def test_errors_by_hue():
    """Two photos of one bin, one of another, and one that does not count."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (4, 12, 12, 3), dtype=np.uint8)
    from colorjax import color

    lab = color.rgb_u8_to_lab(rgb)
    ab = lab[..., 1:] + np.array([1, 2, 3, 4], np.float32).reshape(4, 1, 1, 1)
    sums = comparison.measure_by_hue(
        rgb, np.array([1, 1, 1, 0], bool), lab, {"ab": ab}, np.array([0, 2, 2, 2]), 3
    )
    rows = comparison.summarize_hues(sums, 3)
    assert [row["num_images"] for row in rows] == [1, 0, 2]
    assert [row["from"] for row in rows] == pytest.approx([0, 1 / 3, 2 / 3])
    assert rows[0]["mae_ab"] == pytest.approx(1, abs=1e-4)
    assert rows[2]["mae_ab"] == pytest.approx(2.5, abs=1e-4)
    assert "mae_ab" not in rows[1]
