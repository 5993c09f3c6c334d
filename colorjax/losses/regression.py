"""Losses between a predicted and a true ab map, as (sum, count) over elements."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def _difference(prediction: jax.Array, target: jax.Array) -> jax.Array:
    if prediction.shape != target.shape:
        raise ValueError(f"prediction has shape {prediction.shape}, target {target.shape}")
    return prediction.astype(jnp.float32) - target.astype(jnp.float32)


def squared_error(prediction: jax.Array, target: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sums (prediction - target)^2: the L2 loss of the plain CNN and of Zhang 2016's baseline.

    Args:
        prediction: any shape.
        target: the same shape.

    Returns:
        (sum, number of elements), float32 scalars; sum / count is the mean squared error.

    Raises:
        ValueError: shapes differ; nothing is broadcast.
    """
    errors = jnp.square(_difference(prediction, target))
    return jnp.sum(errors), jnp.float32(errors.size)


def absolute_error(prediction: jax.Array, target: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sums |prediction - target|; arguments, result and errors as in `squared_error`."""
    errors = jnp.abs(_difference(prediction, target))
    return jnp.sum(errors), jnp.float32(errors.size)


def smooth_absolute_error(
    prediction: jax.Array, target: jax.Array, delta: float = 1 / 110
) -> tuple[jax.Array, jax.Array]:
    """Sums Huber's loss divided by delta: d^2 / (2 delta) below delta, |d| - delta / 2 above.

    Args:
        prediction: any shape.
        target: the same shape.
        delta: |d| at which the square becomes linear; 1 / 110 is one ab unit.

    Returns:
        (sum, number of elements), float32 scalars.

    Raises:
        ValueError: shapes differ.
    """
    size = jnp.abs(_difference(prediction, target))
    errors = jnp.where(size < delta, jnp.square(size) / (2 * delta), size - delta / 2)
    return jnp.sum(errors), jnp.float32(errors.size)


def block_means(x: jax.Array, side: int) -> jax.Array:
    """Returns the means of blocks of pixels.

    Args:
        x: (N, H, W, C) float, H and W multiples of `side`.
        side: of a block, in pixels.

    Returns:
        (N, H / side, W / side, C).
    """
    n, height, width, channels = x.shape
    blocks = x.reshape(n, height // side, side, width // side, side, channels)
    return jnp.mean(blocks, axis=(2, 4))
