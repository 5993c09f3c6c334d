"""Three conversions from color to gray, each on a scale from 0 to 1."""

from typing import Any

import numpy as np

from colorjax.color import cie
from colorjax.color.arrays import Array, color_array, float_array, namespace
from colorjax.color.lab import lab_to_rgb, rgb_to_lab, rgb_u8_to_lab

GRAY_KINDS = ("lightness", "luma", "mean")

_LUMA = (0.299, 0.587, 0.114)  # of BT.601, on gamma-encoded values


def gray_from_rgb(rgb: Any, kind: str = "lightness") -> Array:
    """Converts colors to gray.

    Args:
        rgb: (..., 3) floating point, sRGB in [0, 1].
        kind: "lightness": L / 100 of CIE Lab; "luma": 0.299 R + 0.587 G + 0.114 B, the Y of Iizuka
            et al. 2016; "mean": (R + G + B) / 3.

    Returns:
        (..., 1) in [0, 1], in the kind and dtype of `rgb`.

    Raises:
        ValueError: `rgb` is not (..., 3) or holds integers, or the kind is unknown.

    >>> import numpy as np
    >>> float(gray_from_rgb(np.array([1.0, 0.5, 0.0]), "mean")[0])
    0.5
    """
    if kind not in GRAY_KINDS:
        raise ValueError(f"kind must be one of {', '.join(GRAY_KINDS)}, not {kind!r}")
    if kind == "lightness":
        return rgb_to_lab(rgb)[..., :1] / 100
    rgb = color_array(rgb, "rgb")
    if kind == "mean":
        return namespace(rgb).mean(rgb, axis=-1, keepdims=True)
    red, green, blue = _LUMA
    return red * rgb[..., :1] + green * rgb[..., 1:2] + blue * rgb[..., 2:]


def gray_of_lightness(lightness: Any) -> Array:
    """Returns the sRGB value of the neutral color with a given lightness.

    Args:
        lightness: L in [0, 100], floating point, any shape.

    Returns:
        The same shape, kind and dtype, in [0, 1]: the value of R = G = B with that L.

    Raises:
        ValueError: `lightness` holds integers.

    >>> import numpy as np
    >>> round(255 * float(gray_of_lightness(np.array(53.585))))
    128
    """
    lightness = float_array(lightness, "lightness")
    xp = namespace(lightness)
    root = (lightness + 16.0) / 116.0
    near_black = (root - cie.ROOT_OFFSET) / cie.ROOT_SLOPE
    luminance = xp.where(root > cie.ROOT_THRESHOLD, root * root * root, near_black)
    return cie.srgb_from_linear(xp, luminance)


def gray_plane(srgb: np.ndarray, kind: str = "lightness") -> np.ndarray:
    """Returns the sRGB-coded gray level of colors.

    Args:
        srgb: (..., 3), uint8, or float32 in [0, 1].
        kind: "lightness": the gray with the same L of CIE Lab; "luma" and "mean": see
            `gray_from_rgb`.

    Returns:
        (...) float32 in [0, 1].
    """
    is_8_bit = srgb.dtype == np.uint8
    if kind != "lightness":
        rgb = srgb.astype(np.float32) / 255 if is_8_bit else srgb
        return np.asarray(gray_from_rgb(rgb, kind))[..., 0]
    lab = np.array(rgb_u8_to_lab(srgb) if is_8_bit else rgb_to_lab(srgb))
    lab[..., 1:] = 0
    # Rounding to levels can give channels that differ by one; green contributes most to L.
    return np.asarray(lab_to_rgb(lab))[..., 1]


def gray_photo(rgb: np.ndarray, kind: str = "lightness") -> np.ndarray:
    """Returns the gray version of photos (..., H, W, 3) uint8; for `kind` see `gray_plane`."""
    gray = np.rint(255 * gray_plane(rgb, kind)).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=-1)
