"""How much do color hints improve PSNR, and how long does one take?

    python -m benchmarks.hints --data PHOTOS [--checkpoint WORKDIR] [--side 300]

One row for each number of hints, the first N of the same random true colors (`psnr_with_hints` of
`colorjax.evaluate.baselines`): `psnr` (dB, mean of the photos). The last row has `spread_ms`, the
median time in which the hints of a photo are spread after the network has run, and `picture_ms`,
the time of the whole picture with them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.tiling import opened
from colorjax import color, metrics
from colorjax.evaluate.baselines import random_hints
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.hints import checked

COUNTS = (0, 1, 2, 5, 10, 20, 50, 100)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.hints", description=__doc__)
    parser.add_argument("--side", type=int, default=300, help="short side of the photos, pixels")
    args, colorizer, photos = opened(parser, argv)
    for row in rows(colorizer, [_resized(photo, args.side) for photo in photos]):
        print(json.dumps({"question": "hints", "images": len(photos), **row}), flush=True)
    return 0


def rows(colorizer: Colorizer, photos: Sequence[np.ndarray]) -> Iterator[dict[str, Any]]:
    """Yields the printed rows."""
    psnr: dict[int, list[float]] = {count: [] for count in COUNTS}
    spreading, painting = [], []
    for number, photo in enumerate(photos):
        prepared = colorizer.prepare(color.gray_photo(photo))
        hints = random_hints(photo, max(COUNTS), number)
        for count in COUNTS:
            start = time.perf_counter()
            picture = prepared.colorize(hints[:count])
            painting.append(time.perf_counter() - start)
            psnr[count].append(float(metrics.psnr(picture, photo)))
        if prepared.prediction is not None and prepared.prediction.keys is not None:
            given = checked(hints[:10], *photo.shape[:2])
            for _ in range(2):  # the first may compile
                start = time.perf_counter()
                prepared.prediction.with_hints(given, colorizer._engine)
            spreading.append(time.perf_counter() - start)
    for count, values in psnr.items():
        yield {"row": f"{count} hints", "psnr": round(float(np.mean(values)), 2)}
    yield {
        "row": colorizer.hint_form,
        "spread_ms": round(1e3 * float(np.median(spreading)), 2) if spreading else None,
        "picture_ms": round(1e3 * float(np.median(painting)), 1),
    }


def _resized(photo: np.ndarray, side: int) -> np.ndarray:
    height, width = photo.shape[:2]
    scale = side / min(height, width)
    size = round(width * scale), round(height * scale)
    return np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC))


if __name__ == "__main__":
    raise SystemExit(main())
