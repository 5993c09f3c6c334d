"""Several predictions of one photo, mirrored and at other sizes, made one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from colorjax.inference.predictor import Inputs, Predictor, Size, enlarged


def predict_fused(
    predictor: Predictor,
    fields_at: Callable[[Size], Inputs],
    sizes: Sequence[Size],
    cut: Callable[[np.ndarray, Size], np.ndarray] = lambda colors, size: colors,
) -> np.ndarray:
    """Predicts the colours of a photo at several sizes, each also mirrored, and fuses them.

    The mean of the predictions at each pixel, weighted by their confidence: exp(-entropy) of the
    distribution over bins; methods without one weigh all alike.

    Args:
        predictor: the method and its weights.
        fields_at: (height, width) -> the inputs at that size, (1, h, w, C) each.
        sizes: at which colours are predicted; the first is that of the result.
        cut: (h, w, C) of a prediction, and its size -> the part that is the photo's.

    Returns:
        (h, w, 2) float32 ab, or with L before it.
    """
    total = weight = 0.0
    for size in sizes:
        fields = fields_at(size)
        both = {name: np.concatenate([x, x[:, :, ::-1]]) for name, x in fields.items()}
        colors, confidence = predictor.colors_and_confidence(both)
        for number, flip in ((0, 1), (1, -1)):
            trust = enlarged(cut(confidence[number][:, ::flip], size), sizes[0])
            total = total + trust * enlarged(cut(colors[number][:, ::flip], size), sizes[0])
            weight = weight + trust
    return np.asarray(total / weight, np.float32)
