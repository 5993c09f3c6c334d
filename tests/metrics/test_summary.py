"""Metrics of many photos: pitfalls that make published numbers incomparable, and intervals."""

import numpy as np
import pytest
import skimage.color
from helpers.synthetic import synthetic_images

from colorjax import color, metrics
from colorjax.evaluate import protocols
from colorjax.metrics import picture, prediction, summary, table

PRIOR = np.full(313, 1 / 313)


def record(rgb, truth, prior=PRIOR):
    values = picture.Measurer(prior, compiled=False)(rgb, truth)
    return values | picture.measure_truth(truth)


def test_two_averages_of_psnr_and_gray_photos():
    """One average excludes the infinite PSNR of gray photos, the other includes their MSE of 0."""
    colorful = synthetic_images(2, 16, seed=2)
    near = np.clip(colorful[0].astype(int) + 1, 0, 255).astype(np.uint8)
    gray = color.gray_photo(colorful[1], "lightness")
    pairs = [(near, colorful[0]), (gray, colorful[1]), (gray, gray)]
    columns = summary.columns_of([record(*pair) for pair in pairs])
    measured = summary.summarize_rows({"row": columns}, None)["row"]["metrics"]
    squares = [np.square(a.astype(float) - b).mean() for a, b in pairs]
    by_photo = [10 * np.log10(255**2 / mse) for mse in squares[:2]]
    assert measured["psnr"]["mean"] == pytest.approx(np.mean(by_photo), abs=1e-3)
    of_mean = 10 * np.log10(255**2 / np.mean(squares))
    assert measured["psnr_of_mean_mse"]["mean"] == pytest.approx(of_mean, abs=1e-3)
    assert measured["psnr"]["mean"] - measured["psnr_of_mean_mse"]["mean"] > 3


def test_gray_photos_count_in_no_psnr_with_hints():
    """field.md 4a (9): gray photos painted gray would raise the hint curve above psnr."""
    truth = synthetic_images(1, 16, seed=2)[0]
    gray = color.gray_photo(truth, "lightness")
    records = [record(gray, truth), record(gray, gray)]
    for each in records:
        each["psnr_hints_0"] = each["psnr"]
    row = summary.summarize_rows({"row": summary.columns_of(records)}, None)["row"]
    assert row["metrics"]["psnr_hints_0"] == row["metrics"]["psnr"]
    assert row["perfect_photos"] == 1


def test_the_size_of_a_difference_of_means_has_no_interval():
    """If the true difference is 0, all resamples lie on one side of it."""
    pictures = [synthetic_images(1, 16, seed=seed)[0] for seed in range(4)]
    columns = summary.columns_of([record(p, p) for p in pictures])
    measured = summary.summarize_rows({"row": columns}, None)["row"]["metrics"]
    for name in ("delta_colorfulness", "delta_colorfulness_abs"):
        assert measured[name] == {"mean": 0, "interval": None, "num_photos": 4}
    assert measured["delta_colorfulness_by_photo"]["interval"] == [0, 0]


def test_two_formulas_of_colorfulness_and_three_deltas():
    """field.md 4a (1): signed and absolute opponents; 4.7: delta of means, mean of deltas."""
    rng = np.random.default_rng(4)
    truths = [rng.integers(0, 256, (16, 16, 3)).astype(np.uint8) for _ in range(2)]
    truths[1] //= 3
    pictures = truths[::-1]  # equal means, but every photo is wrong

    def opponents(rgb):
        red, green, blue = np.moveaxis(rgb.astype(float), -1, 0)
        return red - green, (red + green) / 2 - blue

    def strength(rg, yb):
        return np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())

    signed = [strength(*opponents(rgb)) for rgb in truths]
    absolute = [strength(*map(abs, opponents(rgb))) for rgb in truths]
    pairs = zip(pictures, truths, strict=True)
    columns = summary.columns_of([record(*pair) for pair in pairs])
    measured = summary.summarize_rows({"row": columns}, None)["row"]["metrics"]
    assert measured["colorfulness"]["mean"] == pytest.approx(np.mean(signed), rel=1e-4)
    assert measured["colorfulness_abs"]["mean"] == pytest.approx(np.mean(absolute), rel=1e-4)
    assert measured["delta_colorfulness"]["mean"] == pytest.approx(0, abs=1e-3)
    assert measured["delta_colorfulness_abs"]["mean"] == pytest.approx(0, abs=1e-3)
    by_photo = abs(signed[0] - signed[1])
    assert measured["delta_colorfulness_by_photo"]["mean"] == pytest.approx(by_photo, rel=1e-4)


