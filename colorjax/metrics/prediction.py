"""Metrics of predicted colors, a batch at a time: masked sums that merge over batches."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from colorjax import color
from colorjax.metrics import table
from colorjax.metrics.accuracy import accuracy_within_ab
from colorjax.metrics.error import mae_ab, mse, rmse_ab
from colorjax.metrics.likelihood import bits_per_pixel
from colorjax.metrics.picture import ab_values, picture_values, truth_values
from colorjax.metrics.sums import masked_sum

MaskedSums = dict[str, tuple[jax.Array, jax.Array]]  # name -> (sum, count) over photos


def painted(lab: jax.Array, ab: jax.Array) -> jax.Array:
    """Returns the uint8 sRGB picture with the lightness of `lab` (..., 1 or 3) and colors `ab`."""
    return color.lab_to_rgb_u8(jnp.concatenate([lab[..., :1], ab], axis=-1))


def measure(
    rgb_u8: jax.Array,
    mask: jax.Array,
    lab: jax.Array,
    outputs: dict[str, jax.Array],
    prior: np.ndarray | None = None,
) -> MaskedSums:
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
        name -> (sum, count) over photos, for `merge` and `summary.metrics_of`.
    """
    ab, true_ab = outputs["ab"], lab[..., 1:]
    rgb = painted(outputs.get("lightness", lab), ab)
    values = (
        ab_values(ab, true_ab, prior)
        | picture_values(rgb, rgb_u8, color.rgb_u8_to_lab(rgb), lab)
        | truth_values(rgb_u8, lab)
        | {
            "bias_a": jnp.mean(ab[..., 0] - true_ab[..., 0], axis=(1, 2)),
            "bias_b": jnp.mean(ab[..., 1] - true_ab[..., 1], axis=(1, 2)),
            "accuracy_ab_2": accuracy_within_ab(ab, true_ab, 2),
            "accuracy_ab_5": accuracy_within_ab(ab, true_ab, 5),
        }
    )
    if "bin_logits" in outputs:
        logits = outputs["bin_logits"]
        every = lab.shape[1] // logits.shape[1]
        values["bits_per_pixel"] = bits_per_pixel(logits, true_ab[:, ::every, ::every])
    colored = mask & (values["is_gray"] == 0)
    return {
        name: masked_sum(value, colored if table.excludes_gray(name) else mask)
        for name, value in values.items()
    }


def errors_of_photos(
    rgb_u8: jax.Array, lab: jax.Array, outputs: dict[str, jax.Array]
) -> dict[str, jax.Array]:
    """Returns each photo's mae_ab and mse, (N,), for intervals; arguments as of `measure`."""
    rgb = painted(outputs.get("lightness", lab), outputs["ab"])
    return {"mae_ab": mae_ab(outputs["ab"], lab[..., 1:]), "mse": mse(rgb, rgb_u8)}


def measure_scaled(ab: jax.Array, scaled_ab: jax.Array, mask: jax.Array) -> MaskedSums:
    """Compares predicted colors with saturation-scaled targets, as `measure` does with the truth.

    Args:
        ab: (N, H, W, 2) float32, the prediction in Lab units.
        scaled_ab: the same, of the targets.
        mask: (N,) bool; False for photos that do not count.
    """
    values = {
        "mae_ab_scaled": mae_ab(ab, scaled_ab),
        "squared_ab_scaled": rmse_ab(ab, scaled_ab) ** 2,
    }
    return {name: masked_sum(value, mask) for name, value in values.items()}


def measure_by_hue(
    rgb_u8: jax.Array,
    mask: jax.Array,
    lab: jax.Array,
    outputs: dict[str, jax.Array],
    hue_bin: jax.Array,
    num_hues: int,
) -> MaskedSums:
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
