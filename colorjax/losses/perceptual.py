"""Feature loss: how far apart two pictures are in the middle of a network that knows pictures."""

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
        true_taps: the same of the true ones.
        relative: divide by the mean |phi_j(truth)| of the batch, so that every layer counts alike
            whatever its scale: for a network without published weights of its layers.

    Returns:
        (sum, number of elements) for each layer.

    Raises:
        ValueError: shapes differ.
    """
    found = []
    for one, other in zip(taps, true_taps, strict=True):
        truth = jax.lax.stop_gradient(other)
        total, count = absolute_error(one, truth)
        if relative:
            total = total / (jnp.mean(jnp.abs(truth.astype(jnp.float32))) + 1e-6)
        found.append((total, count))
    return found
