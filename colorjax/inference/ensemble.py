"""Test-time augmentation: fuses predictions of mirrored and rescaled inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from colorjax.inference.engines.engine import Engine
from colorjax.inference.planes import Inputs, Size, enlarged


def predict_fused(
    engine: Engine,
    fields_at: Callable[[Size], Inputs],
    sizes: Sequence[Size],
    cut: Callable[[np.ndarray, Size], np.ndarray] = lambda colors, size: colors,
) -> np.ndarray:
    """Returns the fused predictions of a photo at several sizes, each also mirrored.

    The mean at each pixel, weighted by confidence: exp(-entropy) of the distribution over bins;
    methods without bins use equal weights.

    Args:
        engine: the network and its weights.
        fields_at: (height, width) -> the inputs at that size, (1, h, w, C) each.
        sizes: working sizes; the result has the first one.
        cut: (prediction (h, w, C), size) -> the part that belongs to the photo.

    Returns:
        (h, w, 2) float32 ab, or with predicted L first, (h, w, 3).
    """
    total = weight = 0.0
    for size in sizes:
        fields = fields_at(size)
        both = {name: np.concatenate([x, _mirrored(x)]) for name, x in fields.items()}
        colors, confidence = engine.colors_and_confidence(both)
        for number, flip in ((0, 1), (1, -1)):
            trust = enlarged(cut(confidence[number][:, ::flip], size), sizes[0])
            total = total + trust * enlarged(cut(colors[number][:, ::flip], size), sizes[0])
            weight = weight + trust
    return np.asarray(total / weight, np.float32)


def _mirrored(x: np.ndarray) -> np.ndarray:
    """Returns an input (1, h, w, C) mirrored; a palette (1, C) has no sides."""
    return x[:, :, ::-1] if x.ndim == 4 else x
