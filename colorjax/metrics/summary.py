"""From numbers of photos to metrics of rows, with intervals, skill and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from colorjax.metrics import intervals
from colorjax.metrics.picture import Values
from colorjax.metrics.table import HIGHER, LOWER, SHOWN

Columns = dict[str, np.ndarray]  # name -> (P,) one number a photo; NaN: it does not count

_PSNR_CAP = 1e-10  # of an MSE: a perfect picture counts as 148 dB


def metrics_of(m: Mapping[str, np.ndarray]) -> Columns:
    """Computes the metrics from means over photos.

    Args:
        m: name -> (S,) means over the photos of S samples.

    Returns:
        metric -> (S,); what photos have no values of is left out.
    """
    as_they_are = ("mae_ab", "psnr", "ssim", "delta_e_2000", "auc", "colorfulness")
    as_they_are += ("colorfulness_abs", "delta_colorfulness_by_photo", "accuracy_2", "accuracy_5")
    as_they_are += ("bits_per_pixel", "lpips", "top1", "top5")
    found = {name: m[name] for name in as_they_are if name in m}
    found |= {name: m[name] for name in m if name.startswith("psnr_hints_")}
    found["mae_ab_127"] = m["mae_ab"] / 127.5
    # All photos of a suite with one size weigh alike; of others each pixel does.
    found["rmse_ab"] = np.sqrt(m["weighted_squared_ab"] / m["pixels"])
    found["auc"] = m["weighted_auc"] / m["pixels"]
    found["auc_rebalanced"] = m["auc_rebalanced"] / m["auc_weight"]
    found["psnr_of_mean_mse"] = intervals.psnr_of(m["mse"])
    true = m["true_chroma"]  # 0 where all photos are grey: nothing to compare with
    found["chroma_ratio"] = np.where(true > 0, m["chroma"] / np.maximum(true, 1e-10), np.nan)
    for name in ("colorfulness", "colorfulness_abs"):
        found[f"delta_{name}"] = abs(m[name] - m[f"true_{name}"])
    return {name: np.asarray(value) for name, value in found.items() if np.isfinite(value[0])}


def columns_of(photos: Sequence[Mapping[str, Any]]) -> Columns:
    """Turns the records of photos into columns, with those that follow from several."""
    names = {k for each in photos for k, value in each.items() if isinstance(value, int | float)}
    columns = {
        name: np.array([each.get(name, np.nan) for each in photos], np.float64)
        for name in sorted(names)
    }
    mse = np.maximum(columns["mse"], _PSNR_CAP)
    columns["psnr"] = np.where(columns["is_grey"] > 0, np.nan, intervals.psnr_of(mse))
    columns["weighted_squared_ab"] = columns["squared_ab"] * columns["pixels"]
    columns["weighted_auc"] = columns["auc"] * columns["pixels"]
    for name in columns:
        if name.startswith("psnr_hints_"):
            columns[name] = np.where(columns["is_grey"] > 0, np.nan, columns[name])
    off = abs(columns["colorfulness"] - columns["true_colorfulness"])
    return columns | {"delta_colorfulness_by_photo": off}


def summarize(rows: Mapping[str, Columns], compared_with: str | None) -> dict[str, dict[str, Any]]:
    """Returns the metrics of every row with 95 % bootstrap intervals over photos.

    Args:
        rows: row -> columns of the same photos in one order.
        compared_with: the row that differences are to; None: no differences.

    Returns:
        row -> {"metrics": {metric: {mean, interval}}, "skill": {mean, interval} where
        per_lightness is among the rows, "difference": metric -> {mean, interval, better}, for all
        rows but that one}. All rows are resampled alike: differences are paired. `better` says
        which way a difference whose interval leaves 0 out points: 1, -1, or 0.
    """
    number = len(next(iter(rows.values()))["mse"])
    counts = np.concatenate([np.ones((1, number), np.float32), intervals.draws(number)])
    found = {
        row: metrics_of(intervals.sample_means(columns, counts)) for row, columns in rows.items()
    }
    result: dict[str, dict[str, Any]] = {}
    for row, samples in found.items():
        about: dict[str, Any] = {
            "metrics": {name: _estimate(name, value, number) for name, value in samples.items()},
            "perfect_photos": int((rows[row]["mse"] <= _PSNR_CAP).sum()),
        }
        if "per_lightness" in found:
            table = np.maximum(found["per_lightness"]["mae_ab"], 1e-10)
            about["skill"] = intervals.estimate(1 - samples["mae_ab"] / table, number)
        if compared_with is not None and row != compared_with:
            other = found[compared_with]
            about["difference"] = {
                name: _judged(name, _estimate(name, samples[name] - other[name], number))
                for name in samples
                if name in other
            }
        result[row] = about
    return result


def _estimate(name: str, samples: np.ndarray, number: int) -> dict[str, Any]:
    """As `intervals.estimate`; the size of a difference of means has no percentile interval.

    Resamples of |difference| lie to one side of it where the true one is near 0.
    """
    if name in ("delta_colorfulness", "delta_colorfulness_abs"):
        return {"mean": float(samples[0]), "interval": None}
    return intervals.estimate(samples, number)


def _judged(name: str, difference: dict[str, Any]) -> dict[str, Any]:
    low, high = difference["interval"] or (0, 0)
    points = 1 if low > 0 else -1 if high < 0 else 0
    sign = 1 if name in HIGHER or name.startswith("psnr_hints_") else -1 if name in LOWER else 0
    return difference | {"better": points * sign}


def reliability(photos: Sequence[Mapping[str, Any]]) -> list[dict[str, float]] | None:
    """Adds up the reliability diagram of the likeliest bin; None without a distribution.

    Returns:
        For each tenth of confidence that has pixels: share of the pixels, confidence (its mean),
        accuracy (how often the likeliest bin is the true one).
    """
    parts = [each["confidences"] for each in photos if "confidences" in each]
    if not parts:
        return None
    numbers, sums, hits = np.sum(parts, axis=0)
    return [
        {
            "share": float(numbers[k] / numbers.sum()),
            "confidence": float(sums[k] / numbers[k]),
            "accuracy": float(hits[k] / numbers[k]),
        }
        for k in range(len(numbers))
        if numbers[k]
    ]


def summarize_methods(
    by_method: Mapping[str, Sequence[Values]], seed: int
) -> dict[str, dict[str, Any]]:
    """Turns values of photos into means with intervals, and differences to a method.

    The intervals are percentiles over resamples of the photos, drawn with replacement, the same
    draws for every method, so that differences are paired.

    Args:
        by_method: name -> `measure` of each photo, of the same photos in one order; "grey" may be
            among them; the first other one is what the others are compared with.
        seed: of the resamples.

    Returns:
        name -> {"metrics": {metric: {mean, interval, num_photos}}, "difference": {metric: {mean,
        interval}}, or None for the method compared with}; an interval is (low, high), or None of
        fewer than two photos. A metric that no photo has a value of is left out.
    """
    counts = _photo_draws(len(next(iter(by_method.values()))), seed)
    found = {name: _method_means(values, counts) for name, values in by_method.items()}
    first = next((name for name in by_method if name != "grey"), "grey")
    result: dict[str, dict[str, Any]] = {}
    for name, means in found.items():
        numbers = {metric: _num_photos(by_method[name], metric) for metric in SHOWN}
        with_value = [metric for metric in SHOWN if np.isfinite(means[metric][0])]
        result[name] = {
            "metrics": {
                metric: intervals.estimate(means[metric], numbers[metric])
                | {"num_photos": numbers[metric]}
                for metric in with_value
            },
            "difference": None
            if name == first
            else {
                m: intervals.estimate(means[m] - found[first][m], numbers[m]) for m in with_value
            },
        }
    return result


def _photo_draws(number: int, seed: int) -> np.ndarray:
    """Counts how often each photo is in each sample: (1 + RESAMPLES, N); row 0 is the data."""
    return np.concatenate([np.ones((1, number)), intervals.draws(number, seed=seed)])


def _method_means(values: Sequence[Values], counts: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the metrics of each sample of photos, (1 + RESAMPLES,); NaN where there is none."""
    columns = {name: np.array([each[name] for each in values]) for name in values[0]}
    means = intervals.sample_means(columns, counts)
    means["psnr_of_mean_mse"] = intervals.psnr_of(means["mse"])
    true = means["true_chroma"]
    means["chroma_ratio"] = np.where(true > 0, means["chroma"] / np.maximum(true, 1e-10), np.nan)
    return means


def _num_photos(values: Sequence[Values], metric: str) -> int:
    return sum(metric not in each or bool(np.isfinite(each[metric])) for each in values)
