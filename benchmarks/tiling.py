"""Do chunks help? Chunk size x stride x rule, over full-resolution photos (the fifth system).

    python -m benchmarks.tiling --data PHOTOS [--checkpoint WORKDIR] [--sheet FILE.png]

One row for each way of applying a network to a photo: the whole photo at the working size, and
tiles of `--tiles` pixels with strides of 1, 1/2 and 1/4 of a tile, pooled by average, maximum and
not at all (the later tile covers the earlier one), then the better rules. `mae_ab_8bit`,
`psnr` (dB) and `colorfulness` against the photos' own colors; `seam`: the jump
of ab across the borders of tiles over that beside them, 1 where they cannot be seen; `seconds` a
photo.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from colorjax import color
from colorjax.data.decode import decode_rgb
from colorjax.data.sources.source import FolderSource
from colorjax.errors import RequestError
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.tiling import Tiling, seam
from colorjax.metrics.picture import measure
from colorjax.metrics.summary import summarize_pictures
from colorjax.weights import named

RULES = ("average", "maximum", "none")
BETTER = ("hann", "max_chroma", "distribution")
_SHOWN = 5  # photos on the sheet


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.tiling", description=__doc__)
    parser.add_argument("--tiles", default="128,256,512", metavar="PX,...")
    parser.add_argument("--sheet", metavar="FILE.png", help="write a picture of some rows")
    args, colorizer, photos = opened(parser, argv)
    shown = []
    sides = [int(side) for side in args.tiles.split(",")]
    for name, tiling in ways(sides, has_bins=colorizer.has_bins):
        pictures, row = applied(colorizer, photos, tiling)
        print(
            json.dumps({"question": "tiling", "row": name, "images": len(photos), **row}),
            flush=True,
        )
        if tiling is None or tiling.stride[0] * 2 == tiling.tile[0] or tiling.combine == "none":
            shown.append(pictures[:_SHOWN])
    if args.sheet:
        columns = [[color.gray_photo(photo) for photo in photos[:_SHOWN]], *shown, photos[:_SHOWN]]
        Image.fromarray(sheet(columns)).save(args.sheet)
        print(json.dumps({"question": "tiling", "sheet": args.sheet, "columns": len(columns)}))
    return 0


def opened(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None
) -> tuple[argparse.Namespace, Colorizer, list[np.ndarray]]:
    """Reads the arguments, the weights and the photos, (H, W, 3) uint8; exits where it cannot."""
    parser.add_argument("--data", required=True, metavar="DIR", help="folder of color photos")
    parser.add_argument("--checkpoint", default=named.DEFAULT, metavar="WORKDIR")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="photos; 0: all")
    args = parser.parse_args(argv)
    try:
        source = FolderSource.open(args.data, labels="none")
        colorizer = Colorizer.load(args.checkpoint)
    except RequestError as error:
        parser.exit(2, f"{error}\n")
    number = min(args.limit or len(source), len(source))
    photos = [decode_rgb(source[index].image) for index in range(number)]
    return args, colorizer, photos


def ways(sides: Sequence[int], *, has_bins: bool) -> Iterator[tuple[str, Tiling | None]]:
    """Yields names and tilings; None: the whole photo."""
    yield "whole", None
    for side in sides:
        for rule in RULES:
            for parts in (1,) if rule == "none" else (1, 2, 4):
                stride = side // parts
                yield f"{side}/{stride} {rule}", Tiling((side, side), (stride, stride), rule)
        for rule in BETTER if has_bins else BETTER[:2]:
            yield f"{side}/{side // 2} {rule}", Tiling((side,) * 2, (side // 2,) * 2, rule)
        kept = Tiling((side,) * 2, (side // 2,) * 2, "hann", keeps_global=True)
        yield f"{side}/{side // 2} hann, global colors", kept


def applied(
    colorizer: Colorizer, photos: Sequence[np.ndarray], tiling: Tiling | None
) -> tuple[list[np.ndarray], dict[str, float]]:
    """Colorizes the gray of photos; returns the pictures and the row."""
    pictures = []
    compiled, start = colorizer.compile_seconds, time.perf_counter()
    for photo in photos:
        pictures.append(colorizer.colorize(color.gray_photo(photo), tiling=tiling))
    seconds = time.perf_counter() - start - (colorizer.compile_seconds - compiled)
    seams = [
        seam(color.rgb_u8_to_lab(picture)[..., 1:], tiling.tile[1], tiling.stride[1])
        for picture in pictures
        if tiling is not None
    ]
    known = [value for value in seams if np.isfinite(value)]
    row = compare(pictures, photos) | {"seam": float(np.mean(known)) if known else None}
    return pictures, row | {"seconds": seconds / len(photos)}


def compare(pictures: Sequence[np.ndarray], photos: Sequence[np.ndarray]) -> dict[str, float]:
    """Returns the error of pictures, and their colorfulness."""
    records = [measure(picture, photo) for picture, photo in zip(pictures, photos, strict=True)]
    metrics = summarize_pictures(records)
    return {name: metrics[name] for name in ("mae_ab_8bit", "psnr", "colorfulness")}


def sheet(columns: Sequence[Sequence[np.ndarray]], side: int = 160) -> np.ndarray:
    """Returns pictures as one, (rows, columns) of squares."""
    small = [
        [np.asarray(Image.fromarray(picture).resize((side, side))) for picture in column]
        for column in columns
    ]
    return np.concatenate([np.concatenate(column) for column in small], axis=1)


if __name__ == "__main__":
    raise SystemExit(main())
