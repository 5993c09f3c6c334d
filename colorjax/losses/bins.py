"""Cross-entropies between predicted distributions over color bins and true ab maps.

The truth is subsampled to the h x w pixels of the prediction: every (H / h)-th pixel, starting with
the first, without averaging, as in the originals.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from colorjax import color

# A photo is gray, and gives no gradient, if no pixel has |a| or |b| above this.
GRAY_AB = 5.0


def subsampled(ab: jax.Array, logits: jax.Array) -> jax.Array:
    """Returns the true ab in Lab units at the pixels of the prediction.

    Args:
        ab: (N, H, W, 2) float, ab / 110.
        logits: (N, h, w, C); H and W are multiples of h and w.

    Returns:
        (N, h, w, 2) float32.

    Raises:
        ValueError: H or W is no multiple of h or w.
    """
    n, height, width, _ = logits.shape
    steps = ab.shape[1] // height, ab.shape[2] // width
    if ab.shape != (n, height * steps[0], width * steps[1], 2):
        raise ValueError(f"logits of shape {logits.shape} do not divide ab of shape {ab.shape}")
    return color.denormalize_ab(ab[:, :: steps[0], :: steps[1]].astype(jnp.float32))


def bin_cross_entropy(
    logits: jax.Array,
    ab: jax.Array,
    weights: jax.Array | None = None,
    k: int = 5,
    sigma: float = 5.0,
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    """Sums -v sum_q Z_q log softmax(logits)_q (Zhang et al. 2016, equations 2 and 3).

    Z is the soft encoding of the true color. v is the weight of its most likely bin, and 0 in gray
    photos. The gradient of a pixel is v (softmax(logits) - Z).

    Args:
        logits: (N, h, w, 313) float.
        ab: (N, H, W, 2) float, ab / 110.
        weights: (313,) of the bins, from `colorjax.color.rebalancing_weights`; None: all 1.
        k: bins of the soft encoding.
        sigma: its width in ab units.

    Returns:
        The weighted and the unweighted (sum, number of pixels), float32 scalars. Gray photos count
        in the number of pixels, but add 0 to both sums.

    Raises:
        ValueError: the shapes do not fit.
    """
    truth = subsampled(ab, logits)
    bins, shares = color.nearest_bins(truth, k, sigma)
    logits = logits.astype(jnp.float32)
    # Gathers the k nonzero terms instead of summing 313: five times as fast on a CPU.
    expected = jnp.sum(shares * jnp.take_along_axis(logits, bins, axis=-1), axis=-1)
    errors = jax.nn.logsumexp(logits, axis=-1) - expected
    is_colored = jnp.any(jnp.abs(truth) > GRAY_AB, axis=(1, 2, 3), keepdims=True)[..., 0]
    errors = errors * is_colored
    count = jnp.float32(errors.size)
    unweighted = (jnp.sum(errors), count)
    if weights is None:
        return unweighted, unweighted
    pixel_weights = jnp.asarray(weights, jnp.float32)[bins[..., 0]]
    return (jnp.sum(errors * pixel_weights), count), unweighted


def grid_cross_entropy(logits: jax.Array, ab: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sums -log softmax(logits)[cell] over the 529 cells of the whole grid (Zhang et al. 2017).

    Args:
        logits: (N, h, w, 529) float.
        ab: (N, H, W, 2) float, ab / 110.

    Returns:
        (sum, number of pixels), float32 scalars.

    Raises:
        ValueError: the shapes do not fit.
    """
    cells = color.grid_cell(subsampled(ab, logits))
    log_shares = jax.nn.log_softmax(logits.astype(jnp.float32))
    errors = -jnp.take_along_axis(log_shares, cells[..., None], axis=-1)
    return jnp.sum(errors), jnp.float32(errors.size)
