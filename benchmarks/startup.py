"""How long does it take to the first batch of a large data set?

    python -m benchmarks.startup --photos 1000000

Writes a tar of that many tiny PNG photos in 100 folders, converts it to shards (`colorjax prepare`)
and opens them in a new process as a training run does: splits, labels, first batch. Rows:

- prepare: `seconds` from the tar to the shards;
- first_batch: `seconds` to the first batch, without imports, and `peak_gib`, the memory of the
  process and its workers.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = 100


def write_tar(path: Path, number: int) -> None:
    """Writes a tar of PNG photos of 8 x 8 pixels, FOLDER/NUMBER.png."""
    rng = np.random.default_rng(0)
    contents = []
    for _ in range(CLASSES):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(buffer, "png")
        contents.append(buffer.getvalue())
    with tarfile.open(path, "w") as file:
        for index in range(number):
            info = tarfile.TarInfo(f"{index % CLASSES:02d}/{index:07d}.png")
            info.size = len(contents[index % CLASSES])
            file.addfile(info, io.BytesIO(contents[index % CLASSES]))


def open_and_draw(folder: str, workers: int) -> None:
    """Opens shards as a training run does, draws a batch, and prints a row."""
    from absl import flags

    from colorjax.data import pipeline
    from colorjax.data.selection import splits
    from configs import default

    flags.FLAGS.mark_as_parsed()  # grain reads them
    config = default.get_config().data
    config.name, config.path, config.labels = "array_record", folder, "folder"
    config.size, config.num_workers = 32, workers
    start = time.perf_counter()
    parts = splits.open_splits(config)
    opened = time.perf_counter()
    batches = pipeline.train_batches(
        parts.train, config, seed=0, batch_size=64, inputs=frozenset({"gray"})
    )
    next(batches)
    seconds = time.perf_counter() - start
    batches.close()
    peak = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    row = {
        "row": "first_batch",
        "photos": sum(map(len, parts)),
        "workers": workers,
        "seconds": round(seconds, 2),
        "opening_s": round(opened - start, 2),
        "peak_gib": round(peak / 2**20, 3),
    }
    print(json.dumps({"question": "startup"} | row))


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        archive, shards = Path(folder, "photos.tar"), Path(folder, "shards")
        write_tar(archive, args.photos)
        start = time.perf_counter()
        program = "import sys; from colorjax import cli; sys.exit(cli.run(sys.argv[1:]))"
        flags = [archive, "--output", shards, "--shards", args.shards]
        _run(["-c", program, "prepare", *flags], stdout=subprocess.DEVNULL)
        row = {"row": "prepare", "photos": args.photos}
        row |= {"seconds": round(time.perf_counter() - start, 1)}
        print(json.dumps({"question": "startup"} | row), flush=True)
        for workers in args.workers:
            _run(["-m", "benchmarks.startup", "open", shards, workers])
    return 0


def _run(arguments: Sequence[object], **options: int) -> None:
    subprocess.run([sys.executable, *map(str, arguments)], check=True, **options)


if __name__ == "__main__":
    if sys.argv[1:2] == ["open"]:
        open_and_draw(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(main())
