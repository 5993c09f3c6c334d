"""Computes all metrics of a prediction as sums over photos, and summarizes the sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from colorjax import color
from colorjax.metrics import intervals
from colorjax.metrics.accuracy import accuracy_within, accuracy_within_ab
from colorjax.metrics.auc import auc, auc_sums
from colorjax.metrics.delta_e import delta_e_2000
from colorjax.metrics.error import mae_ab, mae_rgb, mse, psnr, rmse_ab
from colorjax.metrics.likelihood import bits_per_pixel
from colorjax.metrics.structure import ssim
from colorjax.metrics.sums import Sums, masked_sum
from colorjax.metrics.sums import means as means_of
from colorjax.metrics.vividness import colorfulness, colorfulness_abs, mean_chroma

_SSIM_WINDOW = 11  # pixels


def painted(lab: jax.Array, ab: jax.Array) -> jax.Array:
    """Returns the uint8 sRGB picture with the lightness of `lab` (..., 1 or 3) and colors `ab`."""
    return color.lab_to_rgb_u8(jnp.concatenate([lab[..., :1], ab], axis=-1))


def measure(
    rgb_u8: jax.Array,
    mask: jax.Array,
    lab: jax.Array,
    outputs: dict[str, jax.Array],
    prior: np.ndarray | None = None,
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Compares predicted colors with the truth.

    Args:
        rgb_u8: (N, H, W, 3) uint8, the true photos.
        mask: (N,) bool; False for photos that do not count.
        lab: (N, H, W, 3) float32, the true photos in Lab.
        outputs: ab (N, H, W, 2) float32, the prediction in Lab units; lightness (N, H, W, 1) if the
            method predicts it too; bin_logits (N, h, w, 313) if the method predicts a
            distribution over bins.
        prior: (313,) share of each bin, for the rebalanced AuC; None: not computed.

    Returns:
        name -> (sum, count) over photos, for `merge` and `summarize`.
    """
    ab, true_ab = outputs["ab"], lab[..., 1:]
    rgb = painted(outputs.get("lightness", lab), ab)
    seen = color.rgb_u8_to_lab(rgb)
    exactly_grey = jnp.all(rgb_u8 == rgb_u8[..., :1], axis=(1, 2, 3))
    values = {
        "mae_ab": mae_ab(ab, true_ab),
        "squared_ab": jnp.square(rmse_ab(ab, true_ab)),
        "auc": auc(ab, true_ab),
        "mse": mse(rgb, rgb_u8),
        "mae_rgb": mae_rgb(rgb, rgb_u8),
        "delta_e_2000": delta_e_2000(seen, lab),
        "colorfulness": colorfulness(rgb),
        "colorfulness_abs": colorfulness_abs(rgb),
        "chroma": mean_chroma(ab),
        "true_chroma": mean_chroma(true_ab),
        "bias_a": jnp.mean(ab[..., 0] - true_ab[..., 0], axis=(1, 2)),
        "bias_b": jnp.mean(ab[..., 1] - true_ab[..., 1], axis=(1, 2)),
        "true_colorfulness": colorfulness(rgb_u8),
        "grey": exactly_grey.astype(jnp.float32),
    }
    for percent in (2, 5):
        values[f"accuracy_{percent}"] = accuracy_within(seen, lab, percent)
        values[f"accuracy_ab_{percent}"] = accuracy_within_ab(ab, true_ab, percent)
    if min(rgb_u8.shape[1:3]) >= _SSIM_WINDOW:
        values["ssim"] = ssim(rgb, rgb_u8)
    if "bin_logits" in outputs:
        logits = outputs["bin_logits"]
        every = lab.shape[1] // logits.shape[1]
        values["bits_per_pixel"] = bits_per_pixel(logits, true_ab[:, ::every, ::every])
    sums = {name: masked_sum(value, mask) for name, value in values.items()}
    sums["psnr"] = masked_sum(psnr(rgb, rgb_u8), mask & ~exactly_grey)
    if prior is not None:
        right, weight = auc_sums(ab, true_ab, prior)
        sums["auc_rebalanced"] = (
            masked_sum(right, mask)[0],
            masked_sum(weight, mask)[0],
        )
    return sums


