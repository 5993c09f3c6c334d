"""How much time and memory does `colorjax colorize` take for photos of 1 to 100 megapixels?

    python -m benchmarks.photo_tool [--checkpoint WORKDIR] [--megapixels 1,12,50,100] [--number 200]

Rows `N MP`: one JPEG of N megapixels, made of noise and a picture of scikit-image, colorized by the
command in a new process: `seconds` in total, `photo_seconds` without startup and compilation,
`peak_gib` of the process. Row `folder`: `--number` JPEGs of one megapixel;
`photos_per_second` and `network_share`, the share of the photos' time spent in the network.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from colorjax.data.sources.source import read_sample
from colorjax.weights import named


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.photo_tool", description=__doc__)
    parser.add_argument("--checkpoint", default=named.DEFAULT, metavar="WORKDIR")
    parser.add_argument("--megapixels", default="1,12,50,100", metavar="N,...")
    parser.add_argument("--number", type=int, default=200, metavar="N", help="photos of the folder")
    parser.add_argument("--jobs", type=int, default=2, metavar="N")
    parser.add_argument("--flags", default="", help="more flags of colorjax colorize")
    args = parser.parse_args(argv)
    flags = [
        f"--checkpoint={args.checkpoint}",
        f"--jobs={args.jobs}",
        "--json",
        *args.flags.split(),
    ]
    for megapixels in filter(None, args.megapixels.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            make_photo(Path(folder, "a.jpg"), float(megapixels))
            row = colorized(folder, flags)
        times = {"seconds": row["wall"], "photo_seconds": row["photo_seconds"]}
        print_row(f"{megapixels} MP", 1, times | {"peak_gib": row["peak_gib"]})
    if args.number:
        with tempfile.TemporaryDirectory() as folder:
            for number in range(args.number):
                make_photo(Path(folder, f"{number:04d}.jpg"), 1.0, seed=number)
            row = colorized(folder, flags)
        rate = {"photos_per_second": args.number / row["wall"], "jobs": args.jobs}
        print_row("folder", args.number, rate | {"summary": row["summary"]})
    return 0


def make_photo(path: Path, megapixels: float, seed: int = 0) -> None:
    """Writes a gray JPEG of 4:3 with fine grain."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    size = (round(height * 4 / 3), height)
    picture = Image.fromarray(read_sample("coffee.png")).convert("L").resize(size)
    rng = np.random.default_rng(seed)
    grain = np.tile(
        rng.integers(0, 8, (256, 256), np.uint8), (height // 256 + 1, size[0] // 256 + 1)
    )
    Image.fromarray(np.asarray(picture) // 2 + grain[: size[1], : size[0]] + seed % 64).save(path)


def colorized(folder: str, flags: Sequence[str]) -> dict[str, Any]:
    """Runs the command on a folder; returns its JSON summary, its times and its peak memory."""
    command = [sys.executable, "-m", "colorjax", "colorize", folder, f"--output={folder}/out"]
    start = time.perf_counter()
    process = subprocess.Popen([*command, *flags], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [json.loads(line) for line in process.stdout]
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0, lines
    return {
        "wall": time.perf_counter() - start,
        "photo_seconds": sum(line.get("seconds") or 0 for line in lines[:-1]),
        "peak_gib": used.ru_maxrss / 2**20,
        "summary": lines[-1]["summary"],
    }


def print_row(row: str, images: int, values: dict[str, Any]) -> None:
    print(
        json.dumps({"question": "photo_tool", "row": row, "images": images, **values}), flush=True
    )


if __name__ == "__main__":
    raise SystemExit(main())
