"""How often does `colorjax colorize` take a color photo for black-and-white, or the reverse?

    python -m benchmarks.own_colors PHOTOS... --number 100

Rows: versions of the color photos below the folders, of at most 700 px. In color: as they are, as
JPEG of quality 30, faded, with 30 % of their saturation. Without: toned prints, plain, as JPEG and
with the noise of a scan; stained, unevenly yellowed and misregistered ones; mounts and stamps.
`in_color` is the share that would be skipped, `noted` the share colorized with a note that a part
has colors.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from colorjax import color, photos
from colorjax.inference.batch.own_colors import own_colors

_SIDE = 700
# sRGB of toned prints for gray from black to white
_TONES = {
    "sepia": ((30, 15, 5), (110, 80, 55), (190, 160, 120), (250, 240, 215)),
    "gold": ((35, 10, 0), (140, 70, 20), (220, 160, 70), (255, 235, 180)),
    "selenium": ((25, 18, 30), (90, 80, 95), (165, 158, 165), (245, 243, 240)),
    "cyanotype": ((5, 20, 60), (30, 80, 140), (120, 170, 210), (245, 250, 250)),
    "split toning": ((10, 20, 45), (85, 95, 115), (180, 165, 140), (255, 245, 215)),
    "yellow paper": ((40, 38, 35), (107, 99, 83), (173, 161, 132), (240, 222, 180)),
    "vivid duotone": ((20, 10, 80), (150, 60, 120), (250, 160, 60), (255, 250, 200)),
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.own_colors", description=__doc__)
    parser.add_argument("folders", nargs="+", metavar="PHOTOS")
    parser.add_argument("--number", type=int, default=100, metavar="N", help="photos in all")
    args = parser.parse_args(argv)
    paths = sorted(path for folder in args.folders for path in Path(folder).rglob("*.jpg"))
    every: dict[str, list[tuple[bool, bool]]] = {}
    for path in paths[:: max(1, len(paths) // args.number)][: args.number]:
        image = Image.open(path).convert("RGB")
        image.thumbnail((_SIDE, _SIDE))
        for name, data in versions(image):
            found = own_colors(photos.read(data))
            is_noted = found.has_colored_part and not found.is_color_photo
            every.setdefault(name, []).append((found.is_color_photo, is_noted))
    for name, rows in every.items():
        in_color, noted = np.mean(rows, axis=0)
        row = {"images": len(rows), "in_color": round(in_color, 3), "noted": round(noted, 3)}
        print(json.dumps({"question": "own_colors", "row": name, **row}), flush=True)
    return 0


def versions(image: Image.Image) -> Iterator[tuple[str, bytes]]:
    """Yields names and photo files."""
    rgb = np.asarray(image).astype(np.float32)
    yield "color", _file(rgb)
    yield "color, JPEG quality 30", _file(rgb, 30)
    yield "faded", _file(rgb * np.array([0.6, 0.45, 0.4]) + np.array([90, 75, 65]))
    yield "faded to red", _file(rgb * np.array([0.7, 0.3, 0.25]) + np.array([60, 80, 70]))
    pale = color.rgb_to_lab(rgb / 255) * np.float32([1, 0.3, 0.3])
    yield "30 % saturation", _file(color.lab_to_rgb(pale) * 255)
    rng = np.random.default_rng(0)
    gray = np.asarray(image.convert("L")).astype(np.float32)[..., None] / 255
    plain = gray.repeat(3, 2) * 255
    for name, stops in _TONES.items():
        toned = _toned(gray, stops)
        yield name, _file(toned)
        yield f"{name}, JPEG quality 30", _file(toned, 30)
        yield f"{name}, noise", _file(toned + rng.normal(0, 8, toned.shape))
    sepia = _toned(gray, _TONES["sepia"])
    y, x = np.mgrid[-1 : 1 : gray.shape[0] * 1j, -1 : 1 : gray.shape[1] * 1j]
    share = np.clip((x**2 + y**2) / 2, 0, 1)[..., None]
    yield "unevenly yellowed", _file(share * sepia + (1 - share) * plain)
    stain = 0.6 * (np.hypot(x - 0.3, y + 0.2) < 0.4)[..., None]
    yield "stained", _file(plain * (1 - stain) + stain * np.array([190, 150, 95]) * (0.4 + gray))
    moved = [np.roll(sepia[..., n], shift, 1) for n, shift in enumerate((1, 0, -1))]
    yield "misregistered", _file(np.stack(moved, -1))
    is_mount = ((abs(x) > 0.85) | (abs(y) > 0.85))[..., None]
    yield "on a cream mount", _file(np.where(is_mount, np.array([238, 226, 196]), plain))
    yield "on a blue mount", _file(np.where(is_mount, np.array([40, 70, 150]), plain))
    is_stamp = ((abs(x + 0.7) < 0.14) & (abs(y + 0.7) < 0.14))[..., None]
    yield "red stamp of 2 %", _file(np.where(is_stamp, np.array([190, 40, 40]), plain))


def _toned(gray: np.ndarray, stops: Sequence[Sequence[int]]) -> np.ndarray:
    levels = np.array(stops, np.float32)
    places = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(gray[..., 0], places, levels[:, n]) for n in range(3)], -1)


def _file(rgb: np.ndarray, quality: int | None = None) -> bytes:
    image = Image.fromarray(np.clip(np.round(rgb), 0, 255).astype(np.uint8))
    buffer = io.BytesIO()
    if quality is None:
        image.save(buffer, "BMP")
    else:
        image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


if __name__ == "__main__":
    raise SystemExit(main())