def test_metrics_of_all_pixels_weigh_photos_by_their_pixels():
    truths = [synthetic_images(1, side, seed=side)[0] for side in (12, 36)]
    grays = [color.gray_photo(truth, "lightness") for truth in truths]
    columns = summary.columns_of([record(g, t) for g, t in zip(grays, truths, strict=True)])
    measured = summary.summarize_rows({"row": columns}, None)["row"]["metrics"]
    distances = [
        np.linalg.norm((color.rgb_u8_to_lab(t) - color.rgb_u8_to_lab(g))[..., 1:], axis=-1).ravel()
        for g, t in zip(grays, truths, strict=True)
    ]
    every = np.concatenate(distances)
    assert measured["rmse_ab_8bit"]["mean"] == pytest.approx(
        np.sqrt(np.square(every).mean()), rel=1e-4
    )
    auc = 1 - np.minimum(every, 150).mean() / 150
    assert measured["auc_8bit"]["mean"] == pytest.approx(auc, rel=1e-5)


def test_the_other_metrics():
    """Against scikit-image or NumPy, with photos of two sizes and a prior."""
    prior = np.arange(1, 314) / np.arange(1, 314).sum()
    truths = [synthetic_images(1, side, seed=side)[0] for side in (12, 36)]
    pictures = [np.roll(truth, 3, axis=1) for truth in truths]
    pairs = list(zip(pictures, truths, strict=True))
    columns = summary.columns_of([record(*pair, prior) for pair in pairs])
    measured = summary.summarize_rows({"row": columns}, None)["row"]["metrics"]
    labs = [[skimage.color.rgb2lab(each) for each in pair] for pair in pairs]
    wanted = {
        "delta_e_2000": np.mean([skimage.color.deltaE_ciede2000(t, p).mean() for p, t in labs]),
        "chroma_ratio_8bit": np.mean([np.hypot(p[..., 1], p[..., 2]).mean() for p, _ in labs])
        / np.mean([np.hypot(t[..., 1], t[..., 2]).mean() for _, t in labs]),
    }
    bins = np.asarray(color.ab_bins(), np.float64)
    right = weight = 0.0
    for p, t in labs:
        nearest = np.linalg.norm(t[..., None, 1:] - bins, axis=-1).argmin(-1)
        weights = 1 / prior[nearest]
        distance = np.linalg.norm((p - t)[..., 1:], axis=-1)
        right += (weights * (1 - np.minimum(distance, 150) / 150)).sum()
        weight += weights.sum()
    wanted["auc_rebalanced_8bit"] = right / weight
    for name, value in wanted.items():
        assert measured[name]["mean"] == pytest.approx(value, rel=2e-3), name
    for name, share in (("accuracy_2", 2), ("accuracy_5", 5)):
        own = np.mean([metrics.accuracy_within(p, t, share) for p, t in labs])
        assert measured[name]["mean"] == pytest.approx(own, abs=2e-3), name
    assert measured["accuracy_2"]["mean"] < measured["accuracy_5"]["mean"]


def test_a_chroma_ratio_needs_a_photo_with_color():
    """The same for predictions and finished pictures: gray photos add nothing to the divisor."""
    colorful = synthetic_images(1, 16, seed=2)[0]
    gray = color.gray_photo(colorful)
    ab = np.full((1, 16, 16, 2), 5, np.float32)

    def ratios(truths):
        sums: metrics.Sums = {}
        for truth in truths:
            lab = color.rgb_u8_to_lab(truth)
            one = prediction.measure(truth[None], np.ones(1, bool), lab[None], {"ab": ab})
            sums = metrics.merge(sums, one)
        pictures = summary.summarize_pictures([record(colorful, truth) for truth in truths])
        return summary.summarize(sums).get("chroma_ratio"), pictures.get("chroma_ratio_8bit")

    assert ratios([gray, gray]) == (None, None)
    true = np.hypot(*np.moveaxis(skimage.color.rgb2lab(colorful)[..., 1:], -1, 0)).mean()
    assert ratios([gray, colorful]) == pytest.approx((2 * 50**0.5 / true, 2), rel=1e-3)


