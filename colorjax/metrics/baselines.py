"""Trivial predictors that a colorization model must beat: color as a function of lightness."""

import dataclasses
from typing import Any

import numpy as np

from colorjax.color.arrays import Array, check_last_axis, float_array, namespace

NUM_LEVELS = 101  # L rounded to 0, 1, ..., 100


@dataclasses.dataclass(frozen=True, eq=False)
class ColorTable:
    """One ab color for each level of lightness.

    Attributes:
        ab: (101, 2) float32, in Lab units; row l is the color of pixels whose L rounds to l.
    """

    ab: Array

    def predict(self, lightness: Any) -> Array:
        """Returns the color of every pixel, looked up by its lightness.

        Args:
            lightness: (..., 1) floating point, L in [0, 100]; clipped to that range.

        Returns:
            (..., 2) float32 ab, NumPy or JAX as `lightness`.

        Raises:
            ValueError: if `lightness` is not (..., 1) or holds integers.
        """
        lightness = float_array(lightness, "lightness")
        check_last_axis(lightness, 1, "lightness")
        xp = namespace(lightness)
        return xp.asarray(self.ab)[_levels(xp, lightness[..., 0])]


def color_sums(lab: np.ndarray) -> np.ndarray:
    """Returns the color sums of Lab images for each level of lightness.

    Args:
        lab: (..., 3) floating point, NumPy.

    Returns:
        (101, 3) float64: the sum of a, the sum of b and the number of pixels of each level. The
        sums of several batches add with `+`.

    Raises:
        ValueError: if `lab` is not (..., 3) or holds integers.
    """
    lab = np.asarray(float_array(lab, "lab"))
    check_last_axis(lab, 3, "lab")
    lightness, a, b = lab.reshape(-1, 3).T
    levels = _levels(np, lightness)
    columns = [np.bincount(levels, weights, NUM_LEVELS) for weights in (a, b, None)]
    return np.stack(columns, axis=-1).astype(np.float64)


def fit_color_tables(sums: np.ndarray) -> dict[str, ColorTable]:
    """Returns the trivial predictors fitted to the sums over a data set.

    Args:
        sums: (101, 3) float64, from `color_sums`.

    Returns:
        "grey": ab = 0; "mean": the mean color of all pixels; "per_lightness": the mean color of the
        pixels of each level, or of all pixels for levels without pixels.

    Raises:
        ValueError: if `sums` is not (101, 3) or counts no pixel.
    """
    if sums.shape != (NUM_LEVELS, 3):
        raise ValueError(f"sums must have shape ({NUM_LEVELS}, 3), got {sums.shape}")
    ab_sums, counts = sums[:, :2], sums[:, 2:]
    if counts.sum() == 0:
        raise ValueError("sums must count at least one pixel, got none: add color_sums of images")
    mean = np.broadcast_to(ab_sums.sum(axis=0) / counts.sum(), ab_sums.shape)
    per_level = np.where(counts > 0, ab_sums / np.maximum(counts, 1.0), mean)
    tables = {"grey": np.zeros_like(ab_sums), "mean": mean, "per_lightness": per_level}
    return {name: ColorTable(ab.astype(np.float32)) for name, ab in tables.items()}


def _levels(xp: Any, lightness: Array) -> Array:
    return xp.clip(xp.round(lightness), 0, NUM_LEVELS - 1).astype(np.int32)
