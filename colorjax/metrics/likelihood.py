"""Likelihood of the true colors under a predicted distribution over color bins."""

import math
from typing import Any

import numpy as np

from colorjax.color.arrays import Array, namespace
from colorjax.color.bins import nearest_bin
from colorjax.metrics.inputs import logits_and_truth


def bits_per_pixel(logits: Any, true_ab: Any) -> Array:
    """Returns the mean over the pixels of each image of -log2 softmax(logits)[true bin].

    It is computed in float32 and log space. An ideal coder with these predictions needs this number
    of bits for the true bin of a pixel, at the resolution of the logits; log2(313) = 8.29 for
    uniform predictions.

    Args:
        logits: (..., h, w, 313) floating point, in the order of `colorjax.color.ab_bins`.
        true_ab: (..., h, w, 2) true ab in Lab units at the same pixels: the caller subsamples.

    Returns:
        (...,) float32, at least 0.

    Raises:
        ValueError: if `logits` is not (..., h, w, 313), `true_ab` not (..., h, w, 2), or they
            differ in any axis except the last.
    """
    logits, true_ab = logits_and_truth(logits, true_ab)
    xp = namespace(logits, true_ab)
    logits = xp.asarray(logits, np.float32)
    below_best = logits - xp.max(logits, axis=-1, keepdims=True)
    bins = xp.asarray(nearest_bin(true_ab))[..., None]
    chosen = xp.take_along_axis(below_best, bins, axis=-1)[..., 0]
    nats = xp.log(xp.sum(xp.exp(below_best), axis=-1)) - chosen
    return xp.mean(nats, axis=(-2, -1)) / math.log(2.0)
