"""Checks and converts the inputs of metrics."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from colorjax.color.arrays import Array
from colorjax.color.bins import NUM_BINS


def images(array: Any, name: str, num_channels: int) -> Array:
    """Returns images (..., H, W, C) as floating point of at least 32 bits, NumPy or JAX as given.

    Raises:
        ValueError: if the shape is not (..., H, W, num_channels) or the array is not real.
    """
    array = array if isinstance(array, jax.Array) else np.asarray(array)
    if array.ndim < 3 or array.shape[-1] != num_channels:
        raise ValueError(
            f"{name} must have shape (..., height, width, {num_channels}), got {tuple(array.shape)}"
        )
    if jnp.issubdtype(array.dtype, jnp.floating):
        return array.astype(np.float32) if array.dtype.itemsize < 4 else array
    if jnp.issubdtype(array.dtype, jnp.integer):
        return array.astype(np.float32)
    raise ValueError(f"{name} must hold integers or floating-point numbers, got {array.dtype}")


def image_pair(
    first: Any, second: Any, names: tuple[str, str], num_channels: int
) -> tuple[Array, Array]:
    """Returns two batches of images of the same shape, as `images`; nothing is broadcast.

    Raises:
        ValueError: if the shapes differ, or as `images` does.
    """
    first = images(first, names[0], num_channels)
    second = images(second, names[1], num_channels)
    if first.shape != second.shape:
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same shape, got {tuple(first.shape)} and "
            f"{tuple(second.shape)}"
        )
    return first, second


def logits_and_truth(logits: Any, true_ab: Any) -> tuple[Array, Array]:
    """Returns bin logits (..., H, W, 313) and true ab (..., H, W, 2) of the same positions.

    Raises:
        ValueError: if the shapes differ in any axis except the last, or as `images` does.
    """
    logits, true_ab = images(logits, "logits", NUM_BINS), images(true_ab, "true_ab", 2)
    if logits.shape[:-1] != true_ab.shape[:-1]:
        raise ValueError(
            "logits and true_ab must have the same shape except for the last axis, got "
            f"{tuple(logits.shape)} and {tuple(true_ab.shape)}: subsample the truth"
        )
    return logits, true_ab
