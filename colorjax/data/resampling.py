"""Resizing to a square by the filters of published evaluations, rounded to 8 bits as they round."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

_COEFFICIENT = 2048  # OpenCV: 11-bit fixed point


def resized(rgb: np.ndarray, side: int, resampling: str) -> np.ndarray:
    """Resizes (H, W, 3) uint8 to a square; `side` 0 does not change it.

    Args:
        rgb: (H, W, 3) uint8.
        side: of the result, in pixels.
        resampling: a key of `RESAMPLINGS`: "bicubic" or "bilinear", Pillow's, with antialiasing;
            "area", exact areas; "opencv", see `opencv_bilinear`; "skimage", see
            `skimage_bilinear`.

    Returns:
        (side, side, 3) uint8.
    """
    if side in (0, rgb.shape[0]) and side in (0, rgb.shape[1]):
        return rgb
    return RESAMPLINGS[resampling](rgb, side)


def opencv_bilinear(rgb: np.ndarray, side: int) -> np.ndarray:
    """Resizes as OpenCV 4's `cv2.resize(rgb, (side, side))` does on uint8: without antialiasing.

    OpenCV weighs the two nearest pixels of each axis, in 11-bit fixed point. Its vertical pass
    drops four bits of the horizontal sums and 16 of each product, and rounds the rest.

    Args:
        rgb: (H, W, C) uint8.
        side: of the result, in pixels.

    Returns:
        (side, side, C) uint8, equal to OpenCV's in every bit.
    """
    rows, below, y = _taps(rgb.shape[0], side)
    columns, right, x = _taps(rgb.shape[1], side)
    # Beyond the last column OpenCV repeats it; beyond the last row too, but with its weight.
    x = np.where(columns == right, np.array([[_COEFFICIENT], [0]]), x)
    wide = rgb.astype(np.int32)
    across = wide[:, columns] * x[0][:, None] + wide[:, right] * x[1][:, None]
    shifted = across >> 4
    parts = [(y[k][:, None, None] * shifted[at]) >> 16 for k, at in enumerate((rows, below))]
    return np.clip((parts[0] + parts[1] + 2) >> 2, 0, 255).astype(np.uint8)


def _taps(length: int, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the two source indices of each output index, and their weights (2, side), int32."""
    scale = 1.0 / (side / length)  # as OpenCV computes it
    position = ((np.arange(side) + 0.5) * scale - 0.5).astype(np.float32)
    first = np.floor(position).astype(np.int32)
    share = position - first.astype(np.float32)
    weights = np.stack([np.float32(1) - share, share])
    fixed = np.rint(weights * np.float32(_COEFFICIENT)).astype(np.int32)
    return np.clip(first, 0, length - 1), np.clip(first + 1, 0, length - 1), fixed


def skimage_bilinear(rgb: np.ndarray, side: int) -> np.ndarray:
    """Resizes with scikit-image's bilinear filter, as CT2's script `segm/make_q_actual.py` does.

    A Gaussian prevents aliasing if both sides shrink. Values are truncated to 8 bits, not rounded.

    Args:
        rgb: (H, W, 3) uint8.
        side: of the result, in pixels.

    Returns:
        (side, side, 3) uint8.
    """
    from skimage import transform

    shrinks = rgb.shape[0] > side and rgb.shape[1] > side
    unit = transform.resize(rgb, (side, side), mode="reflect", anti_aliasing=shrinks)
    return (unit * 255).astype(np.uint8)


def _pillow(filter_: Image.Resampling) -> Callable[[np.ndarray, int], np.ndarray]:
    def resize(rgb: np.ndarray, side: int) -> np.ndarray:
        image = Image.fromarray(np.ascontiguousarray(rgb))
        return np.asarray(image.resize((side, side), filter_))

    return resize


def _area(rgb: np.ndarray, side: int) -> np.ndarray:
    rows, columns = (_areas(length, side) for length in rgb.shape[:2])
    averaged = np.einsum("ih,hwc,jw->ijc", rows, rgb.astype(np.float64), columns, optimize=True)
    return np.clip(np.rint(averaged), 0, 255).astype(np.uint8)


def _areas(length: int, side: int) -> np.ndarray:
    """Returns area overlaps (side, length): the weight of each old pixel in each new one."""
    edges = np.arange(side + 1) * (length / side)
    old = np.arange(length)
    high = np.minimum(edges[1:, None], old + 1)
    low = np.maximum(edges[:-1, None], old)
    return np.maximum(high - low, 0) / (length / side)


RESAMPLINGS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "bicubic": _pillow(Image.Resampling.BICUBIC),
    "bilinear": _pillow(Image.Resampling.BILINEAR),
    "area": _area,
    "opencv": opencv_bilinear,
    "skimage": skimage_bilinear,
}
