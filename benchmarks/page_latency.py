"""Latency and memory of the page: clicks on a photo of 12 megapixels.

    python -m benchmarks.page_latency [--clicks 1000] [--photo PHOTO]

Starts `colorjax serve` with the default weights, opens a photo, and sends one preview request per
click, each with one hint more, up to 8, then again from one: what the page sends when the pointer
goes up. One row: `first_s` and `warm_s`, the seconds from opening a photo to its colors, for the
first photo and for the second; `median_ms`, `p95_ms` and `fastest_ms`, from the request to the
whole answer (a JPEG of 1024 px); `cpu_ms`, the processor time of the server per click, which other
programs do not change; `before_mb` and `after_mb`, its resident memory. Give it two quiet cores.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

SIZE = (4000, 3000)
MOST_HINTS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clicks", type=int, default=1000)
    parser.add_argument("--photo", type=Path, help="default: a picture of scikit-image, enlarged")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos = [args.photo] if args.photo else write_photos(Path(folder))
        with serving(folder, photos) as (process, call):
            ids = [photo["id"] for photo in json.loads(call("GET", "/api/photos"))["photos"]]
            opened = [
                seconds(lambda id=id: call("POST", f"/api/photos/{id}/open", {})) for id in ids
            ]
            row = {"first_s": round(opened[0], 2), "warm_s": round(opened[-1], 2)}
            row |= measure(call, ids[-1], process.pid, args.clicks)
            print(json.dumps({"question": "page_latency", "clicks": args.clicks, **row}))


def measure(call, id: str, process: int, clicks: int) -> dict[str, float]:
    rng = random.Random(0)
    path, strokes, times = f"/api/photos/{id}/preview", [], []
    for click in range(-2 * MOST_HINTS, clicks):  # the first ones compile
        if click == 0:
            before, used = resident(process), processor_seconds(process)
        strokes = strokes if len(strokes) < MOST_HINTS else []
        x, y, code = rng.randrange(SIZE[0]), rng.randrange(SIZE[1]), rng.randrange(2**24)
        strokes = [*strokes, {"kind": "hint", "x": x, "y": y, "color": f"#{code:06x}"}]
        body = {"state": {"strokes": strokes}, "seq": click + 99, "client": "benchmark"}
        times.append(seconds(lambda body=body: call("POST", path, body)))
    times = 1000 * np.array(times[2 * MOST_HINTS :])
    after = resident(process)
    used = 1000 * (processor_seconds(process) - used) / clicks
    numbers = {
        "median_ms": np.median(times),
        "p95_ms": np.percentile(times, 95),
        "fastest_ms": times.min(),
        "cpu_ms": used,
        "before_mb": before,
        "after_mb": after,
    }
    return {name: round(float(number), 1) for name, number in numbers.items()}


def write_photos(folder: Path) -> list[Path]:
    paths = []
    for name in ("coffee", "astronaut"):
        picture = Image.fromarray(getattr(skimage.data, name)()).convert("L")
        paths.append(folder / f"{name}.jpg")
        picture.resize(SIZE, Image.Resampling.BICUBIC).save(paths[-1], quality=92)
    return paths


@contextlib.contextmanager
def serving(folder: str, photos: list[Path]) -> Iterator[tuple[subprocess.Popen, object]]:
    command = [sys.executable, "-m", "colorjax", "serve", "--no-browser", *map(str, photos)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE)
    try:
        line = process.stdout.readline().decode()
        port, token = re.search(r":(\d+)/#(\S+)", line).groups()
        connection = http.client.HTTPConnection("127.0.0.1", int(port))

        def call(method: str, path: str, body: object = None) -> bytes:
            connection.request(method, path, json.dumps(body), {"X-Colorjax-Token": token})
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status == 200, content
            return content

        yield process, call
    finally:
        process.terminate()
        process.wait(60)


def seconds(act) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def processor_seconds(process: int) -> float:
    """Returns the processor time of all threads: on a busy machine it says more than the clock."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(process: int) -> float:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise OSError("the process is gone")


if __name__ == "__main__":
    main()
