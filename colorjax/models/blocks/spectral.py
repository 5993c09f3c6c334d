"""Spectral normalization with the stored vectors of PyTorch's `spectral_norm`."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

_EPSILON = 1e-12  # smallest length that is divided by
_FIRST_ITERATIONS = 15  # of a fresh layer, so that it can be evaluated before any training


class SpectralNorm(nn.Module):
    """The divisor of a kernel: an estimate of its largest singular value (Miyato et al. 2018).

    sigma = u . (W v), where W is the kernel as a matrix (O, K K I). A training step updates u and v
    by one power iteration, v <- unit(W^T u) and u <- unit(W v); gradients pass through W only. In
    evaluation u and v are used as stored, also where they are not converged.
    `flax.linen.SpectralNorm` always iterates, so it does not reproduce published weights.

    In `batch_stats`: u (O,) and v (K, K, I), float32.
    """

    @nn.compact
    def __call__(self, kernel: jax.Array, *, train: bool) -> jax.Array:
        """Returns sigma, a float32 scalar.

        Args:
            kernel: (K, K, I, O).
            train: whether u and v are updated.
        """
        matrix = kernel.astype(jnp.float32).reshape(-1, kernel.shape[-1])  # W^T
        fixed = jax.lax.stop_gradient(matrix)

        def to_right(u: jax.Array) -> jax.Array:
            return _unit(fixed @ u)

        def to_left(v: jax.Array) -> jax.Array:
            return _unit(v @ fixed)

        def start() -> jax.Array:
            u = jax.random.normal(self.make_rng("params"), kernel.shape[-1:])
            return jax.lax.fori_loop(0, _FIRST_ITERATIONS, lambda _, u: to_left(to_right(u)), u)

        is_new = not self.has_variable("batch_stats", "u")
        u = self.variable("batch_stats", "u", start)
        v = self.variable("batch_stats", "v", lambda: to_right(u.value).reshape(kernel.shape[:-1]))
        left, right = u.value, v.value.reshape(-1)
        if train and not is_new:
            right = to_right(left)
            left = to_left(right)
            if self.is_mutable_collection("batch_stats"):
                u.value, v.value = left, right.reshape(kernel.shape[:-1])
        left, right = jax.lax.stop_gradient((left, right))
        return jnp.dot(right @ matrix, left)


def _unit(x: jax.Array) -> jax.Array:
    return x / jnp.maximum(jnp.linalg.norm(x), _EPSILON)
