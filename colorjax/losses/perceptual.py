"""Losses of whole pictures: distance in the layers of a pretrained network; colorfulness."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from colorjax.losses.regression import absolute_error

Taps = Sequence[jax.Array]


def feature_errors(
    taps: Taps, true_taps: Taps, *, relative: bool
) -> list[tuple[jax.Array, jax.Array]]:
    """Sums |phi_j(prediction) - phi_j(truth)| for every layer j (Johnson et al. 2016, with L1).

    Args:
        taps: features of the predicted pictures, (N, h, w, C) each.
        true_taps: features of the true pictures, the same shapes.
        relative: divide by the mean |phi_j(truth)| of the batch, so that all layers have the same
            scale: for a network without published layer weights.

    Returns:
        (sum, number of elements) for each layer.

    Raises:
        ValueError: shapes differ.
    """
    errors = []
    for one, other in zip(taps, true_taps, strict=True):
        truth = jax.lax.stop_gradient(other)
        total, count = absolute_error(one, truth)
        if relative:
            total = total / (jnp.mean(jnp.abs(truth.astype(jnp.float32))) + 1e-6)
        errors.append((total, count))
    return errors


_LEAST = 1e-10  # added under the roots: their gradient is finite on a gray picture


def missing_colorfulness(rgb: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sums 1 - colorfulness over pictures (DDColor, after Hasler and Suesstrunk 2003).

    sqrt(var(rg) + var(yb)) + 0.3 sqrt(mean(rg)^2 + mean(yb)^2), with rg = |R - G| and
    yb = |(R + G) / 2 - B|; unbiased variances.

    Args:
        rgb: (N, H, W, 3) sRGB in [0, 1].

    Returns:
        (sum, N), float32 scalars.
    """
    red, green, blue = jnp.moveaxis(rgb.astype(jnp.float32), -1, 0)
    opponents = jnp.stack([jnp.abs(red - green), jnp.abs((red + green) / 2 - blue)])
    variance = jnp.sum(jnp.var(opponents, axis=(2, 3), ddof=1), axis=0)
    mean = jnp.sum(jnp.mean(opponents, axis=(2, 3)) ** 2, axis=0)
    colorfulness = jnp.sqrt(variance + _LEAST) + 0.3 * jnp.sqrt(mean + _LEAST)
    return jnp.sum(1 - colorfulness), jnp.float32(len(rgb))
