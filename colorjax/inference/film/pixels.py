"""Frames of any pixel format as upright sRGB."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from colorjax.color.cie import linear_from_srgb, srgb_from_linear
from colorjax.inference.film.av_package import import_av

_LIMITED = 1  # AVCOL_RANGE_MPEG: 8-bit luma from 16 to 235
# Linear RGB to linear sRGB, by the code of the primaries (ISO/IEC 23091-2): BT.2020 (ITU-R
# BT.2087, section 4) and P3 with white D65 (SMPTE EG 432-1).
_TO_SRGB = {
    9: [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    12: [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]],
}
WIDE_GAMUTS = frozenset(_TO_SRGB)


class Orientation(NamedTuple):
    """How stored pixels become upright: transposed first, then flipped."""

    transposed: bool
    flips_rows: bool
    flips_columns: bool

    def upright(self, pixels: np.ndarray) -> np.ndarray:
        """Returns upright pixels of stored ones, both (H, W, C)."""
        if self.transposed:
            pixels = pixels.transpose(1, 0, 2)
        rows, columns = (
            slice(None, None, -1 if flips else 1) for flips in (self.flips_rows, self.flips_columns)
        )
        return np.ascontiguousarray(pixels[rows, columns])


def orientation_of(frame: Any) -> Orientation:
    """Returns the orientation of a decoded frame, from its display matrix.

    The matrix (ISO/IEC 14496-12, 6.2.2) maps stored x, y to a x + c y, b x + d y, and may turn and
    mirror. Angles between the eight orientations count as the nearest one.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return Orientation(False, False, False)
    a, b, _, c, d = (int(x) for x in np.frombuffer(bytes(data), np.int32)[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, d < 0, a < 0)
    return Orientation(True, b < 0, c < 0)


def is_gray(format_: Any) -> bool:
    """Returns whether a pixel format has no chroma and no palette."""
    return format_.name.startswith(("gray", "ya", "y400"))


def rgb_of(frame: Any, width: int, height: int, matrix: int) -> np.ndarray:
    """Returns a decoded frame as sRGB, uint8 (height, width, 3), as stored: not upright.

    Range, matrix and primaries of the frame count. Wide gamuts are converted by the curve of sRGB.

    Args:
        frame: any pixel format and size.
        width: of the result.
        height: of the result.
        matrix: swscale's number of the YCbCr matrix.
    """
    kinds = import_av().video.reformatter.Interpolation
    rgb = frame.reformat(
        width,
        height,
        "rgb24",
        src_colorspace=matrix,
        interpolation=kinds.BICUBIC | kinds.ACCURATE_RND | kinds.FULL_CHR_H_INT,
    ).to_ndarray()
    if is_gray(frame.format) and int(frame.color_range) == _LIMITED:
        # swscale reads gray formats as full range, whatever the frame says.
        rgb = _expanded(frame.format.components[0].bits)[rgb]
    primaries = int(frame.color_primaries)
    return _srgb(rgb, _TO_SRGB[primaries]) if primaries in _TO_SRGB else rgb


def _expanded(bits: int) -> np.ndarray:
    """Returns 8-bit values of the full range for those of the limited range read as full range.

    With n bits, black is 16 * 2^(n - 8), and white is 235 * 2^(n - 8) (ITU-R BT.709 and BT.2100).
    """
    code = np.arange(256) / 255 * (2**bits - 1) / 2 ** (bits - 8)
    return np.clip(np.rint((code - 16) * 255 / 219), 0, 255).astype(np.uint8)


def _srgb(rgb: np.ndarray, to_srgb: list[list[float]]) -> np.ndarray:
    """Converts a wide gamut, uint8 (H, W, 3), to sRGB; pixels without color do not change."""
    has_color = np.ptp(rgb, axis=-1) > 0
    if not has_color.any():
        return rgb
    curve = linear_from_srgb(np, np.arange(256, dtype=np.float32) / 255)
    linear = curve[rgb[has_color]] @ np.array(to_srgb, np.float32).T
    result = rgb.copy()
    result[has_color] = np.rint(srgb_from_linear(np, linear) * 255).astype(np.uint8)
    return result
