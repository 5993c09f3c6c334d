"""Makes gray pictures unlike the photos that colorizers are trained on.

    python -m benchmarks.out_of_domain --output DIR

Six PNG files of mode L, 384 px on the short side, the same on every call. One is made from noise,
the others from pictures that ship inside scikit-image; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import fft, ndimage
from skimage import color, exposure
from skimage.transform import downscale_local_mean, rescale

from colorjax.data.sources.source import read_sample

SEED = 2016
SIDE = 384  # pixels, the short side
FINE = 3  # lines, dots and strokes are drawn this many times as large, so that they come out smooth
WHAT = "Makes six gray pictures unlike the photos that colorizers are trained on."


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.out_of_domain", description=WHAT)
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder to fill")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    args = parser.parse_args(argv)
    paths = {name: args.output / f"{name}.png" for name in PICTURES}
    taken = [str(path) for path in paths.values() if path.exists()]
    if taken and not args.overwrite:
        parser.exit(2, f"{taken[0]!r} exists; give another --output, or --overwrite\n")
    try:
        args.output.mkdir(parents=True, exist_ok=True)
        for name, path in paths.items():
            Image.fromarray(make(name)).save(path)
    except OSError as error:
        parser.exit(2, f"--output={args.output}: {error}\n")
    return 0


def make(name: str) -> np.ndarray:
    """Makes one of PICTURES: (H, W) uint8, the same whichever others are made."""
    return PICTURES[name](np.random.default_rng([SEED, *name.encode()]))


def ink_wash(rng: np.random.Generator) -> np.ndarray:
    """A hanging scroll: mountains in mist, bamboo, a boat, birds: (576, 384) uint8."""
    shape = (576, SIDE)
    ink = np.zeros(shape)
    # From far to near: where its foot is lost in mist, height and width of a peak, darkness.
    ranges = (300, 120, 70, 0.25), (365, 190, 46, 0.45), (425, 150, 58, 0.7), (640, 110, 170, 0.6)
    for foot, height, width, dark in ranges:
        mask, wash = mountains(rng, shape, foot, height, width)
        ink = ink * (1 - mask) + dark * wash
    ink = np.maximum(ink, brushed(rng, drawn(shape, [*BOAT, *birds(rng), *bamboo(rng)])))
    return to_u8(paper(rng, shape) * (1 - 0.93 * ink))


def engraving(_: np.random.Generator) -> np.ndarray:
    """A portrait in lines that swell with its tone, crossed in the darks: (384, 384) uint8."""
    tone = photo("astronaut.png", SIDE * FINE, np.s_[0:264, 84:348])
    around = ndimage.gaussian_filter(tone, 10 * FINE, truncate=2)
    dark = np.clip(1 - 1.9 * tone + 0.9 * around, 0, 1)  # sharpened, for lines drop small features
    bend = 10 * FINE * around  # the lines follow the form
    ink = hatching(tone.shape, 20, bend) < np.clip(dark, 0, 0.75) * (dark > 0.1)
    for degrees, onset in ((-40, 0.5), (80, 0.75)):
        ink |= hatching(tone.shape, degrees, -bend) < np.clip(1.5 * (dark - onset), 0, 0.5)
    gray = np.clip(2 * downscale_local_mean(1.0 - ink, (FINE, FINE)) - 0.5, 0, 1)
    return to_u8(0.05 + 0.9 * gray)


def worn_photo(rng: np.random.Generator) -> np.ndarray:
    """A faded print: deckled border, crease, damp, scratches, dust: (384, 569) uint8."""
    tone = photo("motorcycle_left.png", SIDE)
    shape = tone.shape
    y, x = np.indices(shape)
    worn = 0.24 + 0.55 * ndimage.gaussian_filter(tone, 0.7) + 0.02 * noise(rng, shape, 0.3)
    off_center = np.hypot(y / shape[0] - 0.5, x / shape[1] - 0.5)
    worn -= 0.6 * np.clip(off_center - 0.35, 0, None)  # the lens left its corners dark
    inside = np.minimum.reduce([y, x, shape[0] - 1 - y, shape[1] - 1 - x])
    worn = np.where(inside < 28, 0.9 + 0.01 * noise(rng, shape, 0.5), worn)
    damp = noise(rng, shape, 2.2) - 0.8  # a stain dries with a rim
    worn -= 0.05 * (damp > 0) + 0.08 * np.exp(-np.abs(damp) / 0.03)
    crease = 0.16 * x + y - 0.62 * shape[0] + 3 * noise(rng, shape, 2.5)
    worn -= 0.12 * np.exp(-np.abs(crease - 3) / 7)
    cracked = np.abs(crease) < 0.6 + 0.6 * noise(rng, shape, 1)
    worn += (0.92 - worn) * np.maximum(cracked, 0.8 * drawn(shape, scratches(rng, shape)))
    deckle = 8 + 2 * noise(rng, shape, 1.6) + 1.5 * np.sin(x / 3) * np.sin(y / 3)
    return to_u8(np.where(inside < deckle, 0.16, worn))


def pencil_sketch(rng: np.random.Generator) -> np.ndarray:
    """A still life in pencil on grained paper: (384, 576) uint8."""
    tone = exposure.adjust_gamma(photo("coffee.png", SIDE), 0.6)
    dodged = ndimage.gaussian_filter(tone, 1.2) / (ndimage.gaussian_filter(tone, 6) + 0.04)
    lines = np.clip(0.95 - dodged, 0, 1)  # what dodging leaves of a picture
    # Shading goes one way, as a hand does: streaks of noise along the diagonal.
    y, x = np.indices(tone.shape)
    streaks = ndimage.gaussian_filter(rng.standard_normal((1000, 1000)), (1, 22), mode="wrap")
    hand = 0.6 + 0.5 * (streaks / streaks.std())[x + y, x - y]
    shade = np.clip(0.85 - ndimage.gaussian_filter(tone, 2), 0, 0.6) * np.clip(hand, 0.1, 1.2)
    tooth = np.clip(0.85 + 0.2 * noise(rng, tone.shape, 0.5), 0, 1)
    graphite = np.clip((2.5 * lines + shade) * tooth, 0, 1)
    return to_u8(paper(rng, tone.shape) * (1 - 0.8 * graphite))


def newsprint(rng: np.random.Generator) -> np.ndarray:
    """A photo in halftone dots on gray paper: (384, 578) uint8."""
    tone = exposure.rescale_intensity(photo("chelsea.png", SIDE * FINE), "image", (-0.15, 1.1))
    y, x = np.indices(tone.shape) * (np.sqrt(2) * np.pi / (5 * FINE))
    ragged = ndimage.uniform_filter(rng.normal(0, 0.2, tone.shape), (2, 5))  # ink runs along fibres
    screen = 0.5 + 0.25 * (np.cos(x + y) + np.cos(x - y)) + ragged
    gray = np.clip(2 * downscale_local_mean(1.0 * (tone > screen), (FINE, FINE)) - 0.5, 0, 1)
    return to_u8(0.1 + 0.74 * gray + 0.02 * noise(rng, gray.shape, 0.8))


def moon(_: np.random.Generator) -> np.ndarray:
    """The surface of the moon through a telescope, as it is: (384, 384) uint8."""
    return to_u8(photo("moon.png", SIDE))


PICTURES = {
    f.__name__: f for f in (ink_wash, engraving, worn_photo, pencil_sketch, newsprint, moon)
}


# Parts of the pictures. Gray levels are float64, 0 black to 1 white; ink is 0 none to 1 black.


def photo(name: str, side: int, crop: tuple[slice, ...] = ()) -> np.ndarray:
    """Reads a picture of scikit-image as gray, its short side `side` pixels: (H, W) float64."""
    gray = color.rgb2gray(read_sample(name)[crop])
    return np.clip(rescale(gray, side / min(gray.shape), anti_aliasing=True), 0, 1)


def noise(rng: np.random.Generator, shape: Sequence[int], slope: float) -> np.ndarray:
    """Returns noise of mean 0 and deviation 1, amplitude 1 / frequency**slope: float64."""
    axes = np.ix_(*map(fft.fftfreq, shape[:-1]), fft.rfftfreq(shape[-1]))
    squared = np.asarray(sum(axis**2 for axis in axes))
    squared.flat[0] = np.inf  # no mean
    field = fft.irfftn(fft.rfftn(rng.standard_normal(shape)) * squared ** (-slope / 2), shape)
    return field / field.std()


def paper(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Returns the gray level of paper with grain and fibers, about 0.9: (H, W)."""
    fibres = ndimage.gaussian_filter(rng.standard_normal(shape), (0.6, 5))
    return 0.91 + 0.01 * noise(rng, shape, 0.6) + 0.03 * fibres + 0.012 * noise(rng, shape, 2)


