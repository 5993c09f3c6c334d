"""Pixel access of the Colorizer: arrays here, photo files in photos/."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from PIL import Image

from colorjax import color
from colorjax.data.decode import to_rgb_or_rgba


class Pixels(Protocol):
    """A photo that is read and painted in bands of rows."""

    height: int
    width: int
    is_8_bit: bool  # whether `paint` takes uint8 instead of float32

    def srgb(self, rows: slice) -> np.ndarray:
        """Returns sRGB (n, W, 1 or 3) of some rows: uint8, or floating point in [0, 1]."""
        ...

    def paint(self, rows: slice, srgb: np.ndarray) -> None:
        """Stores the new sRGB (n, W, 3) of some rows, uint8 or float32 in [0, 1]."""
        ...


class ArrayPixels:
    """Pixels of an array as in `Colorizer.colorize`; alpha is kept.

    Attributes:
        painted: result, (H, W, 3), or (H, W, 4) with the array's alpha, of the array's dtype.
    """

    def __init__(self, image: np.ndarray):
        """Takes (H, W) or (H, W, 1 to 4), uint8 or floating point in [0, 1].

        Raises:
            ValueError: `image` has an unsupported type, shape, dtype or range.
        """
        pixels = _checked(image)
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        self.height, self.width, channels = pixels.shape
        self.is_8_bit = pixels.dtype == np.uint8
        has_alpha = channels in (2, 4)
        self._colors = pixels[..., :-1] if has_alpha else pixels
        self.painted = np.empty((self.height, self.width, 4 if has_alpha else 3), pixels.dtype)
        if has_alpha:
            self.painted[..., 3] = pixels[..., -1]

    @classmethod
    def of(cls, image: np.ndarray | Image.Image) -> ArrayPixels:
        """Returns the pixels of an array or of a Pillow image of any mode."""
        return cls(np.asarray(to_rgb_or_rgba(image)) if isinstance(image, Image.Image) else image)

    def srgb(self, rows: slice) -> np.ndarray:
        """Returns the colors of some rows, (n, W, 1 or 3), of the array's dtype."""
        return self._colors[rows]

    def paint(self, rows: slice, srgb: np.ndarray) -> None:
        """Stores the new colors of some rows, (n, W, 3)."""
        self.painted[rows, :, :3] = srgb


def _checked(image: object) -> np.ndarray:
    """Returns the array if `colorize` supports it, else raises a ValueError with the reason."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f"image must be a NumPy array or a Pillow image, got {type(image)}")
    channels = image.shape[2:] or (1,)
    if image.ndim not in (2, 3) or channels[0] not in (1, 2, 3, 4) or 0 in image.shape:
        raise ValueError(
            "image must have shape (H, W), (H, W, 1) or (H, W, 3), with alpha (H, W, 2) or "
            f"(H, W, 4), got {image.shape}"
        )
    if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"image must hold uint8, or floats in [0, 1], got {image.dtype}")
    if image.dtype != np.uint8 and not (image.min() >= 0 and image.max() <= 1):
        raise ValueError(
            f"image holds floats and must be in [0, 1], got [{image.min()}, {image.max()}]; divide "
            "8-bit values by 255.0"
        )
    return image


def lightness_of(srgb: np.ndarray) -> np.ndarray:
    """Returns L (n, W), float32, of sRGB (n, W, 1 or 3)."""
    if srgb.dtype == np.uint8:
        return color.rgb_u8_to_lab(np.broadcast_to(srgb, (*srgb.shape[:2], 3)))[..., 0]
    return color.rgb_to_lab(as_float(srgb))[..., 0]


def as_float(srgb: np.ndarray) -> np.ndarray:
    """Returns sRGB (n, W, 1 or 3) as float32 (n, W, 3) in [0, 1]."""
    rgb = np.broadcast_to(srgb, (*srgb.shape[:2], 3)).astype(np.float32)
    return rgb / 255 if srgb.dtype == np.uint8 else rgb