def test_without_intervals_the_metrics_are_the_same():
    truths = [synthetic_images(1, side, seed=side)[0] for side in (12, 9)]  # one without ssim
    records = [record(np.roll(truth, 3, axis=1), truth) for truth in truths]
    metrics_of = summary.summarize_rows({"row": summary.columns_of(records)}, None)["row"][
        "metrics"
    ]
    assert metrics_of["ssim"]["num_photos"] == 1
    wanted = {name: each["mean"] for name, each in metrics_of.items()}
    assert summary.summarize_pictures(records) == pytest.approx(wanted, rel=1e-12)


def test_bootstrap_intervals():
    """Two photos of error 0 and 2: resampled means are 0, 1, 2 with shares 1/4, 1/2, 1/4."""
    truth = np.full((4, 4, 3), 90, np.uint8)
    base = picture.measure(truth, truth)

    def summarize(seed, **maes):
        rows = {
            name: summary.columns_of([base | {"mae_ab_8bit": float(value)} for value in values])
            for name, values in maes.items()
        }
        return summary.summarize_rows(rows, "a", seed=seed)

    both = summarize(0, a=[0, 2], b=[0.5, 2.5])
    of_a = both["a"]["metrics"]
    assert of_a["mae_ab_8bit"] == {"mean": 1, "interval": [0, 2], "num_photos": 2}
    difference = both["b"]["difference"]["mae_ab_8bit"]
    assert difference == {"mean": 0.5, "interval": [0.5, 0.5], "better": -1}
    assert not {"psnr", "chroma_ratio_8bit"} & of_a.keys()  # all photos are gray
    assert summarize(0, a=[0])["a"]["metrics"]["mae_ab_8bit"]["interval"] is None
    spread = summarize(1, a=np.random.default_rng(0).normal(0, 1, 400))
    low, high = spread["a"]["metrics"]["mae_ab_8bit"]["interval"]
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.15)  # of the normal distribution


def test_advantages_against_numpy():
    rng = np.random.default_rng(1)
    own = {"mae_ab": rng.uniform(5, 9, 300), "mse": rng.uniform(100, 300, 300)}
    other = {name: 2 * x for name, x in own.items()}
    gains = summary.paired_gains(own, {"twice": other})["twice"]
    assert gains["mae_ab"]["better_by"] == pytest.approx(own["mae_ab"].mean())
    assert gains["skill"]["better_by"] == pytest.approx(0.5)
    np.testing.assert_allclose(gains["skill"]["interval"], 0.5)
    assert gains["psnr_of_mean_mse"]["better_by"] == pytest.approx(10 * np.log10(2))
    low, high = gains["mae_ab"]["interval"]
    assert low < gains["mae_ab"]["better_by"] < high


def test_every_metric_of_a_result_is_defined():
    columns = summary.columns_of([record(*synthetic_images(2, 16)) for _ in range(2)])
    rows = summary.summarize_rows({"grey": columns, "per_lightness": columns}, "grey")
    assert set(rows["grey"]["metrics"]) <= set(table.OF_PICTURES)
    in_tables = {name for each in protocols.PROTOCOLS.values() for name in each.shown}
    assert in_tables <= set(rows["grey"]["metrics"])
    assert rows["per_lightness"]["skill"]["mean"] == 0
    differences = rows["per_lightness"]["difference"]
    assert all(each["mean"] == 0 and each["better"] == 0 for each in differences.values())


def test_reliability_of_levels_is_that_of_the_pixels():
    rng = np.random.default_rng(0)
    confidence = (rng.integers(10, 160, 9000) + 0.5) / 200  # one confidence in each level
    is_hit = rng.random(9000) < confidence**1.3
    level = (confidence * 200).astype(int)
    parts = []
    for photo in range(3):
        own = np.arange(9000) % 3 == photo
        weights = (np.ones(own.sum()), confidence[own], is_hit[own])
        parts.append({"confidences": [np.bincount(level[own], w, 200).tolist() for w in weights]})
    points = summary.reliability(parts)
    wanted = metrics.reliability_points(confidence, is_hit)
    np.testing.assert_allclose([p["confidence"] for p in points], wanted.confidence, atol=1e-6)
    np.testing.assert_allclose([p["accuracy"] for p in points], wanted.accuracy, atol=1e-6)
    assert summary.ece_of(points) == pytest.approx(metrics.ece(confidence, is_hit), abs=1e-6)
    assert summary.reliability([{}]) is None
