"""The map of the uncertainty over a photo, as a picture."""

from __future__ import annotations

import numpy as np
from PIL import Image

_SIDE = 1024  # pixels of the long side, at most
_OPACITY = 0.55
# Colors from certain to uncertain; at an entropy of `_MOST` the last one is reached.
_COLORS = np.array([[20, 40, 120], [40, 140, 160], [240, 220, 90], [220, 40, 40]], np.float32)
_MOST = 0.8


def draw(lightness: np.ndarray, uncertainty: np.ndarray) -> Image.Image:
    """Returns the gray photo under colors: blue is certain, yellow and red are uncertain.

    Args:
        lightness: (H, W) float32, L of the photo.
        uncertainty: (h, w) float32 in [0, 1], from `PreparedPhoto.uncertainty`.

    Returns:
        Mode RGB, of the photo's shape, with at most 1024 pixels on the long side.
    """
    height, width = lightness.shape
    scale = min(1.0, _SIDE / max(height, width))
    size = max(1, round(scale * width)), max(1, round(scale * height))
    gray = Image.fromarray(lightness.astype(np.float32, copy=False)).resize(size)
    level = Image.fromarray(uncertainty).resize(size, Image.Resampling.BILINEAR)
    stop = np.clip(np.asarray(level) / _MOST, 0, 1) * (len(_COLORS) - 1)
    channels = [np.interp(stop, np.arange(len(_COLORS)), channel) for channel in _COLORS.T]
    tint = np.stack(channels, axis=-1)
    mixed = (1 - _OPACITY) * 2.55 * np.asarray(gray)[..., None] + _OPACITY * tint
    return Image.fromarray(mixed.clip(0, 255).round().astype(np.uint8))
