"""Fast conversion of sRGB to 8 bits of an ICC profile that is a matrix and three curves.

Such are the profiles of cameras, screens and working spaces (Adobe RGB, Display P3, ProPhoto):

    value_c = curve_c(sum over d of matrix_cd linear_d)

with linear sRGB. LittleCMS computes this in float32 in 0.17 s for a megapixel; tables take a
tenth of that. LittleCMS itself provides the curves, and a comparison with it decides whether
a profile is used this way.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from colorjax.color import cie

_STEPS = 2**16  # of the curves
_FINE_STEPS = 2**18  # of sRGB: curves of other profiles are steeper near black
_BLOCK_PIXELS = 2**14  # of a conversion: they fit into a core's cache
_NEAR = 0.55  # of an 8-bit step, maximum distance to LittleCMS before it rounds
_COLORANTS = (b"rXYZ", b"gXYZ", b"bXYZ")

# (n, W, 3) sRGB in [0, 1] -> the values of a profile, by LittleCMS.
Through = Callable[[np.ndarray], np.ndarray]


class MatrixProfile(NamedTuple):
    """A profile as tables.

    Attributes:
        matrix: (3, 3) float32, of linear sRGB; rows have the sum 1.
        curves: (3, 65536) uint8: 255 times the value of a channel with the linear value
            (i / 65535)^2.
    """

    matrix: np.ndarray
    curves: np.ndarray

    def write(self, srgb: np.ndarray, colors: np.ndarray) -> None:
        """Writes (n, W, 3) sRGB, float32 in [0, 1], into `colors`, uint8 of the profile."""
        height, width = srgb.shape[:2]
        step = max(1, _BLOCK_PIXELS // max(1, width))
        for top in range(0, height, step):
            rows = slice(top, top + step)
            codes = _coded(np.clip(srgb[rows], 0, 1), _FINE_STEPS)
            linear = self.matrix @ _linear().take(codes.reshape(-1, 3).T)
            codes = _coded(np.sqrt(np.clip(linear, 0, 1, out=linear), out=linear), _STEPS)
            for channel in range(3):
                values = self.curves[channel].take(codes[channel])
                colors[rows, :, channel] = values.reshape(-1, width)


def read(profile: bytes, srgb: bytes, through: Through) -> MatrixProfile | None:
    """Returns an RGB profile as tables; None: it is none, or its tables differ from LittleCMS.

    Args:
        profile: that LittleCMS can write to.
        srgb: an ICC profile of sRGB, a matrix and three curves.
        through: converts to `profile`.
    """
    own, theirs = _colorants(srgb), _colorants(profile)
    if own is None or theirs is None or abs(np.linalg.det(theirs)) < 1e-6:
        return None
    matrix = np.linalg.solve(theirs, own)
    white = matrix.sum(axis=1, keepdims=True)
    if not (white > 0.5).all():
        return None
    ramp = cie.srgb_from_linear(np, np.linspace(0, 1, _STEPS) ** 2).astype(np.float32)
    grays = np.repeat(ramp[None, :, None], 3, axis=2)
    values = np.clip(through(grays)[0].T, 0, 1) * np.float32(255)
    tables = MatrixProfile((matrix / white).astype(np.float32), np.rint(values).astype(np.uint8))
    return tables if _is_exact(tables, through) else None


def _is_exact(tables: MatrixProfile, through: Through) -> bool:
    steps = np.linspace(0, 1, 18, dtype=np.float32)
    grid = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    samples = np.concatenate([grid, grid / 16], axis=1)  # curves are steepest near black
    written = np.empty(samples.shape, np.uint8)
    tables.write(samples, written)
    exact = np.clip(through(samples), 0, 1) * 255
    return bool(np.abs(written - exact).max() < _NEAR)


def _colorants(profile: bytes) -> np.ndarray | None:
    """Returns XYZ of the three primaries as columns, (3, 3); None: the profile lacks them."""
    try:
        (number,) = struct.unpack_from(">I", profile, 128)
        places = {}
        for entry in range(min(number, 100)):
            name, start, _ = struct.unpack_from(">4sII", profile, 132 + 12 * entry)
            places[name] = start
        columns = [struct.unpack_from(">3i", profile, places[name] + 8) for name in _COLORANTS]
    except (struct.error, KeyError):
        return None
    return np.array(columns, np.float64).T / 65536


def _coded(unit: np.ndarray, steps: int) -> np.ndarray:
    return (unit * np.float32(steps - 1) + np.float32(0.5)).astype(np.int32)


@functools.cache
def _linear() -> np.ndarray:
    """Returns linear sRGB of i / 262143, (262144,) float32."""
    return cie.linear_from_srgb(np, np.arange(_FINE_STEPS) / (_FINE_STEPS - 1)).astype(np.float32)
