"""Mergeable sums: a mean over a data set is one sum divided by one count."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from colorjax.color.arrays import Array, float_array, namespace

Sums = dict[str, tuple[Any, Any]]  # name -> (sum, count), float64 scalars or arrays


def masked_sum(values: Any, mask: Any) -> tuple[Array, Array]:
    """Returns the sum and the count of the values whose mask is true.

    Args:
        values: floating point; values under a false mask never count, not even NaN.
        mask: boolean, the same shape; false for padding.

    Returns:
        The sum and the count, scalars in the dtype of `values`; float64 for NumPy.

    Raises:
        ValueError: if the shapes differ, or `mask` is not boolean.
    """
    values = float_array(values, "values")
    xp = namespace(values, mask)
    mask = xp.asarray(mask)
    if mask.dtype != np.bool_:
        raise ValueError(f"mask must be boolean, got {mask.dtype}")
    if values.shape != mask.shape:
        raise ValueError(
            f"values and mask must have the same shape, got {tuple(values.shape)} and "
            f"{tuple(mask.shape)}"
        )
    dtype = np.float64 if xp is np else values.dtype
    kept = xp.where(mask, values, xp.zeros_like(values))
    return xp.sum(kept, dtype=dtype), xp.sum(mask, dtype=dtype)


def merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> Sums:
    """Returns the sum of two dicts name -> (sum, count), in float64 on the host.

    Args:
        first: NumPy or JAX scalars or arrays; JAX ones are fetched from their device.
        second: the same; it may have other names, and a missing name counts as (0, 0).

    Returns:
        A new dict with the names of both.

    >>> merge({}, {"psnr": (46.0, 2.0)})["psnr"]
    (np.float64(46.0), np.float64(2.0))
    """
    merged: Sums = {}
    for sums in jax.device_get((dict(first), dict(second))):
        for name, (total, count) in sums.items():
            old_total, old_count = merged.get(name, (np.float64(0.0), np.float64(0.0)))
            merged[name] = (old_total + np.float64(total), old_count + np.float64(count))
    return merged


def means(sums: Mapping[str, Any]) -> dict[str, float]:
    """Returns each sum divided by its count; NaN for a count of 0.

    >>> means({"psnr": (46.0, 2.0), "top1": (0.0, 0.0)})
    {'psnr': 23.0, 'top1': nan}
    """
    return {
        name: float(total) / float(count) if count else float("nan")
        for name, (total, count) in sums.items()
    }