def hatching(shape: tuple[int, int], degrees: float, bend: np.ndarray) -> np.ndarray:
    """Returns how far from the nearest of parallel lines, 1 halfway between two: (H, W)."""
    y, x = np.indices(shape)
    across = np.cos(np.deg2rad(degrees)) * y + np.sin(np.deg2rad(degrees)) * x + bend
    return np.abs(2 * (across / (4 * FINE) % 1) - 1)


def mountains(rng, shape, foot, height, width) -> tuple[np.ndarray, np.ndarray]:
    """Returns where a range stands, and its ink, dark at the ridge and lost in mist: (H, W)."""
    y, x = np.indices(shape)
    at, high, slim = rng.uniform((0, 0.4, 0.7), (shape[1], 1, 1.4), (5, 3)).T[..., None]
    peaks = high * np.exp(-(np.abs((x[0] - at) / (slim * width)) ** 1.6))
    ridge = foot - height * (np.max(peaks, axis=0) + 0.04 * noise(rng, shape[1:], 1.2))
    depth = np.clip(y - ridge + 2 * noise(rng, shape, 1.4), 0, None)
    mask = np.clip(depth, 0, 1)
    rock = ndimage.gaussian_filter(noise(rng, shape, 0.8), (7, 1))  # strokes run down the slope
    body = np.exp(-depth / (0.45 * height)) * (0.7 + 0.22 * rock / rock.std())
    rim = 0.35 * np.exp(-depth / 2.5)  # ink gathers where a wash dries last
    mist = np.clip((foot + 25 * noise(rng, shape, 2.5) - y) / 80, 0, 1)
    return mask, mask * mist * np.clip(body + rim, 0, 1)


