"""ICC profiles of color codes: ITU-T H.273 (cICP, nclx), and gamma and chromaticities of PNG."""

from __future__ import annotations

import functools
from collections.abc import Callable

import imagecodecs
import numpy as np

_D65 = (0.3127, 0.3290)
SRGB_PRIMARIES = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
# White point; x and y of red, green and blue: H.273, table 2.
_PRIMARIES = {
    1: (_D65, SRGB_PRIMARIES),
    4: ((0.310, 0.316), (0.67, 0.33, 0.21, 0.71, 0.14, 0.08)),
    5: (_D65, (0.64, 0.33, 0.29, 0.60, 0.15, 0.06)),
    6: (_D65, (0.630, 0.340, 0.310, 0.595, 0.155, 0.070)),
    7: (_D65, (0.630, 0.340, 0.310, 0.595, 0.155, 0.070)),
    9: (_D65, (0.708, 0.292, 0.170, 0.797, 0.131, 0.046)),
    11: ((0.314, 0.351), (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)),
    12: (_D65, (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)),
}
_SRGB_TRANSFER, _PQ, _HLG = 13, 16, 18
_REFERENCE_WHITE, _PEAK = 203.0, 1000.0  # cd/m^2: BT.2408, and the brightest that is told apart
_SAMPLES = 4096  # of a curve, the most that LittleCMS reads


def _srgb(code: np.ndarray) -> np.ndarray:
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def _bt709(code: np.ndarray) -> np.ndarray:
    return np.where(code < 0.081, code / 4.5, ((code + 0.099) / 1.099) ** (1 / 0.45))


def _pq(code: np.ndarray) -> np.ndarray:
    """Returns PQ tone-mapped: SMPTE ST 2084."""
    root = code ** (32 / 2523)
    above = np.maximum(root - 107 / 128, 0)
    return _tone_mapped(10000 * (above / (2413 / 128 - 2392 / 128 * root)) ** (8192 / 1305))


def _hlg(code: np.ndarray) -> np.ndarray:
    """Returns HLG tone-mapped, for a display of 1000 cd/m^2: BT.2100."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    return _tone_mapped(1000 * scene**1.2)


def _tone_mapped(luminance: np.ndarray) -> np.ndarray:
    """Compresses cd/m^2 to [0, 1] by Reinhard's extended curve, which can be inverted."""
    relative = np.minimum(luminance, _PEAK) / _REFERENCE_WHITE
    peak = _PEAK / _REFERENCE_WHITE
    return relative * (1 + relative / peak**2) / (1 + relative)


_TRANSFERS: dict[int, float | Callable[[np.ndarray], np.ndarray]] = {
    **dict.fromkeys((1, 6, 14, 15), _bt709),
    4: 2.2,
    5: 2.8,
    8: 1.0,
    _SRGB_TRANSFER: _srgb,
    _PQ: _pq,
    17: 2.6,
    _HLG: _hlg,
}


def is_known(primaries: int, transfer: int) -> bool:
    """Returns whether `of_code` knows the codes."""
    return primaries in _PRIMARIES and transfer in _TRANSFERS


def is_hdr(transfer: int) -> bool:
    """Returns whether the transfer function is PQ or HLG."""
    return transfer in (_PQ, _HLG)


def of_code(primaries: int, transfer: int, *, is_full_range: bool = True) -> bytes:
    """Returns an ICC profile of RGB with codes of H.273; b"" for sRGB.

    PQ and HLG are tone-mapped to [0, 1], with a curve that can be inverted.
    """
    if (primaries, transfer) == (1, _SRGB_TRANSFER) and is_full_range:
        return b""
    white, colors = _PRIMARIES[primaries]
    curve = _TRANSFERS[transfer]
    if callable(curve) or not is_full_range:
        return _profile(white, colors, curve, is_full_range)
    return _gamma_profile(white, colors, curve)


def of_png(gamma: float | None, chromaticities: tuple[float, ...] | None) -> bytes:
    """Returns an ICC profile for PNG's gAMA and cHRM; b"" for sRGB.

    A gamma within 5 % of 1/2.2 with sRGB's primaries is sRGB, as in libpng.

    Args:
        gamma: exponent of encoding, such as 0.45455; None: the curve of sRGB.
        chromaticities: x and y of white, red, green and blue; None: those of sRGB.
    """
    srgb = (*_D65, *SRGB_PRIMARIES)
    values = chromaticities or srgb
    has_srgb_colors = np.abs(np.subtract(values, srgb)).max() < 0.002
    if has_srgb_colors and (gamma is None or abs(gamma * 2.2 - 1) < 0.05):
        return b""
    if gamma is None:
        return _profile(values[:2], values[2:], _srgb, True)
    return _gamma_profile(values[:2], values[2:], 1 / gamma)


@functools.lru_cache(64)
def _gamma_profile(white: tuple[float, ...], colors: tuple[float, ...], exponent: float) -> bytes:
    return imagecodecs.cms_profile("rgb", whitepoint=white, primaries=colors, gamma=exponent)


@functools.lru_cache(64)
def _profile(
    white: tuple[float, ...],
    colors: tuple[float, ...],
    curve: float | Callable[[np.ndarray], np.ndarray],
    is_full_range: bool,
) -> bytes:
    code = np.linspace(0, 1, _SAMPLES)
    if not is_full_range:  # 16 to 235 of 255
        code = np.clip((code * 255 - 16) / 219, 0, 1)
    linear = curve(code) if callable(curve) else code**curve
    table = np.rint(np.clip(linear, 0, 1) * 65535).astype(np.uint16)
    return imagecodecs.cms_profile(
        "rgb", whitepoint=(*white, 1.0), primaries=colors, transferfunction=table
    )
