"""Scales the HSV saturation, which makes training targets more vivid."""

from typing import Any

from colorjax.color.arrays import Array, color_array, namespace


def scale_saturation(rgb: Any, factor: Any, clip: bool = True) -> Array:
    """Multiplies the HSV saturation of sRGB colors by a factor; hue and value do not change.

    With V = max(R, G, B) and S = (V - min(R, G, B)) / V, the round trip through HSV is, for each
    channel c, c' = V - k (V - c), where k = factor, or min(factor, 1 / S) with `clip`. Gray and
    black have no saturation and do not change. A factor of 1 leaves every bit unchanged.

    Args:
        rgb: (..., 3) floating point, sRGB in [0, 1].
        factor: scalar, at least 0; the published colorizer with vivid targets uses 1.8.
        clip: whether the scaled saturation is clipped to 1. Without clipping, channels can fall
            below 0, down to 1 - factor, as in the code of that colorizer.

    Returns:
        (..., 3) sRGB in the kind and dtype of `rgb`, in [0, 1] if `clip`.

    Raises:
        ValueError: if `rgb` is not (..., 3) or holds integers, or `factor` is a negative number
            or not a scalar.

    >>> import numpy as np
    >>> scale_saturation(np.array([0.75, 0.5, 0.25]), 1.5).tolist()
    [0.75, 0.375, 0.0]
    """
    if isinstance(factor, int | float) and factor < 0:
        raise ValueError(f"factor must be at least 0, got {factor}")
    rgb = color_array(rgb, "rgb")
    xp = namespace(rgb, factor)
    factor = xp.asarray(factor, dtype=rgb.dtype)
    if factor.ndim:
        raise ValueError(f"factor must be a scalar, got shape {tuple(factor.shape)}")
    value = xp.max(rgb, axis=-1, keepdims=True)
    if not clip:
        return rgb + (1.0 - factor) * (value - rgb)
    chroma = value - xp.min(rgb, axis=-1, keepdims=True)
    saturates = factor * chroma > value
    limit = value / xp.where(saturates, chroma, xp.ones_like(chroma))
    scale = xp.where(saturates, limit, factor)
    return xp.maximum(rgb + (1.0 - scale) * (value - rgb), 0.0)


_GRAY = (0.2989, 0.587, 0.114)  # weights of R, G and B, as in DDColor


def blend_saturation(rgb: Any, factor: float) -> Array:
    """Moves sRGB colors away from their gray by a factor: clip(k c + (1 - k) gray).

    Args:
        rgb: (..., 3) floating point, sRGB in [0, 1].
        factor: k; 1 changes nothing, 0 gives 0.2989 R + 0.587 G + 0.114 B.

    Returns:
        (..., 3) in [0, 1], in the kind and dtype of `rgb`.

    Raises:
        ValueError: `rgb` is not (..., 3) or holds integers.
    """
    rgb = color_array(rgb, "rgb")
    xp = namespace(rgb)
    weights = xp.asarray(_GRAY, dtype=rgb.dtype)
    gray = xp.sum(rgb * weights.reshape((1,) * (rgb.ndim - 1) + (3,)), axis=-1, keepdims=True)
    return xp.clip(factor * rgb + (1 - factor) * gray, 0, 1)
