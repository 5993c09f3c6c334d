"""Metrics of each picture against its true photo: values per photo, which `summary` combines.

One list of metrics serves predictions in training (`prediction`: batches on the devices, as masked
sums) and finished pictures (`measure`, `Measurer`: one photo, as numbers). All functions take
(..., H, W, C), NumPy or JAX, and return (...,) each.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from colorjax import color
from colorjax.color.arrays import Array, namespace
from colorjax.metrics.accuracy import accuracy_within
from colorjax.metrics.auc import auc, auc_sums
from colorjax.metrics.color_structure import color_structure
from colorjax.metrics.delta_e import delta_e_2000, delta_e_2000_p90
from colorjax.metrics.error import mae_ab, mae_rgb, mse, psnr, rmse_ab
from colorjax.metrics.structure import WINDOW, ssim, ssim_and_ms_ssim_ab
from colorjax.metrics.vividness import colorfulness, colorfulness_abs, mean_chroma

_HUES = 36  # bins of the hue histogram
_LEAST_CHROMA = 5.0  # Lab units; pixels below it have no hue

Values = dict[str, Array]


def ab_values(ab: Array, true_ab: Array, prior: np.ndarray | None = None) -> Values:
    """Compares colors with the true ones.

    Args:
        ab: (..., H, W, 2) in Lab units: predicted, or of a finished picture.
        true_ab: the same shape.
        prior: (313,) share of each bin, for the rebalanced AuC; None: not computed.

    Returns:
        mae_ab, squared_ab, auc, chroma and, with a prior, auc_rebalanced and auc_weight: the
        numerator and the denominator of the rebalanced AuC; see `auc_sums`.
    """
    values = {
        "mae_ab": mae_ab(ab, true_ab),
        "squared_ab": rmse_ab(ab, true_ab) ** 2,
        "auc": auc(ab, true_ab),
        "chroma": mean_chroma(ab),
    }
    if prior is not None:
        values["auc_rebalanced"], values["auc_weight"] = auc_sums(ab, true_ab, prior)
    return values


def picture_values(rgb: Array, truth: Array, lab: Array, true_lab: Array) -> Values:
    """Compares finished pictures with the true photos, except for `ab_values`.

    Args:
        rgb: (..., H, W, 3) uint8.
        truth: the same shape.
        lab: `rgb` in Lab, (..., H, W, 3) floating point.
        true_lab: `truth` in Lab.

    Returns:
        mse, mae_rgb, psnr, delta_e_2000, colorfulness, colorfulness_abs, accuracy_2, accuracy_5
        and, if both sides have at least 11 pixels, ssim.
    """
    values = {
        "mse": mse(rgb, truth),
        "mae_rgb": mae_rgb(rgb, truth),
        "psnr": psnr(rgb, truth),
        "delta_e_2000": delta_e_2000(lab, true_lab),
        "colorfulness": colorfulness(rgb),
        "colorfulness_abs": colorfulness_abs(rgb),
        "accuracy_2": accuracy_within(lab, true_lab, 2),
        "accuracy_5": accuracy_within(lab, true_lab, 5),
    }
    if min(rgb.shape[-3:-1]) >= WINDOW:
        values["ssim"] = ssim(rgb, truth)
    return values


def is_gray(rgb: Array) -> Array:
    """Returns whether each picture (..., H, W, 3) has R = G = B everywhere: (...,) bool."""
    return namespace(rgb).all(rgb == rgb[..., :1], axis=(-3, -2, -1))


def truth_values(truth: Array, true_lab: Array) -> Values:
    """Returns statistics of true photos.

    Args:
        truth: (..., H, W, 3) uint8.
        true_lab: the same in Lab.

    Returns:
        true_colorfulness, true_colorfulness_abs, true_chroma (0 for exactly gray photos), and
        is_gray: 1 or 0.
    """
    xp = namespace(truth)
    gray = is_gray(truth)
    chroma = mean_chroma(true_lab[..., 1:])
    return {
        "true_colorfulness": colorfulness(truth),
        "true_colorfulness_abs": colorfulness_abs(truth),
        # Rounding gives gray a chroma of up to 0.005, which must not be a divisor.
        "true_chroma": xp.where(gray, xp.zeros_like(chroma), chroma),
        "is_gray": gray.astype(np.float32),
    }


def finished_values(rgb: Array, truth: Array, prior: np.ndarray | None = None) -> Values:
    """Compares finished pictures with the true photos.

    Args:
        rgb: (..., H, W, 3) uint8.
        truth: the same shape.
        prior: as for `ab_values`.

    Returns:
        `picture_values`, color_structure, delta_e_2000_p90, `ab_values` of the pictures' own ab
        (names in _8bit) and, if both sides have at least 11 pixels, ssim_ab and ms_ssim_ab.
    """
    lab, true_lab = color.rgb_u8_to_lab(rgb), color.rgb_u8_to_lab(truth)
    if isinstance(lab, jax.Array):  # else XLA rounds one of two equal pictures differently
        lab, true_lab = jax.lax.optimization_barrier((lab, true_lab))
    ab, true_ab = lab[..., 1:], true_lab[..., 1:]
    values = picture_values(rgb, truth, lab, true_lab)
    values |= {f"{name}_8bit": value for name, value in ab_values(ab, true_ab, prior).items()}
    values["color_structure"] = color_structure(lab, true_lab)
    values["delta_e_2000_p90"] = delta_e_2000_p90(lab, true_lab)
    if min(rgb.shape[-3:-1]) >= WINDOW:
        values["ssim_ab"], values["ms_ssim_ab"] = ssim_and_ms_ssim_ab(ab, true_ab)
    return values


def measure_truth(truth: np.ndarray) -> dict[str, float]:
    """Returns `truth_values` of one photo (H, W, 3) uint8, and its number of pixels."""
    values = truth_values(truth, color.rgb_u8_to_lab(truth))
    return _numbers(values) | {"pixels": float(truth.shape[0] * truth.shape[1])}


def measure(rgb: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Compares one finished picture with the true photo, both (H, W, 3) uint8.

    Returns:
        `finished_values` and `measure_truth`: a record for `summary.columns_of`.
    """
    return _numbers(finished_values(rgb, truth)) | measure_truth(truth)


