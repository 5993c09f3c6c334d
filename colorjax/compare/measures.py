"""Metrics of finished pictures, one row a photo, and their means with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from colorjax import color, metrics
from colorjax.metrics import intervals

# name -> (decimals, which way is better), in the order of the tables.
SHOWN = {
    "mae_ab": (2, "↓"),
    "delta_e_2000": (2, "↓"),
    "psnr": (2, "↑"),
    "psnr_of_mean_mse": (2, "↑"),
    "ssim": (3, "↑"),
    "colorfulness": (1, ""),
    "chroma_ratio": (2, ""),
    "accuracy_2": (3, "↑"),
    "accuracy_5": (3, "↑"),
}
PROTOCOL = (
    "finished 8-bit sRGB pictures against the true photos, both at the photo's own size, each "
    "method at its own working size; every method sees the photo's lightness (L of CIE Lab, D65) "
    "as an 8-bit grey photo, pictures made elsewhere saw what they saw; values of each photo, then "
    "means over photos; psnr leaves exactly grey photos out, ssim (11x11 Gaussian) those with a "
    "side under 11 px; psnr_of_mean_mse and chroma_ratio (mean chroma, predicted / true) of means "
    "over photos; L counts in accuracy_2 and accuracy_5"
)
_WINDOW = 11  # pixels, of ssim

Values = dict[str, float]


def measure(rgb: np.ndarray, truth: np.ndarray) -> Values:
    """Compares a picture with the true photo.

    Args:
        rgb: (H, W, 3) uint8.
        truth: the same shape.

    Returns:
        The metrics of one photo and, for what follows from means, mse, chroma, true_chroma,
        true_colorfulness and is_grey; NaN for what does not count.
    """
    lab, true_lab = color.rgb_u8_to_lab(rgb), color.rgb_u8_to_lab(truth)
    is_grey = bool(np.all(truth == truth[..., :1]))
    values = {
        "mae_ab": metrics.mae_ab(lab[..., 1:], true_lab[..., 1:]),
        "delta_e_2000": metrics.delta_e_2000(lab, true_lab),
        "psnr": np.nan if is_grey else metrics.psnr(rgb, truth),
        "mse": metrics.mse(rgb, truth),
        "ssim": metrics.ssim(rgb, truth) if min(truth.shape[:2]) >= _WINDOW else np.nan,
        "colorfulness": metrics.colorfulness(rgb),
        "chroma": metrics.mean_chroma(lab[..., 1:]),
        # Rounding gives grey a chroma of up to 0.005, which nothing may be divided by.
        "true_chroma": 0.0 if is_grey else metrics.mean_chroma(true_lab[..., 1:]),
        "accuracy_2": metrics.accuracy_within(lab, true_lab, 2),
        "accuracy_5": metrics.accuracy_within(lab, true_lab, 5),
        "true_colorfulness": metrics.colorfulness(truth),
        "is_grey": is_grey,
    }
    return {name: float(value) for name, value in values.items()}


def summarize(by_method: Mapping[str, Sequence[Values]], seed: int) -> dict[str, dict[str, Any]]:
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
    counts = _draws(len(next(iter(by_method.values()))), seed)
    found = {name: _means(values, counts) for name, values in by_method.items()}
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


def _draws(number: int, seed: int) -> np.ndarray:
    """Counts how often each photo is in each sample: (1 + RESAMPLES, N); row 0 is the data."""
    return np.concatenate([np.ones((1, number)), intervals.draws(number, seed=seed)])


def _means(values: Sequence[Values], counts: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the metrics of each sample of photos, (1 + RESAMPLES,); NaN where there is none."""
    columns = {name: np.array([each[name] for each in values]) for name in values[0]}
    means = intervals.sample_means(columns, counts)
    means["psnr_of_mean_mse"] = intervals.psnr_of(means["mse"])
    true = means["true_chroma"]
    means["chroma_ratio"] = np.where(true > 0, means["chroma"] / np.maximum(true, 1e-10), np.nan)
    return means


def _num_photos(values: Sequence[Values], metric: str) -> int:
    return sum(metric not in each or bool(np.isfinite(each[metric])) for each in values)
