"""Checks and converts the inputs of metrics."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from colorjax.color.arrays import Array


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
