"""Sums and counts that merge exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from colorjax import metrics


@pytest.mark.parametrize("masked_sum", [metrics.masked_sum, jax.jit(metrics.masked_sum)])
def test_padding_never_counts(masked_sum):
    values = np.array([1.0, 2.0, np.nan, np.inf], np.float32)
    total, count = masked_sum(values, np.array([True, True, False, False]))
    assert (total, count) == (3.0, 2.0)
    total, count = masked_sum(values, np.zeros(4, bool))
    assert (total, count) == (0.0, 0.0)


def test_jax_scalars_stay_on_the_device_until_merged():
    total, count = metrics.masked_sum(jnp.ones(3), jnp.array([True, False, True]))
    assert isinstance(total, jax.Array)
    merged = metrics.merge({}, {"psnr": (total, count)})
    assert all(isinstance(value, np.float64) for value in merged["psnr"])
    assert metrics.means(merged) == {"psnr": 1.0}


def test_uneven_batches_give_the_mean_over_all_images():
    values = np.random.default_rng(0).normal(size=11)
    sums = {}
    for start in range(0, 11, 4):
        batch = np.pad(values[start : start + 4], (0, max(0, start + 4 - 11)))
        mask = np.arange(start, start + 4) < 11
        sums = metrics.merge(sums, {"psnr": metrics.masked_sum(batch, mask)})
    assert sums["psnr"][1] == 11
    assert metrics.means(sums)["psnr"] == pytest.approx(values.mean(), rel=1e-12)


def test_merge_keeps_every_name_and_changes_neither_argument():
    first, second = {"a": (1.0, 1.0), "b": (2.0, 1.0)}, {"b": (4.0, 2.0), "c": (8.0, 4.0)}
    merged = metrics.merge(first, second)
    assert merged == {"a": (1.0, 1.0), "b": (6.0, 3.0), "c": (8.0, 4.0)}
    assert first == {"a": (1.0, 1.0), "b": (2.0, 1.0)}
    assert second == {"b": (4.0, 2.0), "c": (8.0, 4.0)}


def test_merge_accumulates_in_float64():
    large, one = np.float32(2**24), np.float32(1.0)
    merged = metrics.merge({"x": (large, one)}, {"x": (one, one)})
    assert merged["x"][0] == 2**24 + 1


def test_nothing_counted_gives_nan():
    assert np.isnan(metrics.means({"psnr": (0.0, 0.0)})["psnr"])


def test_wrong_masks_are_refused():
    with pytest.raises(ValueError, match=r"values and mask must have the same shape"):
        metrics.masked_sum(np.ones((2, 2)), np.ones(2, bool))
    with pytest.raises(ValueError, match=r"mask must be boolean, got float64"):
        metrics.masked_sum(np.ones(2), np.ones(2))
