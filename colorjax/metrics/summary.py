"""Metrics of many photos: from sums over photos to values, intervals and paired differences.

The metrics of predictions (`summarize`, from the masked sums of `prediction`) and those of finished
pictures (`summarize_rows`, from the records of `picture`) are computed by `metrics_of`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from colorjax.metrics import intervals, table
from colorjax.metrics.calibration import ECE_BINS
from colorjax.metrics.error import SMALLEST_MSE, psnr_of_mse
from colorjax.metrics.sums import Sums

# name -> (P, 2): of each photo its value times its weight, and its weight; 0, 0 does not count.
Columns = dict[str, np.ndarray]

_BY_PIXELS = ("squared_ab_8bit", "auc_8bit")  # over all pixels of all photos


def metrics_of(sums: Mapping[str, tuple[Any, Any]]) -> dict[str, np.ndarray]:
    """Returns all metrics of the sums over a set of photos; no other function derives metrics.

    Args:
        sums: name -> (sum of weighted values, sum of weights), scalars, or (S,) for S samples of
            the photos.

    Returns:
        metric -> scalar or (S,); NaN without a value, such as chroma_ratio if all photos are gray.
    """
    totals = {name: np.asarray(total, np.float64) for name, (total, _) in sums.items()}
    means = {name: _ratio(total, count) for name, (total, count) in sums.items()}
    result = dict(means)
    for kind in ("", "_8bit", "_scaled"):
        if f"squared_ab{kind}" in means:
            result[f"rmse_ab{kind}"] = np.sqrt(means[f"squared_ab{kind}"])
        if f"chroma{kind}" in totals:
            result[f"chroma_ratio{kind}"] = _ratio(totals[f"chroma{kind}"], totals["true_chroma"])
        if f"auc_weight{kind}" in totals:
            result[f"auc_rebalanced{kind}"] = _ratio(
                totals[f"auc_rebalanced{kind}"], totals[f"auc_weight{kind}"]
            )
    result["psnr_of_mean_mse"] = psnr_of_mse(means["mse"])
    if "mae_ab_8bit" in means:
        result["mae_ab_127"] = means["mae_ab_8bit"] / 127.5
    for name in ("colorfulness", "colorfulness_abs"):
        result[f"delta_{name}"] = abs(means[name] - means[f"true_{name}"])
    return result


def _ratio(total: Any, weight: Any) -> np.ndarray:
    """Returns total / weight; NaN where the weight is 0."""
    total, weight = np.asarray(total, np.float64), np.asarray(weight, np.float64)
    return np.where(weight > 0, total / np.where(weight > 0, weight, 1), np.nan)


def summarize(sums: Sums) -> dict[str, float]:
    """Returns the metrics of predictions from the sums of `prediction.measure`.

    A metric without a value, such as psnr if all photos are gray, is omitted.
    """
    return {
        name: float(value)
        for name, value in metrics_of(sums).items()
        if table.of_predictions(name) and np.isfinite(value)
    }


def columns_of(photos: Sequence[Mapping[str, Any]]) -> Columns:
    """Returns the records of `picture.measure` as columns; other numbers are plain means."""
    names = {k for each in photos for k, value in each.items() if isinstance(value, int | float)}
    values = {
        name: np.array([each.get(name, np.nan) for each in photos], np.float64)
        for name in sorted(names)
    }
    values["delta_colorfulness_by_photo"] = abs(
        values["colorfulness"] - values["true_colorfulness"]
    )
    columns = {}
    for name, column in values.items():
        counts = np.isfinite(column)
        if table.excludes_gray(name):
            counts &= values["is_gray"] == 0
        weights = counts * values["pixels"] if name in _BY_PIXELS else counts.astype(np.float64)
        columns[name] = np.stack([np.where(counts, column * weights, 0), weights], axis=-1)
    return columns


def summarize_pictures(photos: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Returns the metrics of the records of `picture.measure`, without intervals."""
    columns = columns_of(photos)
    metrics = metrics_of({name: tuple(column.sum(axis=0)) for name, column in columns.items()})
    return {
        name: float(value)
        for name, value in metrics.items()
        if table.of_pictures(name) and np.isfinite(value)
    }