# A stroke of a round brush: (y, x) of start and end, how far its middle sags below the straight
# line, its width, all in pixels, and its taper, from 0, even, to 1, a point at either end.
Stroke = tuple[Sequence[float], Sequence[float], float, float, float]

BOAT: list[Stroke] = [
    ((478, 96), (477, 158), 6, 4, 0.6),  # hull
    ((475, 117), (475, 137), -10, 4, 0),  # awning
    ((476, 148), (458, 149), 0, 4, 0.2),  # man
    ((458, 143), (458, 155), -3, 2, 0.8),  # his hat
    ((464, 147), (490, 166), 0, 1, 0),  # oar
]


def birds(rng) -> Iterable[Stroke]:
    for y, x in rng.uniform((70, 50), (130, 180), (5, 2)):
        yield (y - 2, x - 8), (y, x), -3, 1.8, 0.8
        yield (y, x), (y - 3, x + 8), -3, 1.8, 0.8


def bamboo(rng) -> Iterable[Stroke]:
    for foot, lean, width in ((350, -38, 9), (330, 8, 6), (374, -3, 5)):
        y = np.cumsum(rng.uniform(62, 88, 10)) - 80
        joints = np.stack([y, foot + lean * np.clip(1 - y / 576, 0, 1) ** 1.5], axis=-1)
        for joint, below in itertools.pairwise(joints):
            yield 0.96 * joint + 0.04 * below, 0.02 * joint + 0.98 * below, 0, width, 0
            side = rng.choice((-1, 1), p=(0.7, 0.3))
            twig = np.add(joint, (rng.uniform(-18, 10), side * rng.uniform(18, 40)))
            yield joint, twig, -4, 1.2, 0
            for angle in rng.uniform(0.1, 1.4, rng.integers(3, 7)):
                tip = rng.uniform(28, 52) * np.array((np.sin(angle), side * np.cos(angle)))
                yield twig, twig + tip, -3, rng.uniform(4, 6.5), 1


def scratches(rng, shape) -> Iterable[Stroke]:
    for start in rng.uniform((0, 0), shape, (14, 2)):
        yield start, start + rng.normal(0, (70, 12)), rng.normal(0, 4), 0.7, 0
    for dust in rng.uniform((0, 0), shape, (120, 2)):
        yield dust, dust + rng.normal(0, 1.5, 2), 0, rng.uniform(0.5, 2), 0


def drawn(shape: tuple[int, int], strokes: Iterable[Stroke]) -> np.ndarray:
    """Returns the share of each pixel that strokes cover: (H, W) float64."""
    canvas = Image.new("L", (FINE * shape[1], FINE * shape[0]))
    at = np.linspace(0, 1, 24)[:, None]
    for start, end, sag, width, taper in strokes:
        middle = start + at * np.subtract(end, start) + 4 * at * (1 - at) * (sag, 0)
        along = np.gradient(middle, axis=0)
        across = along[:, ::-1] * (1, -1) / np.linalg.norm(along, axis=1, keepdims=True)
        pressed = 1 - taper * (1 - np.sin(np.pi * at**0.7))  # soonest near the start
        edge = across * pressed * width / 2
        outline = FINE * np.concatenate([middle + edge, (middle - edge)[::-1]])
        ImageDraw.Draw(canvas).polygon(outline[:, ::-1].ravel().tolist(), fill=1)
    return downscale_local_mean(np.asarray(canvas), (FINE, FINE))


def brushed(rng, strokes: np.ndarray) -> np.ndarray:
    """Turns clean strokes into ink on wet paper: ragged, darker at the edges, uneven inside."""
    wander = [axis + 0.6 * noise(rng, strokes.shape, 1.4) for axis in np.indices(strokes.shape)]
    strokes = ndimage.map_coordinates(strokes, wander, order=1)
    edges = np.clip(strokes - ndimage.gaussian_filter(strokes, 2), 0, 1)
    return np.clip(strokes * (0.72 + 0.14 * noise(rng, strokes.shape, 1.3)) + 0.5 * edges, 0, 1)


def to_u8(gray: np.ndarray) -> np.ndarray:
    """Clips gray levels to [0, 1] and rounds them to uint8."""
    return np.round(255 * np.clip(gray, 0, 1)).astype(np.uint8)


if __name__ == "__main__":
    raise SystemExit(main())
