"""Metrics of a single photo, as values that can be averaged over photos."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from colorjax import color, metrics
from colorjax.color.arrays import Array

_SSIM_WINDOW = 11  # pixels
_HUES = 36  # bins of the hue histogram
_LEAST_CHROMA = 5.0  # Lab units; pixels below it have no hue


def values_of(rgb: Array, truth: Array, prior: np.ndarray) -> dict[str, Array]:
    """Compares a finished picture with the true photo.

    Args:
        rgb: (H, W, 3) uint8.
        truth: the same shape.
        prior: (313,) share of each bin, for the rebalanced AuC.

    Returns:
        name -> scalar, and hues: (36,), the chroma of the picture's pixels by their hue in ab.
    """
    lab, true_lab = color.rgb_u8_to_lab(rgb), color.rgb_u8_to_lab(truth)
    ab, true_ab = lab[..., 1:], true_lab[..., 1:]
    is_jax = isinstance(rgb, jax.Array)
    right, weight = metrics.auc_sums(ab, true_ab, prior)
    chroma = metrics.mean_chroma(ab)
    values = {
        "mae_ab": metrics.mae_ab(ab, true_ab),
        "squared_ab": metrics.rmse_ab(ab, true_ab) ** 2,
        "mse": metrics.mse(rgb, truth),
        "delta_e_2000": metrics.delta_e_2000(lab, true_lab),
        "colorfulness": metrics.colorfulness(rgb),
        "colorfulness_abs": metrics.colorfulness_abs(rgb),
        "chroma": chroma,
        "auc": metrics.auc(ab, true_ab),
        "auc_rebalanced": right,
        "auc_weight": weight,
        "accuracy_2": metrics.accuracy_within(lab, true_lab, 2),
        "accuracy_5": metrics.accuracy_within(lab, true_lab, 5),
        "hues": hues_of(ab, jnp if is_jax else np),
    }
    if min(rgb.shape[:2]) >= _SSIM_WINDOW:
        values["ssim"] = metrics.ssim(rgb, truth)
    return values


def truth_of(truth: np.ndarray) -> dict[str, Any]:
    """Returns the statistics of a true photo: colorfulness, chroma, hues, whether it is gray."""
    ab = color.rgb_u8_to_lab(truth)[..., 1:]
    is_grey = bool(np.all(truth == truth[..., :1]))
    return {
        "true_colorfulness": float(metrics.colorfulness(truth)),
        "true_colorfulness_abs": float(metrics.colorfulness_abs(truth)),
        # Rounding gives gray a chroma of up to 0.005, which must not be a divisor.
        "true_chroma": 0.0 if is_grey else float(metrics.mean_chroma(ab)),
        "is_grey": float(is_grey),
        "pixels": float(truth.shape[0] * truth.shape[1]),
        "true_hues": np.asarray(hues_of(np.asarray(ab), np)).tolist(),
    }


def hues_of(ab: Array, xp: Any) -> Array:
    """Returns the mean chroma per pixel in each of 36 bins of the hue angle, (36,)."""
    a, b = ab[..., 0].ravel(), ab[..., 1].ravel()
    chroma = xp.sqrt(a * a + b * b)
    hue_bin = xp.floor((xp.arctan2(b, a) / (2 * np.pi) % 1.0) * _HUES).astype(np.int32) % _HUES
    weights = xp.where(chroma >= _LEAST_CHROMA, chroma, 0)
    return (
        xp.bincount(
            hue_bin, weights=weights, **({"length": _HUES} if xp is jnp else {"minlength": _HUES})
        )
        / a.size
    )


class Measurer:
    """Computes `values_of` of pictures one by one, with a compiled program if all have one size."""

    def __init__(self, prior: np.ndarray, *, compiled: bool):
        """Takes the prior of `values_of`, and whether all photos have one size."""
        self._prior = prior
        self._compiled = (
            jax.jit(lambda rgb, truth: values_of(rgb, truth, prior)) if compiled else None
        )

    def __call__(self, rgb: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        """Returns `values_of` as Python numbers and lists."""
        if self._compiled is not None:
            values = jax.device_get(self._compiled(rgb, truth))
        else:
            values = values_of(rgb, truth, self._prior)
        return {name: np.asarray(value).tolist() for name, value in values.items()}


_SSIM_WINDOW = 11  # pixels, of ssim


Values = dict[str, float]


def measure(rgb: np.ndarray, truth: np.ndarray) -> Values:
    """Compares a picture with the true photo.

    Args:
        rgb: (H, W, 3) uint8.
        truth: the same shape.

    Returns:
        The metrics of one photo and, for functions of means, mse, chroma, true_chroma,
        true_colorfulness and is_grey; NaN for values that do not count.
    """
    lab, true_lab = color.rgb_u8_to_lab(rgb), color.rgb_u8_to_lab(truth)
    is_grey = bool(np.all(truth == truth[..., :1]))
    values = {
        "mae_ab": metrics.mae_ab(lab[..., 1:], true_lab[..., 1:]),
        "delta_e_2000": metrics.delta_e_2000(lab, true_lab),
        "psnr": np.nan if is_grey else metrics.psnr(rgb, truth),
        "mse": metrics.mse(rgb, truth),
        "ssim": metrics.ssim(rgb, truth) if min(truth.shape[:2]) >= _SSIM_WINDOW else np.nan,
        "colorfulness": metrics.colorfulness(rgb),
        "chroma": metrics.mean_chroma(lab[..., 1:]),
        # Rounding gives gray a chroma of up to 0.005, which must not be a divisor.
        "true_chroma": 0.0 if is_grey else metrics.mean_chroma(true_lab[..., 1:]),
        "accuracy_2": metrics.accuracy_within(lab, true_lab, 2),
        "accuracy_5": metrics.accuracy_within(lab, true_lab, 5),
        "true_colorfulness": metrics.colorfulness(truth),
        "is_grey": is_grey,
    }
    return {name: float(value) for name, value in values.items()}
