"""Small charts as SVG text, for pages without scripts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from PIL import Image, ImageDraw, ImageFont

from colorjax import color

_SIDE = 260  # pixels
_MARGIN = 34


def reliability(points: Sequence[Mapping[str, float]], title: str) -> str:
    """Returns a chart of accuracy over confidence; calibrated networks lie on the diagonal.

    Args:
        points: from `summary.reliability`; the area of a disc is the share of pixels.
        title: for screen readers.
    """
    inner = _SIDE - 2 * _MARGIN

    def at(x: float, y: float) -> tuple[float, float]:
        return _MARGIN + x * inner, _SIDE - _MARGIN - y * inner

    marks = []
    for point in points:
        x, y = at(point["confidence"], point["accuracy"])
        radius = 2 + 10 * math.sqrt(point["share"])
        marks.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="#2a6fb0aa"/>')
    (x0, y0), (x1, y1) = at(0, 0), at(1, 1)
    axes = (
        f'<rect x="{x0}" y="{y1}" width="{inner}" height="{inner}" fill="none" stroke="#888"/>'
        f'<line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}" stroke="#888" stroke-dasharray="4"/>'
    )
    text = _text(_SIDE / 2, _SIDE - 8, "probability of the most likely bin")
    text += _text(12, _SIDE / 2, "how often it is the true bin", turned=True)
    text += "".join(_text(at(v, 0)[0], _SIDE - 20, f"{v:g}") for v in (0, 0.5, 1))
    return _svg(_SIDE, _SIDE, axes + "".join(marks) + text, title)


def reliability_picture(points: Sequence[Mapping[str, float]]) -> Image.Image:
    """Returns the chart of `reliability` as a picture, enlarged to the range of the points."""
    side, margin = 480, 60
    most = max(0.1, max(max(p["confidence"], p["accuracy"]) for p in points))
    most = math.ceil(10 * most) / 10
    sheet = Image.new("RGB", (side, side), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    inner = side - 2 * margin

    def at(x: float, y: float) -> tuple[float, float]:
        return margin + x / most * inner, side - margin - y / most * inner

    pen.rectangle((*at(0, most), *at(most, 0)), outline="gray")
    pen.line((*at(0, 0), *at(most, most)), fill="lightgray", width=2)
    dots = [at(point["confidence"], point["accuracy"]) for point in points]
    pen.line(dots, fill="#2a6fb0", width=2)
    for x, y in dots:
        pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill="#2a6fb0")
    for value in (0.0, most / 2, most):
        pen.text((at(value, 0)[0], side - margin + 6), f"{value:.2g}", "black", font, "ma")
        pen.text((margin - 6, at(0, value)[1]), f"{value:.2g}", "black", font, "rm")
    pen.text((side / 2, side - 22), "probability of the most likely bin", "black", font, "ma")
    pen.text((margin, margin - 24), "how often it is the true bin", "black", font)
    return sheet


def hues(rows: Mapping[str, Sequence[float]], title: str) -> str:
    """Returns a chart of chroma by hue, one line of bars for each row.

    Args:
        rows: name -> chroma per pixel at each hue angle of ab, evenly spaced from 0.
        title: for screen readers.
    """
    width, height, left = 560, 54, 130
    most = max((max(values) for values in rows.values()), default=0) or 1
    parts = []
    for line, (name, values) in enumerate(rows.items()):
        floor = (line + 1) * height - 8
        step = (width - left) / len(values)
        parts.append(_text(left - 8, floor - 8, name[:18], anchor="end"))
        for k, value in enumerate(values):
            tall = (height - 16) * value / most
            angle = 2 * math.pi * (k + 0.5) / len(values)
            parts.append(
                f'<rect x="{left + k * step:.1f}" y="{floor - tall:.1f}" width="{step:.1f}" '
                f'height="{tall:.1f}" fill="{_shade(angle)}"/>'
            )
        parts.append(f'<line x1="{left}" y1="{floor}" x2="{width}" y2="{floor}" stroke="#888"/>')
    return _svg(width, height * len(rows), "".join(parts), title)


def _shade(angle: float) -> str:
    import numpy as np

    lab = np.array([65.0, 45 * math.cos(angle), 45 * math.sin(angle)], np.float32)
    return "#" + np.asarray(color.lab_to_rgb_u8(lab, "shrink_chroma")).tobytes().hex()


def _text(x: float, y: float, text: str, *, anchor: str = "middle", turned: bool = False) -> str:
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="11" '
        f'fill="currentColor"{turn}>{escape(text)}</text>'
    )


def _svg(width: float, height: float, inside: str, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(title)}" font-family="system-ui, sans-serif">{inside}</svg>'
    )
