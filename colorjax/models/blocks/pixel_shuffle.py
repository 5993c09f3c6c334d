"""Upsampling by pixel shuffle: interleaving, the blur after it, and the first kernels (ICNR)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")  # PyTorch's kaiming_normal_


def pixel_shuffle(x: jax.Array, factor: int) -> jax.Array:
    """Interleaves channels as pixels, in PyTorch's order (Shi et al. 2016).

    out[n, r i + di, r j + dj, c] = x[n, i, j, c r r + di r + dj].

    Args:
        x: (N, H, W, C r r).
        factor: r.

    Returns:
        (N, r H, r W, C).

    >>> pixel_shuffle(jnp.arange(4.0).reshape(1, 1, 1, 4), 2)[0, :, :, 0].tolist()
    [[0.0, 1.0], [2.0, 3.0]]
    """
    n, height, width, channels = x.shape
    x = x.reshape(n, height, width, channels // factor**2, factor, factor)
    x = x.transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(n, factor * height, factor * width, channels // factor**2)


def shuffle_blur(x: jax.Array) -> jax.Array:
    """Averages each pixel with those above, at the left, and both: the blur of a 2x2 window.

    The first row and column are repeated. The result is shifted by half a pixel, as published.

    Args:
        x: (N, H, W, C).

    Returns:
        The same shape.
    """
    x = jnp.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)), mode="edge")
    return 0.25 * _sum_of_neighbors(_sum_of_neighbors(x, 1), 2)


def _sum_of_neighbors(x: jax.Array, axis: int) -> jax.Array:
    """Returns x[1:] + x[:-1] along an axis, in slices that export knows for symbolic sizes."""
    start = [int(at == axis) for at in range(x.ndim)]
    end = [side - first for side, first in zip(x.shape, start, strict=True)]
    return lax.slice(x, start, x.shape) + lax.slice(x, (0,) * x.ndim, end)


def icnr(factor: int) -> Callable[..., jax.Array]:
    """Returns an initializer of kernels before a pixel shuffle by `factor` (Aitken et al. 2017).

    All pixels of a cell start equal: the shuffle starts as nearest-neighbor upsampling of a He
    normal convolution.
    """

    def draw(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        few = (*shape[:-1], shape[-1] // factor**2)
        return jnp.repeat(he_normal(key, few, dtype), factor**2, axis=-1)

    return draw
