"""Planes of a photo at several sizes: resizing and saturation, in NumPy and Pillow."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from PIL import Image

Inputs: TypeAlias = dict[str, Any]  # name -> array (N, H, W, C) float32, NumPy's or JAX's
Size: TypeAlias = tuple[int, ...]  # height and width in pixels

# Full resolution is processed in bands of rows of at most this many pixels (or one row), so that a
# photo needs only the memory of its pixels, its lightness and the result.
BAND_PIXELS = 65536
PIXEL_STEP = 8192  # numbers of pixels outside sRGB are rounded up to this: eight shapes
# No sRGB color has a chroma above 134; gamut mapping fails for chroma in the thousands.
_MAX_CHROMA = 1000.0


def saturated(colors: np.ndarray, factor: float) -> np.ndarray:
    """Returns (h, w, 2 or 3) with ab times a factor, chroma limited to 1000; may be in place."""
    result = np.require(colors, np.float32, ["W"])  # a copy if read-only
    if factor == 1 and np.abs(result[..., -2:]).max(initial=0) < _MAX_CHROMA / 2:
        return result  # multiplied by 1
    for ab in result[..., -2:]:  # row by row to save memory: a picture may have 100 megapixels
        chroma = np.linalg.norm(ab.astype(np.float64), axis=-1, keepdims=True)
        ab *= np.minimum(factor, _MAX_CHROMA / np.maximum(chroma, 1e-9)).astype(np.float32)
    return result


def shrunk(gray: np.ndarray, size: Size) -> np.ndarray:
    """Returns a network input (H, W) in [-1, 1] resized bicubically to (h, w) = `size`."""
    if gray.shape == size:
        return gray
    # Bicubic as in training; it overshoots at edges.
    small = Image.fromarray(gray.astype(np.float32, copy=False))
    resized = small.resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(resized), -1, 1)


def enlarged(planes: np.ndarray, size: Size) -> np.ndarray:
    """Returns (h, w, C) float32 resized bilinearly to (H, W, C); averages when shrinking."""
    if planes.shape[:2] == size:
        return planes
    channels = [
        Image.fromarray(np.ascontiguousarray(plane)).resize(
            (size[1], size[0]), Image.Resampling.BILINEAR
        )
        for plane in np.moveaxis(planes.astype(np.float32, copy=False), -1, 0)
    ]
    return np.stack([np.asarray(channel) for channel in channels], axis=-1)
