"""Simulated old gray photos: augmented network inputs that replace the lightness of a photo.

Old photographs differ from the lightness of a color photo: early film is nearly blind to red,
prints fade unevenly, lenses and scans are soft, film has grain, surfaces have scratches, and copies
come from newspapers and JPEG files. `age` draws a random subset of these effects.

Lengths are in units of 1/128 of the short side, so that the effects scale with the photo; at 128 px
a unit is one pixel. Only the JPEG round trip always has blocks of 8 px. Gray levels are those of
gamma-encoded sRGB, from 0 (black) to 1 (white).
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Gray: TypeAlias = np.ndarray  # (H, W) float32 in [0, 1]
Effect: TypeAlias = Callable[[Gray, np.random.Generator, float], Gray]

_LEVELS = np.arange(256) / 255
_LINEAR = np.where(  # IEC 61966-2-1
    _LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4
).astype(np.float32)
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)  # of linear sRGB: CIE Y
_OVERSAMPLING = 2  # of the scratch masks, for antialiased lines


def film_weights(rng: np.random.Generator) -> np.ndarray:
    """Draws the spectral weights of a film for linear red, green and blue; (3,), >= 0, sum 1.

    - 30 %: blue-sensitive plates, until about 1885: blue, some green, no red; white skies and dark
      skin.
    - 40 %: orthochromatic film, until the 1930s: green and blue, at most 8 % red; dark lips.
    - 30 %: panchromatic film and scans: luminance, each weight times exp(N(0, 0.35)).
    """
    kind = rng.random()
    if kind < 0.3:
        weights = rng.uniform((0.0, 0.1, 0.6), (0.02, 0.35, 1.0))
    elif kind < 0.7:
        weights = rng.uniform((0.0, 0.4, 0.25), (0.08, 0.7, 0.6))
    else:
        weights = _LUMINANCE * np.exp(rng.normal(0.0, 0.35, 3))
    return (weights / weights.sum()).astype(np.float32)


def expose(rgb_u8: np.ndarray, weights: np.ndarray) -> Gray:
    """Mixes the channels of a photo in linear light and encodes the result as sRGB does.

    Args:
        rgb_u8: (H, W, 3) uint8 sRGB.
        weights: (3,), of red, green and blue, with sum 1; luminance weights preserve the lightness.

    Returns:
        (H, W) float32 in [0, 1].
    """
    linear = np.clip(_LINEAR[rgb_u8] @ weights, 0, 1)
    root = 1.055 * np.power(linear, np.float32(1 / 2.4)) - 0.055
    return np.where(linear <= 0.0031308, 12.92 * linear, root).astype(np.float32)


def blur(gray: Gray, rng: np.random.Generator, unit: float) -> Gray:
    """Blurs with a Gaussian of sigma 0.2 to 0.8 units: old lenses, prints of prints, poor scans."""
    return _levels(_image(gray).filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.8) * unit)))


def tone(gray: Gray, rng: np.random.Generator, unit: float) -> Gray:
    """Changes exposure by a power of 0.7 to 1.5, then contrast by a factor of 0.9 to 1.4.

    The contrast factor applies around the mean of the photo, and values are clipped: hard paper has
    white skies and black shadows.
    """
    gray = gray ** np.float32(math.exp(rng.uniform(math.log(0.7), math.log(1.5))))
    mean = gray.mean()
    return (gray - mean) * np.float32(rng.uniform(0.9, 1.4)) + mean


def fade(gray: Gray, rng: np.random.Generator, unit: float) -> Gray:
    """Raises black by up to 0.25 and lowers white by up to 0.2, like aged silver and paper."""
    black, white = rng.uniform(0.0, 0.25), rng.uniform(0.8, 1.0)
    return np.float32(black) + np.float32(white - black) * gray


def shade(gray: Gray, rng: np.random.Generator, unit: float) -> Gray:
    """Adds uneven shading: corners darker by up to 0.45 or lighter by up to 0.3, and stains.

    Stains are a smooth field of about 3x3 spots with a standard deviation of up to 0.05.
    """
    height, width = gray.shape
    top, left = rng.uniform(0.35, 0.65, 2)
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None] - np.float32(top)
    columns = np.linspace(0, 1, width, dtype=np.float32) - np.float32(left)
    corners = np.minimum(2 * (rows**2 + columns**2), 1)
    if rng.random() < 0.7:
        gray = gray * (1 - np.float32(rng.uniform(0.1, 0.45)) * corners)
    else:
        gray = gray + (1 - gray) * np.float32(rng.uniform(0.1, 0.3)) * corners
    return gray + np.float32(rng.uniform(0.0, 0.05)) * _noise(gray.shape, max(gray.shape) / 3, rng)


def grain(gray: Gray, rng: np.random.Generator, unit: float) -> Gray:
    """Adds correlated noise of strength 0.01 to 0.05, grain size 0.6 to 1.4 units, at least 1 px.

    Silver grain shows least where film is clear or black: the noise is multiplied by
    0.3 + 0.7 * 4 v (1 - v).
    """
    noise = _noise(gray.shape, rng.uniform(0.6, 1.4) * unit, rng)
    strength = np.float32(rng.uniform(0.01, 0.05))
    return gray + strength * (0.3 + 2.8 * gray * (1 - gray)) * noise


def halftone(gray: Gray, rng: np.random.Generator, unit: float) -> Gray:
    """Adds a mild rotated halftone screen, as in newspaper prints.

    The pitch is 2.5 to 4.5 units, at least 2.5 px; the amplitude is 0.03 to 0.1 in middle gray and
    0 in black and white, which have no dots.
    """
    height, width = gray.shape
    angle = rng.uniform(0, math.pi / 2)
    pitch = max(2.5, rng.uniform(2.5, 4.5) * unit)
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)
    across, along = (2 * math.pi / pitch * f(angle) for f in (math.cos, math.sin))
    screen = np.cos(across * x + along * y) + np.cos(across * y - along * x)
    return gray + np.float32(rng.uniform(0.03, 0.1)) * 2 * gray * (1 - gray) * screen


def scratch(gray: Gray, rng: np.random.Generator, unit: float) -> Gray:
    """Draws up to 3 scratches from edge to edge, up to 2 fibers and 2 to 12 specks of dust.

    Each kind is light (damaged emulsion, dust on the negative: 0.8 to 1) or dark (dirt on the
    print: 0 to 0.25), at an opacity of 0.25 to 0.75. Lines are 0.2 to 0.6 units wide, at least half
    a pixel; specks have a radius of 0.2 to 0.9 units.
    """
    height, width = gray.shape
    scale = _OVERSAMPLING
    for draw_marks in (_draw_scratches, _draw_fibers, _draw_specks):
        mask = Image.new("L", (width * scale, height * scale))
        draw_marks(ImageDraw.Draw(mask), mask.size, rng, unit * scale)
        opacity = _levels(mask.reduce(scale)) * np.float32(rng.uniform(0.25, 0.75))
        level = rng.uniform(0.8, 1.0) if rng.random() < 0.7 else rng.uniform(0.0, 0.25)
        gray = gray + opacity * (np.float32(level) - gray)
    return gray


def _draw_scratches(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], rng: np.random.Generator, unit: float
) -> None:
    width, height = size
    for _ in range(int(rng.integers(4))):
        start, end = rng.uniform(0, width), rng.normal(0, 0.05 * width)
        line = [(start, 0), (start + end, height)]
        if rng.random() < 0.3:  # across: a fold
            start, end = rng.uniform(0, height), rng.normal(0, 0.1 * height)
            line = [(0, start), (width, start + end)]
        draw.line(line, fill=255, width=max(1, round(rng.uniform(0.2, 0.6) * unit)))


def _draw_fibers(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], rng: np.random.Generator, unit: float
) -> None:
    for _ in range(int(rng.integers(3))):
        x, y = rng.uniform(0, size)
        radius, start = rng.uniform(2, 8) * unit, rng.uniform(0, 360)
        box = (x - radius, y - radius, x + radius, y + radius)
        draw.arc(box, start, start + rng.uniform(40, 160), 255, max(1, round(0.3 * unit)))


def _draw_specks(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], rng: np.random.Generator, unit: float
) -> None:
    for _ in range(int(rng.integers(2, 13))):
        x, y = rng.uniform(0, size)
        wide, high = rng.uniform(0.2, 0.9, 2) * unit
        draw.ellipse((x - wide, y - high, x + wide, y + high), fill=255)


def compress(gray: Gray, rng: np.random.Generator, unit: float) -> Gray:
    """Compresses as JPEG with quality 30 to 80, like scans on the web."""
    buffer = io.BytesIO()
    _image(gray).save(buffer, "JPEG", quality=int(rng.integers(30, 81)))
    return _levels(Image.open(buffer))


# In physical order: lens, development, print, storage, scan.
EFFECTS: tuple[tuple[Effect, float], ...] = (  # (effect, its probability)
    (blur, 0.5),
    (tone, 0.6),
    (grain, 0.5),
    (halftone, 0.1),
    (fade, 0.6),
    (shade, 0.4),
    (scratch, 0.25),
    (compress, 0.4),
)


def age(rgb_u8: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Simulates an old photograph: `expose` with a random film, then random `EFFECTS`.

    Args:
        rgb_u8: (H, W, 3) uint8 sRGB.
        rng: source of all randomness.

    Returns:
        (H, W, 3) uint8 with R = G = B, the colorizer's input instead of the photo.
    """
    gray = expose(rgb_u8, film_weights(rng))
    unit = min(gray.shape) / 128
    for effect, share in EFFECTS:
        if rng.random() < share:
            gray = np.clip(effect(gray, rng, unit), 0, 1)
    return np.repeat(_bytes(gray)[..., None], 3, axis=-1)


def _noise(shape: tuple[int, int], spacing: float, rng: np.random.Generator) -> np.ndarray:
    """Returns smooth noise (H, W) float32, mean 0, deviation 1, with samples `spacing` px apart."""
    height, width = (max(2, math.ceil(side / max(1.0, spacing))) for side in shape)
    drawn = rng.standard_normal((height, width), np.float32)
    smooth = Image.fromarray(drawn).resize(shape[::-1], Image.Resampling.BICUBIC)
    noise = np.asarray(smooth)
    return (noise - noise.mean()) / max(float(noise.std()), 1e-6)


def _bytes(gray: Gray) -> np.ndarray:
    return np.rint(255 * gray).astype(np.uint8)


def _image(gray: Gray) -> Image.Image:
    return Image.fromarray(_bytes(gray))


def _levels(image: Image.Image) -> Gray:
    return np.asarray(image, np.float32) / 255
