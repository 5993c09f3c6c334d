"""Cross-entropy of class labels, as (sum, count) over the photos that have one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax


def class_cross_entropy(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sums -log softmax(logits)[label] (Iizuka 2016, section 3.3, joint classification).

    Args:
        logits: (N, classes) float.
        labels: (N,) integer; a negative label leaves its photo out.

    Returns:
        (sum, number of labelled photos), float32 scalars.
    """
    labelled = labels >= 0
    losses = optax.losses.softmax_cross_entropy_with_integer_labels(
        logits.astype(jnp.float32), jnp.where(labelled, labels, 0)
    )
    return jnp.sum(jnp.where(labelled, losses, 0.0)), jnp.sum(labelled, dtype=jnp.float32)


def class_hits(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Counts the photos whose label has the highest logit (top-1 accuracy).

    Args:
        logits: (N, classes) float.
        labels: (N,) integer; a negative label leaves its photo out.

    Returns:
        (number of hits, number of labelled photos), float32 scalars.
    """
    hits = (jnp.argmax(logits, axis=-1) == labels) & (labels >= 0)
    return jnp.sum(hits, dtype=jnp.float32), jnp.sum(labels >= 0, dtype=jnp.float32)
