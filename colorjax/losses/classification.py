"""Cross-entropy of class labels, as (sum, count) over the photos that have one."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def class_cross_entropy(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sums -log softmax(logits)[label] (Iizuka 2016, section 3.3, joint classification).

    Args:
        logits: (N, classes) float.
        labels: (N,) integer; photos with a negative label are ignored.

    Returns:
        (sum, number of labeled photos), float32 scalars.
    """
    import optax  # here: colorizing a photo needs no losses

    labeled = labels >= 0
    losses = optax.losses.softmax_cross_entropy_with_integer_labels(
        logits.astype(jnp.float32), jnp.where(labeled, labels, 0)
    )
    return jnp.sum(jnp.where(labeled, losses, 0.0)), jnp.sum(labeled, dtype=jnp.float32)


def class_hits(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Counts the photos whose label has the highest logit (top-1 accuracy).

    Args:
        logits: (N, classes) float.
        labels: (N,) integer; photos with a negative label are ignored.

    Returns:
        (number of hits, number of labeled photos), float32 scalars.
    """
    hits = (jnp.argmax(logits, axis=-1) == labels) & (labels >= 0)
    return jnp.sum(hits, dtype=jnp.float32), jnp.sum(labels >= 0, dtype=jnp.float32)
