"""AuC: area under the curve of accuracy over the error threshold (Zhang et al. 2016)."""

from typing import Any

import numpy as np

from colorjax.color.arrays import Array, namespace
from colorjax.color.bins import NUM_BINS, nearest_bin
from colorjax.metrics.inputs import image_pair

_LARGEST_DISTANCE = 150.0  # ab units; larger distances are clipped to it


def auc(ab: Any, true_ab: Any, *, prior: Any = None) -> Array:
    """Returns the area under the share of pixels within t of the truth, 0 <= t <= 150.

    With d the distance to the true color in the ab plane and w a weight per pixel:
    AuC = 1/150 integral_0^150 (sum w [d <= t] / sum w) dt = 1 - sum(w min(d, 150)) / sum(w) / 150,
    in closed form. All w are 1, or with `prior`, w = 1 / p(bin of the true color): the rebalanced
    AuC. The usual trapezoids over t = 0, 1, ..., 150 differ by at most 1 / 300, and by less than
    2e-4 over the many distances of a photo.

    Args:
        ab: (..., H, W, 2) predicted ab in Lab units.
        true_ab: (..., H, W, 2) true ab in Lab units; its bins, not those of `ab`, select weights.
        prior: (313,) share of the pixels of a large data set in each bin of
            `colorjax.color.ab_bins`, above 0; only the ratios matter. Not traced: under `jax.jit`,
            close over it. None: no rebalancing.

    Returns:
        (...,) floating point in [0, 1]; 1 for the true colors. For a data set, add up
        `auc_sums`: the mean of this over images would weight gray ones as much as colorful ones.

    Raises:
        ValueError: if a shape is not (..., H, W, 2), the shapes differ, or `prior` is not 313
            finite numbers above 0.

    >>> import numpy as np
    >>> float(auc(np.zeros((4, 4, 2)), np.full((4, 4, 2), [9.0, 12.0])))
    0.9
    """
    total, weight = auc_sums(ab, true_ab, prior)
    return total / weight


def auc_sums(ab: Any, true_ab: Any, prior: Any = None) -> tuple[Array, Array]:
    """Returns the numerator and denominator of the AuC of each image, to sum over a data set.

    With d and p as in `auc`: sum(w (1 - min(d, 150) / 150)) and sum(w) over the pixels, where
    w = 1 / (313 p), so that the mean weight under the prior is 1; or w = 1 without a prior.

    Args:
        ab: (..., H, W, 2) predicted ab in Lab units.
        true_ab: (..., H, W, 2) true ab in Lab units.
        prior: as for `auc`.

    Returns:
        Two arrays (...,) floating point: the weighted sum and the weight of each image. The AuC of
        a data set is the sum of the first divided by the sum of the second.

    Raises:
        ValueError: as `auc`.
    """
    ab, true_ab = image_pair(ab, true_ab, ("ab", "true_ab"), 2)
    xp = namespace(ab, true_ab)
    distance = xp.sqrt(xp.sum(xp.square(ab - true_ab), axis=-1))
    near = 1.0 - xp.minimum(distance, _LARGEST_DISTANCE) / _LARGEST_DISTANCE
    if prior is None:
        weights = xp.ones_like(near)
    else:
        weights = xp.asarray(_bin_weights(prior), near.dtype)[nearest_bin(true_ab)]
    pixels = (-2, -1)
    return xp.sum(weights * near, axis=pixels), xp.sum(weights, axis=pixels)


def _bin_weights(prior: Any) -> np.ndarray:
    prior = np.asarray(prior, np.float64)
    if prior.shape != (NUM_BINS,):
        raise ValueError(f"prior must have shape ({NUM_BINS},), got {prior.shape}")
    if not (np.all(np.isfinite(prior)) and np.all(prior > 0)):
        raise ValueError(
            "prior must be finite and above 0 in every bin: a color in an empty bin would have an "
            "infinite weight; smooth the prior, or add a small share to each bin"
        )
    return prior.sum() / (NUM_BINS * prior)
