"""Metrics of rows from per-photo values, with intervals, skill and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from colorjax.metrics import intervals
from colorjax.metrics.picture import Values
from colorjax.metrics.table import HIGHER, LOWER, SHOWN

Columns = dict[str, np.ndarray]  # name -> (P,) one number per photo; NaN does not count

_PSNR_CAP = 1e-10  # lowest MSE: a perfect picture counts as 148 dB


def metrics_of(m: Mapping[str, np.ndarray]) -> Columns:
    """Returns the metrics computed from means over photos.

    Args:
        m: name -> (S,) means over the photos of S samples.

    Returns:
        metric -> (S,); metrics without values are omitted.
    """
    means = ("mae_ab", "psnr", "ssim", "delta_e_2000", "auc", "colorfulness")
    means += ("colorfulness_abs", "delta_colorfulness_by_photo", "accuracy_2", "accuracy_5")
    means += ("bits_per_pixel", "lpips", "top1", "top5")
    metrics = {name: m[name] for name in means if name in m}
    metrics |= {name: m[name] for name in m if name.startswith("psnr_hints_")}
    metrics["mae_ab_127"] = m["mae_ab"] / 127.5
    # Weighted by pixels: photos of one size have equal weights.
    metrics["rmse_ab"] = np.sqrt(m["weighted_squared_ab"] / m["pixels"])
    metrics["auc"] = m["weighted_auc"] / m["pixels"]
    metrics["auc_rebalanced"] = m["auc_rebalanced"] / m["auc_weight"]
    metrics["psnr_of_mean_mse"] = intervals.psnr_of(m["mse"])
    true = m["true_chroma"]  # 0 if all photos are gray: no ratio
    metrics["chroma_ratio"] = np.where(true > 0, m["chroma"] / np.maximum(true, 1e-10), np.nan)
    for name in ("colorfulness", "colorfulness_abs"):
        metrics[f"delta_{name}"] = abs(m[name] - m[f"true_{name}"])
    return {name: np.asarray(value) for name, value in metrics.items() if np.isfinite(value[0])}


def columns_of(photos: Sequence[Mapping[str, Any]]) -> Columns:
    """Returns the records of photos as columns, including derived columns."""
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
        compared_with: the reference row of the differences; None: no differences.

    Returns:
        row -> {"metrics": {metric: {mean, interval}}, "skill": {mean, interval} if per_lightness
        is among the rows, "difference": metric -> {mean, interval, better}, except for the
        reference row}. All rows use the same resamples: differences are paired. `better`: 1
        (better) or -1 (worse) if the interval of the difference excludes 0, else 0.
    """
    number = len(next(iter(rows.values()))["mse"])
    counts = np.concatenate([np.ones((1, number), np.float32), intervals.draws(number)])
    metrics = {
        row: metrics_of(intervals.sample_means(columns, counts)) for row, columns in rows.items()
    }
    result: dict[str, dict[str, Any]] = {}
    for row, samples in metrics.items():
        about: dict[str, Any] = {
            "metrics": {name: _estimate(name, value, number) for name, value in samples.items()},
            "perfect_photos": int((rows[row]["mse"] <= _PSNR_CAP).sum()),
        }
        if "per_lightness" in metrics:
            table = np.maximum(metrics["per_lightness"]["mae_ab"], 1e-10)
            about["skill"] = intervals.estimate(1 - samples["mae_ab"] / table, number)
        if compared_with is not None and row != compared_with:
            other = metrics[compared_with]
            about["difference"] = {
                name: _judged(name, _estimate(name, samples[name] - other[name], number))
                for name in samples
                if name in other
            }
        result[row] = about
    return result


def _estimate(name: str, samples: np.ndarray, number: int) -> dict[str, Any]:
    """Same as `intervals.estimate`, but without an interval for |difference of means|.

    If the true difference is near 0, all resamples of |difference| lie on one side of it.
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
    """Returns the reliability diagram of the most likely bin; None without a distribution.

    Returns:
        For each tenth of confidence that has pixels: share of the pixels, mean confidence,
        accuracy (how often the most likely bin is the true one).
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
    """Returns means with intervals of per-photo values, and differences to a method.

    The intervals are percentiles over resamples of the photos, drawn with replacement. All methods
    use the same draws, so that differences are paired.

    Args:
        by_method: name -> `measure` of each photo, the same photos in the same order. The first
            name except "grey" is the reference.
        seed: of the resamples.

    Returns:
        name -> {"metrics": {metric: {mean, interval, num_photos}}, "difference": {metric: {mean,
        interval}}, or None for the reference}; an interval is (low, high), or None for fewer than
        two photos. A metric without values is omitted.
    """
    counts = _photo_draws(len(next(iter(by_method.values()))), seed)
    samples = {name: _method_means(values, counts) for name, values in by_method.items()}
    first = next((name for name in by_method if name != "grey"), "grey")
    result: dict[str, dict[str, Any]] = {}
    for name, means in samples.items():
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
                m: intervals.estimate(means[m] - samples[first][m], numbers[m]) for m in with_value
            },
        }
    return result


def _photo_draws(number: int, seed: int) -> np.ndarray:
    """Returns how often each photo is in each sample: (1 + RESAMPLES, N); row 0 is the data."""
    return np.concatenate([np.ones((1, number)), intervals.draws(number, seed=seed)])


def _method_means(values: Sequence[Values], counts: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the metrics of each sample of photos, (1 + RESAMPLES,); NaN without a value."""
    columns = {name: np.array([each[name] for each in values]) for name in values[0]}
    means = intervals.sample_means(columns, counts)
    means["psnr_of_mean_mse"] = intervals.psnr_of(means["mse"])
    true = means["true_chroma"]
    means["chroma_ratio"] = np.where(true > 0, means["chroma"] / np.maximum(true, 1e-10), np.nan)
    return means


def _num_photos(values: Sequence[Values], metric: str) -> int:
    return sum(metric not in each or bool(np.isfinite(each[metric])) for each in values)
