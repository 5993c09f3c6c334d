"""Mean hue of a photo, and histograms of the hues of training and validation photos."""

from __future__ import annotations

import colorsys
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont


class MeanHues(NamedTuple):
    """Mean hue of one photo, in [0, 1)."""

    arithmetic: float  # mean of the hues as numbers
    circular: float  # mean of the hues as angles


MEANS = MeanHues._fields


def hue(rgb_u8: np.ndarray) -> np.ndarray:
    """Returns the HSV hue, as computed by skimage.color.rgb2hsv.

    Args:
        rgb_u8: (..., 3) uint8 sRGB.

    Returns:
        (...) float64 in [0, 1): 0 red, 1/3 green, 2/3 blue; 0 for gray, which has no hue.
    """
    return _hue(rgb_u8)[0]


def mean_hues(rgb_u8: np.ndarray) -> MeanHues:
    """Returns both mean hues of a photo.

    The arithmetic mean is that of the original: gray pixels count as hue 0 (red), and the mean of
    reds just below 1 and just above 0 is cyan. The circular mean is the angle of the sum of unit
    vectors. It ignores gray pixels: counted as hue 0 they would pull every photo toward red.
    Colored pixels have equal weight, independent of their saturation.

    Args:
        rgb_u8: (..., 3) uint8 sRGB.

    Returns:
        Both in [0, 1); the circular mean is 0 if no pixel is colored or if the vectors cancel out.
    """
    hues, is_colored = _hue(rgb_u8)
    return MeanHues(float(hues.mean()), _circular_mean(hues[is_colored]))


def _hue(rgb_u8: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the hue, and a mask of the pixels that have one."""
    red, green, blue = np.ascontiguousarray(np.moveaxis(rgb_u8, -1, 0), np.int16)
    top = np.maximum(np.maximum(red, green), blue)
    spread = top - np.minimum(np.minimum(red, green), blue)
    whole = np.maximum(spread, 1)
    sixths = np.where(
        blue == top,
        4 + (red - green) / whole,
        np.where(green == top, 2 + (blue - red) / whole, (green - blue) / whole),
    )
    is_colored = spread > 0
    return np.where(is_colored, sixths / 6 % 1, 0.0), is_colored


def _circular_mean(of_hues: np.ndarray) -> float:
    angles = 2 * np.pi * of_hues
    x, y = np.cos(angles).sum(), np.sin(angles).sum()
    if np.hypot(x, y) <= 1e-9 * len(of_hues):  # rounding errors only
        return 0.0
    mean = float(np.arctan2(y, x) / (2 * np.pi) % 1)
    return mean if mean < 1 else 0.0  # -1e-17 % 1 is 1


_BINS = 60
_WIDTH, _PLOT_HEIGHT = 960, 220  # pixels, without title and axis
_LEFT, _RIGHT, _ABOVE, _BELOW = 70, 24, 44, 52  # margins of a plot
_INK, _FAINT, _PAPER = (40, 40, 44), (226, 226, 230), (255, 255, 255)


def histograms(train: np.ndarray, validation: np.ndarray, *, caption: str = "") -> Image.Image:
    """Draws histograms of the mean hues of training and validation photos.

    Args:
        train: (N,) mean hues in [0, 1); NaN, of unreadable photos, are skipped.
        validation: (M,), the same for validation.
        caption: a line below both histograms.

    Returns:
        An RGB picture, 960 pixels wide: the share of photos in 60 ranges of hue, both histograms on
        the same scale, each bar in the color of its hue.
    """
    parts = {"Training": train[~np.isnan(train)], "Validation": validation[~np.isnan(validation)]}
    shares = [_shares(hues) for hues in parts.values()]
    step = _round_step(max(max(share) for share in shares) / 4)
    top = step * max(1, int(np.ceil(max(max(share) for share in shares) / step - 1e-9)))
    height = _ABOVE + _PLOT_HEIGHT + _BELOW
    picture = Image.new("RGB", (_WIDTH, len(parts) * height + 30 * bool(caption)), _PAPER)
    draw = ImageDraw.Draw(picture)
    for row, ((name, hues), share) in enumerate(zip(parts.items(), shares, strict=True)):
        title = f"{name}: {len(hues):,} photo{'s' * (len(hues) != 1)}"
        draw.text((_LEFT, row * height + 12), title, _INK, ImageFont.load_default(20))
        _draw_axes(draw, row * height + _ABOVE, top, step)
        _draw_bars(draw, row * height + _ABOVE, share, top)
    if caption:
        middle = (_WIDTH // 2, picture.height - 24)
        draw.text(middle, caption, _INK, ImageFont.load_default(14), anchor="mm")
    return picture


def _shares(hues: np.ndarray) -> np.ndarray:
    return np.histogram(hues, _BINS, (0, 1))[0] / max(len(hues), 1)


def _round_step(least: float) -> float:
    """Returns the smallest of 0.01 %, 0.02 %, 0.05 %, 0.1 %, ... that is at least `least`."""
    steps = [digit * 10.0**power for power in range(-4, 1) for digit in (1, 2, 5)]
    return next(step for step in steps if step >= min(least, steps[-1]))


def _draw_axes(draw: ImageDraw.ImageDraw, above: int, top: float, step: float) -> None:
    font, below = ImageFont.load_default(13), above + _PLOT_HEIGHT
    for number in range(round(top / step) + 1):
        y = below - round(_PLOT_HEIGHT * number * step / top)
        draw.line((_LEFT, y, _WIDTH - _RIGHT, y), _FAINT)
        draw.text((_LEFT - 10, y), f"{100 * number * step:g} %", _INK, font, anchor="rm")
    for x in range(_LEFT, _WIDTH - _RIGHT):  # a strip of all hues below the axis
        color = _color((x - _LEFT) / (_WIDTH - _RIGHT - _LEFT))
        draw.line((x, below + 2, x, below + 8), color)
    for degrees in range(0, 361, 60):
        x = _LEFT + round((_WIDTH - _RIGHT - _LEFT) * degrees / 360)
        draw.text((x, below + 14), f"{degrees}°", _INK, font, anchor="mt")


def _draw_bars(draw: ImageDraw.ImageDraw, above: int, shares: np.ndarray, top: float) -> None:
    width, below = (_WIDTH - _RIGHT - _LEFT) / _BINS, above + _PLOT_HEIGHT
    for number, share in enumerate(shares):
        left, right = (round(_LEFT + width * at) for at in (number, number + 1))
        height = round(_PLOT_HEIGHT * share / top)
        if height:
            box = (left + 1, below - height, right - 2, below)
            draw.rectangle(box, _color((number + 0.5) / _BINS))
    draw.line((_LEFT, below, _WIDTH - _RIGHT, below), _INK)


def _color(of_hue: float) -> tuple[int, int, int]:
    red, green, blue = (round(255 * value) for value in colorsys.hsv_to_rgb(of_hue, 0.75, 0.88))
    return red, green, blue