def errors_of_photos(
    rgb_u8: jax.Array, lab: jax.Array, outputs: dict[str, jax.Array]
) -> dict[str, jax.Array]:
    """Returns each photo's mae_ab and mse, (N,), for intervals; arguments as of `measure`."""
    rgb = painted(outputs.get("lightness", lab), outputs["ab"])
    return {"mae_ab": mae_ab(outputs["ab"], lab[..., 1:]), "mse": mse(rgb, rgb_u8)}


def measure_scaled(
    ab: jax.Array, scaled_ab: jax.Array, mask: jax.Array
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Compares predicted colors with saturation-scaled targets, as `measure` does with the truth.

    Args:
        ab: (N, H, W, 2) float32, the prediction in Lab units.
        scaled_ab: the same, of the targets.
        mask: (N,) bool; False for photos that do not count.
    """
    values = {
        "mae_ab_scaled": mae_ab(ab, scaled_ab),
        "squared_ab_scaled": jnp.square(rmse_ab(ab, scaled_ab)),
    }
    return {name: masked_sum(value, mask) for name, value in values.items()}


# Metrics that are plain means over photos.
_MEANS = (
    "mae_ab",
    "auc",
    "auc_rebalanced",
    "psnr",
    "ssim",
    "delta_e_2000",
    "accuracy_2",
    "accuracy_5",
    "accuracy_ab_2",
    "accuracy_ab_5",
    "bits_per_pixel",
    "colorfulness",
    "colorfulness_abs",
    "top1",
    "mae_ab_scaled",
    "bias_a",
    "bias_b",
    "true_colorfulness",
    "mae_rgb",
    "feature_loss",
)


def summarize(sums: Sums) -> dict[str, float]:
    """Returns metrics from the sums of `measure`: means over photos, and functions of means.

    A metric without a value, such as psnr if all photos are gray, is omitted.
    """
    means = means_of(sums)
    kept = [name for name in means if name in _MEANS or name.startswith("psnr_hints_")]
    result = {name: means[name] for name in kept}
    result |= {
        "rmse_ab": means["squared_ab"] ** 0.5,
        "psnr_of_mean_mse": float(10 * np.log10(255**2 / max(means["mse"], 1e-10))),
        "chroma_ratio": means["chroma"] / max(means["true_chroma"], 1e-10),
    }
    if "squared_ab_scaled" in means:
        result["rmse_ab_scaled"] = means["squared_ab_scaled"] ** 0.5
    return {name: value for name, value in result.items() if np.isfinite(value)}


def measure_by_hue(
    rgb_u8: jax.Array,
    mask: jax.Array,
    lab: jax.Array,
    outputs: dict[str, jax.Array],
    hue_bin: jax.Array,
    num_hues: int,
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Returns the sums of two errors for each bin of the photos' mean hue; see `measure`.

    Args:
        rgb_u8: the true photos.
        mask: False for photos that do not count.
        lab: the true photos in Lab.
        outputs: the prediction.
        hue_bin: (N,) int32, in [0, num_hues).
        num_hues: number of bins.
    """
    values = errors_of_photos(rgb_u8, lab, outputs)
    return {
        f"hue_{number}/{name}": masked_sum(value, mask & (hue_bin == number))
        for number in range(num_hues)
        for name, value in values.items()
    }


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
                squares, lambda m: intervals.psnr_of(m["own"]) - intervals.psnr_of(m["other"])
            ),
            "skill": row(maes, lambda m: 1 - m["own"] / np.maximum(m["other"], 1e-10)),
        }
    return result


def summarize_hues(sums: Sums, num_hues: int) -> list[dict[str, Any]]:
    """Returns one row for each bin from the sums of `measure_by_hue`.

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
            squares = float(sums[f"hue_{number}/mse"][0]) / count
            row["mae_ab"] = total / count
            row["psnr_of_mean_mse"] = float(10 * np.log10(255**2 / max(squares, 1e-10)))
        rows.append(row)
    return rows
