import numpy as np
import pytest
from scipy.stats import norm

from colorjax.metrics import intervals


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


def test_what_cannot_be_compared():
    for values in ({"a": np.zeros(3), "b": np.zeros(4)}, {"a": np.zeros(0)}):
        with pytest.raises(ValueError, match="one number for each"):
            intervals.bootstrap(values, lambda means: means["a"])
