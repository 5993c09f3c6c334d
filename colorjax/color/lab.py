"""sRGB to CIE Lab and back, for floats in [0, 1] and for 8-bit images."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from colorjax.color import cie
from colorjax.color.arrays import Array, check_last_axis, color_array, is_jax, namespace
from colorjax.color.gamut import shrink_chroma
from colorjax.color.scaling import AB_SCALE, normalize_ab, normalize_lightness

Gamut = Literal["clip", "shrink_chroma"]

# The host path works on blocks that fit a core's cache. Their 3 x 3 products are also too small for
# OpenBLAS to start threads, which would compete with the other workers of a data pipeline.
_BLOCK_PIXELS = 16384
_LINEAR_FROM_U8 = cie.linear_from_srgb(np, np.arange(256) / 255.0).astype(np.float32)
_XYZ_FROM_LINEAR = np.array(cie.RELATIVE_XYZ_FROM_RGB, np.float32)
_LAB_FROM_ROOTS = np.array(cie.LAB_FROM_ROOTS, np.float32)
_LAB_OFFSET = np.array([[-16], [0], [0]], np.float32)
# The same for the scale of the networks, L / 50 - 1 and ab / 110.
_NORMALIZED_SCALE = np.array([[50], [AB_SCALE], [AB_SCALE]], np.float32)
_NORMALIZED_FROM_ROOTS = _LAB_FROM_ROOTS / _NORMALIZED_SCALE
_NORMALIZED_OFFSET = np.array([[-16 / 50 - 1], [0], [0]], np.float32)


def rgb_to_lab(rgb: Any) -> Array:
    """Converts sRGB to CIE Lab (D65 white, 2 degree observer), equal to scikit-image's `rgb2lab`.

    Values slightly outside [0, 1], such as those of unclipped saturation scaling, follow the same
    curves. Gradients are finite everywhere.

    Args:
        rgb: (..., 3) floating point, sRGB in [0, 1]. float16 and bfloat16 become float32.

    Returns:
        (..., 3) Lab in the kind and dtype of `rgb`: L in [0, 100]; for colors inside sRGB a is in
        [-86.19, 98.24] and b in [-107.87, 94.48].

    Raises:
        ValueError: if `rgb` is not (..., 3) or holds integers.

    >>> rgb_to_lab(np.array([1.0, 0.0, 0.0])).round(2).tolist()
    [53.24, 80.09, 67.2]
    """
    rgb = color_array(rgb, "rgb")
    xp = namespace(rgb)
    return cie.lab_from_linear(xp, cie.linear_from_srgb(xp, rgb))


def lab_to_rgb(lab: Any, gamut: Gamut = "clip") -> Array:
    """Converts CIE Lab to sRGB, with a choice of gamut mapping for colors outside sRGB.

    Args:
        lab: (..., 3) floating point; L in [0, 100].
        gamut: "clip" clips the RGB channels, as scikit-image's `lab2rgb` does, which also changes
            the lightness; "shrink_chroma" keeps lightness and hue and reduces chroma.

    Returns:
        (..., 3) sRGB in [0, 1], in the kind and dtype of `lab`.

    Raises:
        ValueError: if `lab` is not (..., 3) or holds integers, or `gamut` is unknown.

    >>> lab_to_rgb(np.array([50.0, 0.0, 0.0])).round(3).tolist()
    [0.466, 0.466, 0.466]
    """
    if gamut not in ("clip", "shrink_chroma"):
        raise ValueError(f"gamut must be 'clip' or 'shrink_chroma', got {gamut!r}")
    lab = color_array(lab, "lab")
    xp = namespace(lab)
    reachable = shrink_chroma(lab) if gamut == "shrink_chroma" else lab
    return cie.srgb_from_linear(xp, cie.linear_from_lab(xp, reachable))


def rgb_u8_to_lab(rgb_u8: Any) -> Array:
    """Converts 8-bit sRGB to CIE Lab; on the host it is several times as fast as scikit-image.

    Args:
        rgb_u8: (..., 3) uint8, sRGB in [0, 255].

    Returns:
        (..., 3) float32 Lab in the kind of `rgb_u8`, within 1e-3 of `rgb_to_lab(rgb_u8 / 255)`.

    Raises:
        ValueError: if `rgb_u8` is not (..., 3) or not uint8.

    >>> rgb_u8_to_lab(np.array([255, 0, 0], np.uint8)).round().tolist()
    [53.0, 80.0, 67.0]
    """
    rgb_u8 = _checked_u8(rgb_u8)
    if is_jax(rgb_u8):
        return rgb_to_lab(rgb_u8.astype(np.float32) / 255.0)
    lab = np.empty((rgb_u8.size // 3, 3), np.float32)
    _write_planes(rgb_u8.reshape(-1, 3), _LAB_FROM_ROOTS, _LAB_OFFSET, list(lab.T))
    return lab.reshape(rgb_u8.shape)


def rgb_u8_to_normalized(rgb_u8: Any) -> tuple[Array, Array]:
    """Converts 8-bit sRGB to network inputs and targets, as fast as `rgb_u8_to_lab`.

    Args:
        rgb_u8: (..., 3) uint8, sRGB in [0, 255].

    Returns:
        `normalize_lightness` of L, (..., 1), and `normalize_ab` of ab, (..., 2); float32, in the
        kind of `rgb_u8`.

    Raises:
        ValueError: if `rgb_u8` is not (..., 3) or not uint8.
    """
    if is_jax(rgb_u8):
        lab = rgb_u8_to_lab(rgb_u8)
        return normalize_lightness(lab[..., :1]), normalize_ab(lab[..., 1:])
    pixels = _checked_u8(rgb_u8).reshape(-1, 3)
    gray, ab = np.empty((len(pixels), 1), np.float32), np.empty((len(pixels), 2), np.float32)
    planes = [gray[:, 0], ab[:, 0], ab[:, 1]]
    _write_planes(pixels, _NORMALIZED_FROM_ROOTS, _NORMALIZED_OFFSET, planes)
    shape = np.shape(rgb_u8)[:-1]
    return gray.reshape(*shape, 1), ab.reshape(*shape, 2)


def lab_to_rgb_u8(lab: Any, gamut: Gamut = "clip") -> Array:
    """Converts CIE Lab to 8-bit sRGB, rounded half to even.

    Args:
        lab: (..., 3) floating point; L in [0, 100].
        gamut: as in `lab_to_rgb`.

    Returns:
        (..., 3) uint8 sRGB in [0, 255], in the kind of `lab`: the exact inverse of `rgb_u8_to_lab`
        for all 16,777,216 colors.

    Raises:
        ValueError: if `lab` is not (..., 3) or holds integers, or `gamut` is unknown.

    >>> lab_to_rgb_u8(rgb_u8_to_lab(np.array([12, 200, 255], np.uint8))).tolist()
    [12, 200, 255]
    """
    rgb = lab_to_rgb(lab, gamut)
    return namespace(rgb).round(rgb * 255.0).astype(np.uint8)


def _checked_u8(rgb_u8: Any) -> Array:
    rgb_u8 = rgb_u8 if is_jax(rgb_u8) else np.asarray(rgb_u8)
    if rgb_u8.dtype != np.uint8:
        raise ValueError(f"rgb_u8 must be uint8, got {rgb_u8.dtype}: use rgb_to_lab for floats")
    check_last_axis(rgb_u8, 3, "rgb_u8")
    return rgb_u8


def _write_planes(
    rgb_u8: np.ndarray, matrix: np.ndarray, offset: np.ndarray, planes: Sequence[np.ndarray]
) -> None:
    """Writes matrix @ f(XYZ) + offset of (N, 3) pixels into three planes (N,), block by block."""
    for start in range(0, len(rgb_u8), _BLOCK_PIXELS):
        block = slice(start, start + _BLOCK_PIXELS)
        # mode="clip" avoids the bounds check: a uint8 cannot exceed a table of 256.
        linear = _LINEAR_FROM_U8.take(rgb_u8[block].T, mode="clip")
        mixed = matrix @ _lightness_roots(_XYZ_FROM_LINEAR @ linear)
        mixed += offset
        for plane, values in zip(planes, mixed, strict=True):
            plane[block] = values  # three strided copies are faster than one transposition


def _lightness_roots(xyz: np.ndarray) -> np.ndarray:
    """Returns f(t) of Lab without a branch: f(max(t, t0)) + 7.787 min(t - t0, 0); overwrites `xyz`.

    `np.where` costs more here than the cube root. The two pieces of f differ by 3.3e-7 at the
    threshold t0, and this form adds that step to all darker values: 1.7e-4 in a.
    """
    below = np.minimum(xyz, cie.XYZ_THRESHOLD)
    below -= cie.XYZ_THRESHOLD
    xyz -= below
    roots = np.cbrt(xyz, out=xyz)
    below *= cie.ROOT_SLOPE
    roots += below
    return roots