class Measurer:
    """Measures finished pictures one by one, with a compiled program if all have one size."""

    def __init__(self, prior: np.ndarray, *, compiled: bool):
        """Takes the prior of `ab_values`, and whether all photos have one size."""

        def values(rgb: Array, truth: Array) -> Values:
            return finished_values(rgb, truth, prior) | {"hues": hues_of_picture(rgb)}

        self._values = jax.jit(values) if compiled else values

    def __call__(self, rgb: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        """Returns `finished_values` and `hues_of_picture`, as Python numbers and lists."""
        return _numbers(jax.device_get(self._values(rgb, truth)))


def hues_of_picture(rgb: Array) -> Array:
    """Returns the mean chroma per pixel in each of 36 bins of the hue angle in ab, (36,).

    Args:
        rgb: (H, W, 3) uint8.
    """
    return hues_of(color.rgb_u8_to_lab(rgb)[..., 1:])


def hues_of(ab: Array) -> Array:
    """Same as `hues_of_picture`, of ab (H, W, 2) in Lab units."""
    xp = namespace(ab)
    a, b = ab[..., 0].ravel(), ab[..., 1].ravel()
    chroma = xp.sqrt(a * a + b * b)
    hue_bin = xp.floor((xp.arctan2(b, a) / (2 * np.pi) % 1.0) * _HUES).astype(np.int32) % _HUES
    weights = xp.where(chroma >= _LEAST_CHROMA, chroma, 0)
    length = {"length": _HUES} if xp is jnp else {"minlength": _HUES}
    return xp.bincount(hue_bin, weights=weights, **length) / a.size


def _numbers(values: Values) -> dict[str, Any]:
    return {name: np.asarray(value).tolist() for name, value in values.items()}
