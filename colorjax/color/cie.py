"""The constants and curves between sRGB and CIE Lab (D65 white, 2 degree observer).

The constants are those of scikit-image, with which the published colorization networks were
trained. Every function takes the array namespace first and works on (..., 3) arrays. Channels are
mixed without a dot product, because XLA computes a float32 dot in TF32 or bfloat16 on accelerators,
and color is always float32. `maximum` keeps the argument of each power inside the range of its
branch, so that gradients of the branch that is not selected stay finite.
"""

from typing import Any

import numpy as np

from colorjax.color.arrays import Array

Matrix = list[list[float]]

XYZ_FROM_RGB = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)
WHITE_XYZ = np.array([0.95047, 1.0, 1.08883])

# Linear RGB to XYZ relative to white, and back; lists of Python floats do not change dtypes.
RELATIVE_XYZ_FROM_RGB: Matrix = (XYZ_FROM_RGB / WHITE_XYZ[:, None]).tolist()
RGB_FROM_RELATIVE_XYZ: Matrix = np.linalg.inv(XYZ_FROM_RGB / WHITE_XYZ[:, None]).tolist()

# L = 116 f(Y) - 16, a = 500 (f(X) - f(Y)), b = 200 (f(Y) - f(Z)), without the -16.
LAB_FROM_ROOTS: Matrix = [[0.0, 116.0, 0.0], [500.0, -500.0, 0.0], [0.0, 200.0, -200.0]]

SRGB_THRESHOLD = 0.04045
LINEAR_THRESHOLD = 0.0031308
XYZ_THRESHOLD = 0.008856
ROOT_THRESHOLD = 0.2068966
ROOT_SLOPE = 7.787
ROOT_OFFSET = 16.0 / 116.0


def linear_from_srgb(xp: Any, rgb: Array) -> Array:
    """Inverts the sRGB curve: ((v + 0.055) / 1.055) ** 2.4, or v / 12.92 near black and below."""
    power = ((xp.maximum(rgb, SRGB_THRESHOLD) + 0.055) / 1.055) ** 2.4
    return xp.where(rgb > SRGB_THRESHOLD, power, rgb / 12.92)


def srgb_from_linear(xp: Any, linear: Array) -> Array:
    """Applies the sRGB curve and clips to [0, 1]."""
    power = 1.055 * xp.maximum(linear, LINEAR_THRESHOLD) ** (1 / 2.4) - 0.055
    return xp.clip(xp.where(linear > LINEAR_THRESHOLD, power, 12.92 * linear), 0.0, 1.0)


def lab_from_linear(xp: Any, linear: Array) -> Array:
    """Converts linear RGB to Lab: t = XYZ / white, f(t) = cbrt(t) or 7.787 t + 16/116 (dark)."""
    # Channels stay separate to the end: a stack in between halves the speed of XLA's CPU backend.
    x, y, z = (_lab_root(xp, t) for t in _mixed(RELATIVE_XYZ_FROM_RGB, linear))
    return xp.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], axis=-1)


def _lab_root(xp: Any, t: Array) -> Array:
    cube_root = _cube_root(xp, xp.maximum(t, XYZ_THRESHOLD))
    return xp.where(t > XYZ_THRESHOLD, cube_root, ROOT_SLOPE * t + ROOT_OFFSET)


def _cube_root(xp: Any, x: Array) -> Array:
    """Returns the cube root of positive numbers."""
    if xp is np:
        return np.cbrt(x)
    # XLA's CPU backend vectorizes exp and log but not cbrt: six times as fast. A step of Newton's
    # method corrects the rounding.
    root = xp.exp(xp.log(x) / 3)
    return root - (root - x / (root * root)) / 3


def linear_from_lab(xp: Any, lab: Array) -> Array:
    """Converts Lab to linear RGB, clipping f(Z) to at least 0 only, as scikit-image does."""
    y = (lab[..., 0] + 16.0) / 116.0
    x = lab[..., 1] / 500.0 + y
    z = xp.maximum(y - lab[..., 2] / 200.0, 0.0)
    roots = xp.stack([x, y, z], axis=-1)
    near_black = (roots - ROOT_OFFSET) / ROOT_SLOPE
    xyz = xp.where(roots > ROOT_THRESHOLD, roots * roots * roots, near_black)
    return _mix_channels(xp, RGB_FROM_RELATIVE_XYZ, xyz)


def _mix_channels(xp: Any, matrix: Matrix, color: Array) -> Array:
    return xp.stack(_mixed(matrix, color), axis=-1)


def _mixed(matrix: Matrix, color: Array) -> list[Array]:
    first, second, third = color[..., 0], color[..., 1], color[..., 2]
    return [i * first + j * second + k * third for i, j, k in matrix]
