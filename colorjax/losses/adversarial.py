"""Adversarial losses, as (sum, count) over the critic's logits."""

from __future__ import annotations

import jax
import jax.numpy as jnp

GANS = ("bce", "hinge")


def _cross_entropy(logits: jax.Array, target: float) -> tuple[jax.Array, jax.Array]:
    import optax  # here: colorizing a photo needs no losses

    logits = logits.astype(jnp.float32)
    errors = optax.sigmoid_binary_cross_entropy(logits, jnp.full_like(logits, target))
    return jnp.sum(errors), jnp.float32(errors.size)


def true_loss(logits: jax.Array, gan: str, target: float = 1.0) -> tuple[jax.Array, jax.Array]:
    """Sums the critic's loss on true colors.

    Args:
        logits: of the critic, any shape.
        gan: "bce": -t log D - (1 - t) log(1 - D) with D = sigmoid(logits) (Goodfellow et al. 2014;
            a target t below 1 is the one-sided smoothing of Salimans et al. 2016); "hinge":
            max(0, 1 - logits) (Lim and Ye 2017).
        target: t; unused by "hinge".

    Returns:
        (sum, number of logits), float32 scalars.
    """
    if gan == "bce":
        return _cross_entropy(logits, target)
    errors = jax.nn.relu(1 - logits.astype(jnp.float32))
    return jnp.sum(errors), jnp.float32(errors.size)


def fake_loss(logits: jax.Array, gan: str) -> tuple[jax.Array, jax.Array]:
    """Sums the critic's loss on predicted colors: -log(1 - D), or max(0, 1 + logits)."""
    if gan == "bce":
        return _cross_entropy(logits, 0.0)
    errors = jax.nn.relu(1 + logits.astype(jnp.float32))
    return jnp.sum(errors), jnp.float32(errors.size)


def fooling_loss(logits: jax.Array, gan: str, target: float = 1.0) -> tuple[jax.Array, jax.Array]:
    """Sums the colorizer's loss on the critic's logits of its colors.

    "bce": the cross-entropy against "true", which does not saturate; "hinge": -logits. Arguments
    and result as in `true_loss`.
    """
    if gan == "bce":
        return _cross_entropy(logits, target)
    errors = -logits.astype(jnp.float32)
    return jnp.sum(errors), jnp.float32(errors.size)


def hits(logits: jax.Array, is_true: bool) -> tuple[jax.Array, jax.Array]:
    """Counts the logits with the correct sign, for the critic's accuracy."""
    right = (logits > 0) == is_true
    return jnp.sum(right, dtype=jnp.float32), jnp.float32(right.size)


def cosine_loss(
    prediction: jax.Array, truth: jax.Array, target: float = 0.9
) -> tuple[jax.Array, jax.Array]:
    """Sums the cross-entropy of the cosine between photos: the DCGAN notebook's second term.

    -t log c - (1 - t) log(1 - c), where c is the cosine of the angle between all values of a
    predicted and a true photo, clipped to [1e-7, 1 - 1e-7] as in Keras.

    Args:
        prediction: (N, H, W, C).
        truth: the same shape.
        target: t.

    Returns:
        (sum, number of photos), float32 scalars.

    Raises:
        ValueError: shapes differ; nothing is broadcast.
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"prediction has shape {prediction.shape}, target {truth.shape}")
    n = len(prediction)
    a = prediction.astype(jnp.float32).reshape(n, -1)
    b = truth.astype(jnp.float32).reshape(n, -1)
    lengths = jnp.sqrt((jnp.sum(a * a, axis=1) + 1e-12) * (jnp.sum(b * b, axis=1) + 1e-12))
    cosine = jnp.clip(jnp.sum(a * b, axis=1) / lengths, 1e-7, 1 - 1e-7)
    errors = -target * jnp.log(cosine) - (1 - target) * jnp.log1p(-cosine)
    return jnp.sum(errors), jnp.float32(n)
