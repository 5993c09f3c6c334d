"""Feature loss: distance between two pictures in the layers of a pretrained network."""

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
