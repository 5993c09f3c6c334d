"""LPIPS 0.1, a learned distance between network activations (Zhang et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

# For sRGB in [-1, 1]: nearly ImageNet's mean and standard deviation. Version 0.0 omitted it.
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_EPSILON = 1e-10


def lpips_input(rgb_u8: Any) -> jax.Array:
    """Returns photos on the scale of the networks: uint8 sRGB (N, H, W, 3) to float32."""
    x = jnp.asarray(rgb_u8).astype(jnp.float32) / 127.5 - 1
    shift, scale = (jnp.asarray(v).reshape(1, 1, 1, 3) for v in (_SHIFT, _SCALE))
    return (x - shift) / scale


def tap_distance(tap_a: Any, tap_b: Any, weights: Any) -> jax.Array:
    """Returns one tap's term: mean over pixels of sum_c w_c (a_c / |a| - b_c / |b|)^2, eq. 1.

    Args:
        tap_a: (N, H, W, C) activations.
        tap_b: the same shape.
        weights: (C,), at least 0, learned from human judgments.

    Returns:
        (N,) float32, at least 0.

    Raises:
        ValueError: wrong shapes.
    """
    tap_a, tap_b, weights = (jnp.asarray(x, jnp.float32) for x in (tap_a, tap_b, weights))
    if tap_a.ndim != 4 or tap_a.shape != tap_b.shape or weights.shape != tap_a.shape[-1:]:
        raise ValueError(
            f"taps must be (N, H, W, C) twice and weights (C,), got {tap_a.shape}, {tap_b.shape} "
            f"and {weights.shape}"
        )
    squared = jnp.square(_unit(tap_a) - _unit(tap_b))
    return jnp.mean(jnp.einsum("nhwc,c->nhw", squared, weights), axis=(1, 2))


def lpips(taps_a: Sequence[Any], taps_b: Sequence[Any], weights: Sequence[Any]) -> jax.Array:
    """Returns the sum of `tap_distance` over the taps.

    Args:
        taps_a: activations of one network for photos on the scale of `lpips_input`.
        taps_b: of the same network for as many other photos.
        weights: (C,) for each tap.

    Returns:
        (N,) float32, at least 0; 0 for equal photos.

    Raises:
        ValueError: different numbers of taps, or wrong shapes.
    """
    parts = zip(taps_a, taps_b, weights, strict=True)
    return jnp.stack([tap_distance(a, b, w) for a, b, w in parts]).sum(0)


def _unit(x: jax.Array) -> jax.Array:
    return x / (jnp.sqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True)) + _EPSILON)
