"""Color space and bit depth of a file, and conversion to and from sRGB.

LittleCMS converts in float32, so that a round trip of a 16-bit value through sRGB is exact. From
8-bit RGB to sRGB it converts in 16 bits, which is ten times as fast with an error of at most 0.3 of
an 8-bit step. In the other direction the 16-bit error was 5 steps near black; there, 8 bits of most
profiles come from tables (`matrix_profile`).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import imagecodecs
import numpy as np

from colorjax.photos import matrix_profile

# Limits the memory of conversions, which hold several float32 copies of a band of rows.
_BAND_PIXELS = 2**17
# Maximum error of 8-bit colors if a profile this close to sRGB is treated as sRGB.
_NEAR_SRGB = 0.4 / 255
_MOST_PROFILE_BYTES = 2**24
_MODELS = {b"RGB ": "rgb", b"GRAY": "gray", b"CMYK": "cmyk"}
_CHANNELS = {"rgb": 3, "gray": 3, "cmyk": 4}  # channels of the buffer; gray photos get colors
_INK = 100.0  # LittleCMS scales the inks of float CMYK to percent


@dataclasses.dataclass(frozen=True)
class Space:
    """How color channels are coded.

    Attributes:
        dtype: dtype of the pixels.
        full: the value of white (of full ink in CMYK).
        model: "rgb", "gray" (three equal channels that become sRGB when painted) or "cmyk".
        profile: ICC profile; None: sRGB.
    """

    dtype: np.dtype
    full: float
    model: str = "rgb"
    profile: bytes | None = None

    @property
    def num_colors(self) -> int:
        """Channels of the buffer that hold colors."""
        return _CHANNELS[self.model]

    @property
    def is_plain_u8(self) -> bool:
        """Whether the values are already 8-bit sRGB."""
        return self.profile is None and self.dtype == np.uint8 and self.full == 255

    def to_srgb(self, colors: np.ndarray) -> np.ndarray:
        """Returns (n, W, 3) sRGB: uint8 (maybe a view) if `is_plain_u8`, else float32 in [0, 1]."""
        if self.is_plain_u8:
            return colors
        srgb = np.empty((*colors.shape[:2], 3), np.float32)
        fast = self._is_fast
        for rows in bands(colors):
            if fast and self.profile is not None:
                srgb[rows] = _fast_srgb(colors[rows], self.profile)
            else:
                srgb[rows] = self._float_srgb(self._unit(colors[rows]))
        return srgb

    def from_srgb(self, srgb: np.ndarray, colors: np.ndarray) -> None:
        """Writes (n, W, 3) sRGB, uint8 or float32 in [0, 1], into `colors`."""
        becomes_srgb = self.profile is None or self.model == "gray"
        if becomes_srgb and srgb.dtype == self.dtype == np.uint8 and self.full == 255:
            colors[...] = srgb
            return
        tables = self._tables if srgb.dtype == np.float32 else None
        if tables is not None:
            tables.write(srgb, colors)
            return
        for rows in bands(colors):
            unit = srgb[rows].astype(np.float32)
            if srgb.dtype == np.uint8:
                unit /= 255
            if self.profile is not None and not becomes_srgb:
                unit = from_profile_space(np.clip(unit, 0, 1), self.profile, self.model)
            colors[rows] = self.coded(unit)

    @property
    def _tables(self) -> matrix_profile.MatrixProfile | None:
        """The profile as tables, where they are as precise as LittleCMS: 8-bit RGB."""
        if self.profile is None or self.model != "rgb" or self.dtype != np.uint8:
            return None
        return matrix_tables(self.profile) if self.full == 255 else None

    @property
    def _is_fast(self) -> bool:
        if self.profile is None or self.model != "rgb" or self.dtype != np.uint8:
            return False
        return self.full == 255 and is_fast_exact(self.profile)

    def coded(self, unit: np.ndarray) -> np.ndarray:
        """Returns values of [0, 1] in the file's depth; uses float64 if float32 is too coarse."""
        wide = np.float64 if self.full > 2**20 else np.float32
        scaled = np.clip(np.asarray(unit, wide), 0, 1) * wide(self.full)
        if self.dtype.kind == "f":
            return scaled.astype(self.dtype)
        return np.rint(scaled).astype(self.dtype)

    def _unit(self, colors: np.ndarray) -> np.ndarray:
        wide = np.float64 if self.dtype == np.float64 else np.float32
        # Signaling NaNs are "invalid" and become 0; float64 values may exceed the float32 range.
        with np.errstate(invalid="ignore", over="ignore"):
            unit = colors.astype(wide)
            if self.full != 1:
                unit /= wide(self.full)
            unit = unit.astype(np.float32, copy=False)
        if self.dtype.kind == "f":
            np.nan_to_num(unit, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
        return np.clip(unit, 0, 1, out=unit)

    def _float_srgb(self, unit: np.ndarray) -> np.ndarray:
        if self.profile is None:
            return unit
        return to_srgb_through(unit, self.profile, self.model)


def bands(pixels: np.ndarray, least_rows: int = 1) -> list[slice]:
    """Returns slices of rows small enough for conversions that make copies."""
    height, width = pixels.shape[:2]
    step = max(least_rows, _BAND_PIXELS // max(1, width))
    return [slice(top, min(top + step, height)) for top in range(0, height, step)]


def to_srgb_through(unit: np.ndarray, profile: bytes, model: str) -> np.ndarray:
    """Converts (n, W, C) float32 in [0, 1] through an ICC profile to (n, W, 3) sRGB in [0, 1]."""
    if model == "gray":
        unit = unit[..., 0]
    if model == "cmyk":
        unit = unit * np.float32(_INK)
    srgb = _transform(unit, profile, srgb_profile(), model, "rgb")
    return np.clip(srgb, 0, 1, out=srgb)


def _fast_srgb(colors: np.ndarray, profile: bytes) -> np.ndarray:
    red, green, blue = np.moveaxis(colors, -1, 0)
    if np.array_equal(red, green) and np.array_equal(red, blue):  # most photos to be colorized
        return _fast_grays(profile).take(red, axis=0)
    return _converted(colors, profile)


@functools.lru_cache(64)
def _fast_grays(profile: bytes) -> np.ndarray:
    """Returns the sRGB of each gray of an 8-bit RGB profile, (256, 3)."""
    grays = np.arange(256, dtype=np.uint8)[None, :, None]
    return _converted(np.repeat(grays, 3, axis=2), profile)[0]


def _converted(colors: np.ndarray, profile: bytes) -> np.ndarray:
    wide = _transform(colors, profile, srgb_profile(), "rgb", "rgb", "uint16")
    return wide * np.float32(1 / 65535)


@functools.lru_cache(64)
def is_fast_exact(profile: bytes) -> bool:
    """Returns whether 16-bit conversion of an RGB profile is precise enough for 8-bit values."""
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    colors = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    exact = to_srgb_through((colors / 255).astype(np.float32), profile, "rgb")
    return bool(np.abs(_fast_srgb(colors, profile) - exact).max() < _NEAR_SRGB)


def from_profile_space(srgb: np.ndarray, profile: bytes, model: str) -> np.ndarray:
    """Converts (n, W, 3) float32 sRGB into the space of an ICC profile, float32 in [0, 1]."""
    unit = _transform(srgb, srgb_profile(), profile, "rgb", model)
    if model == "cmyk":
        unit /= np.float32(_INK)
    return unit


@functools.lru_cache(64)
def matrix_tables(profile: bytes) -> matrix_profile.MatrixProfile | None:
    """Returns a writable RGB profile as tables; None: only LittleCMS can convert to it."""

    def through(srgb: np.ndarray) -> np.ndarray:
        return from_profile_space(srgb, profile, "rgb")

    return matrix_profile.read(profile, srgb_profile(), through)


def _transform(
    values: np.ndarray, source: bytes, target: bytes, model: str, out: str, dtype: str = "float32"
) -> np.ndarray:
    result = imagecodecs.cms_transform(
        np.ascontiguousarray(values),
        source,
        target,
        colorspace=model,
        outcolorspace=out,
        outdtype=dtype,
        intent=1,  # relative colorimetric: colors inside both gamuts are preserved
    )
    return np.nan_to_num(result, copy=False, nan=0.0) if dtype == "float32" else result


@functools.cache
def srgb_profile() -> bytes:
    """Returns a small ICC profile of sRGB."""
    return imagecodecs.cms_profile("srgb")


def choose(
    profile: bytes, model: str, dtype: Any, full: float
) -> tuple[Space | None, bytes, tuple[str, ...]]:
    """Selects the color space of a file.

    Args:
        profile: ICC profile of the file, or empty.
        model: model of the stored pixels: "rgb", "gray" or "cmyk".
        dtype: dtype of the pixels.
        full: the value of white.

    Returns:
        The space, None for CMYK without a usable profile; the profile of the painted photo; notes.
    """
    dtype = np.dtype(dtype)
    plain = None if model == "cmyk" else Space(dtype, full)
    if not profile:
        return plain, b"", ()
    kind = _MODELS.get(profile[16:20])
    fits = kind == model or (model == "gray" and kind == "rgb")
    if not fits or not usable(profile, kind or ""):
        why = "is damaged" if kind is None or fits else "does not match its pixels"
        return plain, b"", (f"its color profile {why}: dropped, colors read as sRGB",)
    if kind == "gray":
        return (
            Space(dtype, full, "gray", profile),
            srgb_profile(),
            ("its gray profile was applied and replaced by sRGB",),
        )
    if kind == "rgb" and is_srgb(profile):
        return plain, profile, ()
    if not writable(profile, kind or ""):
        return (
            Space(dtype, full, "gray", profile) if kind == "gray" else plain,
            b"",
            ("its color profile cannot be used for writing: dropped, colors read as sRGB",),
        )
    return Space(dtype, full, kind or "rgb", profile), profile, ()


@functools.lru_cache(64)
def usable(profile: bytes, model: str) -> bool:
    """Returns whether LittleCMS can convert from a profile of this model to sRGB."""
    if model not in _CHANNELS or not 128 < len(profile) <= _MOST_PROFILE_BYTES:
        return False
    try:
        srgb = to_srgb_through(_samples(_CHANNELS[model]), profile, model)
    except Exception:  # CmsError, or any error caused by a damaged profile
        return False
    return bool(np.isfinite(srgb).all() and np.ptp(srgb) > 0.1)


@functools.lru_cache(64)
def writable(profile: bytes, model: str) -> bool:
    """Returns whether LittleCMS can convert sRGB to a profile; scanner profiles are one-way."""
    try:
        from_profile_space(_samples(3), profile, model)
    except Exception:  # see usable
        return False
    return True


@functools.lru_cache(64)
def is_srgb(profile: bytes) -> bool:
    """Returns whether a usable RGB profile equals sRGB to 8-bit precision."""
    samples = _samples(3)
    return bool(np.abs(to_srgb_through(samples, profile, "rgb") - samples).max() < _NEAR_SRGB)


def _samples(channels: int) -> np.ndarray:
    steps = np.linspace(0, 1, 9 if channels == 3 else 5, dtype=np.float32)
    return np.stack(np.meshgrid(*[steps] * channels), -1).reshape(1, -1, channels)


def srgb_from_lab_d50(lab: np.ndarray) -> np.ndarray:
    """Converts (..., 3) CIE Lab under D50, as TIFF stores it, to float32 sRGB in [0, 1]."""
    y = (lab[..., 0] + 16) / 116
    roots = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], -1)
    xyz = np.where(roots > 6 / 29, roots**3, (roots - 4 / 29) * (3 * (6 / 29) ** 2))
    linear = xyz * np.array([0.96422, 1.0, 0.82521]) @ _LINEAR_FROM_XYZ_D50.T
    linear = np.clip(linear, 0, 1)
    srgb = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return srgb.astype(np.float32)


# Linear sRGB from XYZ under D50, adapted by Bradford (brucelindbloom.com, "RGB/XYZ matrices").
_LINEAR_FROM_XYZ_D50 = np.array(
    [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
)
