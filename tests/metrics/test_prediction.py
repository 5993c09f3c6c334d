"""Metrics of predicted colors, as sums over batches."""

import numpy as np
import pytest
from helpers.synthetic import synthetic_images

from colorjax import color, metrics
from colorjax.data import prior
from colorjax.metrics import prediction as predictions
from colorjax.metrics import summary

RGB = np.stack([*synthetic_images(5, 32, seed=1), np.full((32, 32, 3), 90, np.uint8)])
LAB = color.rgb_u8_to_lab(RGB)
MASK = np.array([True, True, True, True, False, True])
PRIOR = prior.load("")


@pytest.fixture(scope="module")
def prediction():
    noise = np.random.default_rng(0).normal(0, 12, (6, 32, 32, 2)).astype(np.float32)
    logits = np.random.default_rng(1).normal(0, 2, (6, 8, 8, 313)).astype(np.float32)
    return {"ab": LAB[..., 1:] + noise, "bin_logits": logits}


def measured(rows, prediction):
    parts = {name: value[rows] for name, value in prediction.items()}
    return predictions.measure(RGB[rows], MASK[rows], LAB[rows], parts, PRIOR)


def test_measures_are_those_of_the_metrics(prediction):
    actual = summary.summarize(metrics.merge({}, measured(slice(0, 6), prediction)))
    ab, truth = prediction["ab"][MASK], LAB[MASK]
    painted = color.lab_to_rgb_u8(np.concatenate([truth[..., :1], ab], -1))
    seen = color.rgb_u8_to_lab(painted)
    counted = np.array([0, 1, 2, 3, 5])
    distance = np.linalg.norm(ab - truth[..., 1:], axis=-1)
    weight = 1 / PRIOR[color.nearest_bin(truth[..., 1:])]
    right = 1 - np.minimum(distance, 150) / 150
    wanted = {
        "mae_ab": np.abs(ab - truth[..., 1:]).mean(),
        "rmse_ab": np.sqrt((distance**2).mean()),
        "auc": right.mean(),
        "auc_rebalanced": (right * weight).sum() / weight.sum(),
        "delta_e_2000": metrics.delta_e_2000(seen, truth).mean(),
        "accuracy_5": metrics.accuracy_within(seen, truth, 5).mean(),
        "accuracy_ab_2": metrics.accuracy_within_ab(ab, truth[..., 1:], 2).mean(),
        "colorfulness_abs": metrics.colorfulness_abs(painted).mean(),
        "chroma_ratio": np.linalg.norm(ab, axis=-1).mean()
        / np.linalg.norm(truth[..., 1:], axis=-1).mean(),
        "psnr": metrics.psnr(painted, RGB[MASK])[:4].mean(),  # excludes the gray photo
    }
    logits = prediction["bin_logits"][counted].astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    bins = color.nearest_bin(truth[:, ::4, ::4, 1:])
    wanted["bits_per_pixel"] = -np.log2(np.take_along_axis(shares, bins[..., None], -1)).mean()
    assert {name: actual[name] for name in wanted} == pytest.approx(wanted, rel=2e-4)


def test_sums_merge_to_the_same_for_any_batches(prediction):
    whole = metrics.merge({}, measured(slice(0, 6), prediction))
    parts = metrics.merge(measured(slice(0, 2), prediction), measured(slice(2, 6), prediction))
    assert summary.summarize(parts) == pytest.approx(summary.summarize(whole), rel=1e-5)


def test_no_logits_no_bits_and_no_prior_no_rebalanced_auc(prediction):
    sums = predictions.measure(RGB, MASK, LAB, {"ab": prediction["ab"]})
    assert not {"bits_per_pixel", "auc_rebalanced"} & sums.keys()


def test_errors_by_hue():
    """Two photos of one bin, one of another, and one that does not count."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (4, 12, 12, 3), dtype=np.uint8)
    lab = color.rgb_u8_to_lab(rgb)
    ab = lab[..., 1:] + np.array([1, 2, 3, 4], np.float32).reshape(4, 1, 1, 1)
    sums = predictions.measure_by_hue(
        rgb, np.array([1, 1, 1, 0], bool), lab, {"ab": ab}, np.array([0, 2, 2, 2]), 3
    )
    rows = summary.summarize_hues(sums, 3)
    assert [row["num_images"] for row in rows] == [1, 0, 2]
    assert [row["from"] for row in rows] == pytest.approx([0, 1 / 3, 2 / 3])
    assert rows[0]["mae_ab"] == pytest.approx(1, abs=1e-4)
    assert rows[2]["mae_ab"] == pytest.approx(2.5, abs=1e-4)
    assert "mae_ab" not in rows[1]