def summarize_rows(
    rows: Mapping[str, Columns], compared_with: str | None, *, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Returns the metrics of every row with 95 % bootstrap intervals over photos.

    Args:
        rows: row -> columns of the same photos in one order.
        compared_with: the reference row of the differences; None: no differences.
        seed: of the resamples.

    Returns:
        row -> {"metrics": {metric: {mean, interval, num_photos}}, "skill": {mean, interval} if
        per_lightness is among the rows, "difference": metric -> {mean, interval, better}, except
        for the reference row}. All rows use the same resamples: differences are paired. An interval
        is None for fewer than two photos. `better`: 1 (better) or -1 (worse) if the interval of the
        difference excludes 0, else 0. A metric without a value is omitted.
    """
    number = len(next(iter(rows.values()))["mse"])
    draws = intervals.draws(number, seed=seed)
    counts = np.concatenate([np.ones((1, number), np.float32), draws])
    metrics = {row: _samples(columns, counts) for row, columns in rows.items()}
    result: dict[str, dict[str, Any]] = {}
    for row, samples in metrics.items():
        columns = rows[row]
        numbers = {
            name: int((columns[name][:, 1] > 0).sum()) if name in columns else number
            for name in samples
        }
        about: dict[str, Any] = {
            "metrics": {
                name: _estimate(name, value, numbers[name]) | {"num_photos": numbers[name]}
                for name, value in samples.items()
            },
            "perfect_photos": int((columns["mse"][:, 0] <= SMALLEST_MSE).sum()),
        }
        if "per_lightness" in metrics:
            of_table = np.maximum(metrics["per_lightness"]["mae_ab_8bit"], 1e-10)
            about["skill"] = intervals.estimate(1 - samples["mae_ab_8bit"] / of_table, number)
        if compared_with is not None and row != compared_with:
            other = metrics[compared_with]
            about["difference"] = {
                name: _judged(name, _estimate(name, samples[name] - other[name], numbers[name]))
                for name in samples
                if name in other
            }
        result[row] = about
    return result


def _samples(columns: Columns, counts: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the metrics of each sample of photos, (S,), that have a value for all photos.

    Args:
        columns: of the photos.
        counts: (S, P), how often each photo is in each sample; the first: all photos once.
    """
    sums = {name: tuple((counts @ column).T) for name, column in columns.items()}
    return {
        name: value
        for name, value in metrics_of(sums).items()  # pyrefly: ignore
        if table.of_pictures(name) and np.isfinite(value[0])
    }


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
    return difference | {"better": points * table.metric(name).better}


def paired_gains(
    errors: Mapping[str, np.ndarray], others: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, dict[str, Any]]:
    """Compares a method with others on the same photos, by paired bootstrap.

    Args:
        errors: mae_ab and mse of each photo, (P,), of the method.
        others: name -> the same of other predictors.

    Returns:
        name -> for mae_ab and psnr_of_mean_mse: by how much the method is better, and the 95 %
        interval [low, high]; the same for `skill`, 1 - mae_ab / mae_ab of the other.
    """

    def row(columns: Mapping[str, np.ndarray], statistic: intervals.Statistic) -> dict[str, Any]:
        values = {name: np.asarray(x, np.float64) for name, x in columns.items()}
        means = {name: np.array([x.mean()]) for name, x in values.items()}
        interval = intervals.bootstrap(values, statistic)
        return {"better_by": float(statistic(means)[0]), "interval": list(interval)}

    result = {}
    for name, other in others.items():
        maes = {"own": errors["mae_ab"], "other": other["mae_ab"]}
        squares = {"own": errors["mse"], "other": other["mse"]}
        result[name] = {
            "mae_ab": row(maes, lambda m: m["other"] - m["own"]),
            "psnr_of_mean_mse": row(
                squares, lambda m: psnr_of_mse(m["own"]) - psnr_of_mse(m["other"])
            ),
            "skill": row(maes, lambda m: 1 - m["own"] / np.maximum(m["other"], 1e-10)),
        }
    return result


def summarize_hues(sums: Sums, num_hues: int) -> list[dict[str, Any]]:
    """Returns one row for each bin from the sums of `prediction.measure_by_hue`.

    Returns:
        from and to (hue in [0, 1]), num_images and, if there are images, mae_ab and
        psnr_of_mean_mse.
    """
    rows = []
    for number in range(num_hues):
        total, count = (float(x) for x in sums[f"hue_{number}/mae_ab"])
        row = {
            "from": number / num_hues,
            "to": (number + 1) / num_hues,
            "num_images": int(count),
        }
        if count:
            mean_mse = np.asarray(float(sums[f"hue_{number}/mse"][0]) / count)
            row["mae_ab"] = total / count
            row["psnr_of_mean_mse"] = float(psnr_of_mse(mean_mse))
        rows.append(row)
    return rows


def reliability(photos: Sequence[Mapping[str, Any]]) -> list[dict[str, float]] | None:
    """Returns the reliability diagram of the most likely bin; None without a distribution.

    The points have equal numbers of pixels, as in `calibration.reliability_points`. The pixels are
    known by levels of confidence; within a level all count alike.

    Returns:
        For each point: share of the pixels, mean confidence, accuracy (how often the most likely
        bin is the true one).
    """
    parts = [each["confidences"] for each in photos if "confidences" in each]
    if not parts:
        return None
    sums = np.asarray(parts, np.float64).sum(axis=0)
    sums = np.pad(np.cumsum(sums[:, sums[0] > 0], axis=-1), ((0, 0), (1, 0)))
    edges = np.linspace(0, sums[0, -1], ECE_BINS + 1)
    numbers, confidences, hits = (np.diff(np.interp(edges, sums[0], each)) for each in sums)
    return [
        {
            "share": float(number / numbers.sum()),
            "confidence": float(confidence / number),
            "accuracy": float(hit / number),
        }
        for number, confidence, hit in zip(numbers, confidences, hits, strict=True)
    ]


def ece_of(points: Sequence[Mapping[str, float]]) -> float:
    """Returns the calibration error of a result of `reliability`, see `metrics.ece`."""
    return float(sum(p["share"] * abs(p["accuracy"] - p["confidence"]) for p in points))
