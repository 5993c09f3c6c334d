"""Where does each second of `colorjax colorize PHOTO` go?

    python -m benchmarks.first_picture [--megapixels 0.25 12] [--repeats 5] [--peers] [-- OPTIONS]

Runs the command in a new process for synthetic JPEG photos and prints a Markdown table, medians in
seconds of wall time:

    python    from the start of the process to its first own statement
    jax       import jax
    imports   all other imports of the command
    weights   reading the weights and preparing the network
    compile   compiling, or loading compiled programs from the cache
    photo     reading, colorizing and writing the photo, without compilation
    rest      reading the arguments, planning, the end of the process
    whole     the process
    cpu       the process, in seconds of processor time, which other programs change less

OPTIONS are those of the command, such as `-- --engine onnx`. With --peers, a plain script with
PyTorch takes turns with the command: it loads DDColor-tiny with random weights from a file and
colorizes the same photo at 512 px.

The first run of each photo fills the compilation cache and is not counted; with --cold each run has
an empty cache.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import measure

STAGES = ("python", "jax", "imports", "weights", "compile", "photo", "rest", "whole", "cpu")


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.first_picture", description=__doc__)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[0.25, 12.0])
    parser.add_argument("--repeats", type=measure.at_least_one, default=5)
    parser.add_argument("--peers", action="store_true", help="also run a script with PyTorch")
    parser.add_argument("options", nargs="*", help="of the command")
    parser.add_argument("--cold", action="store_true", help="empty the compilation cache each time")
    args = parser.parse_args(argv)
    print(f"| program | megapixels | {' | '.join(STAGES)} |\n|---|---:|{'---:|' * len(STAGES)}")
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, "ddcolor.pt")
        if args.peers:
            _check_call(["peer-weights", str(weights)])
        for megapixels in args.megapixels:
            photo = Path(folder, "photo.jpg")
            write_photo(photo, megapixels)
            runs = {"colorjax": functools.partial(_run, photo, args.options, cold=args.cold)}
            if args.peers:
                runs["PyTorch"] = functools.partial(_run_peer, photo, weights)
            rounds = [{name: run() for name, run in runs.items()} for _ in range(args.repeats + 1)][
                1:
            ]
            for name in runs:
                rows = [each[name] for each in rounds]
                values = [
                    f"{statistics.median(row[stage] for row in rows):.2f}"
                    if stage in rows[0]
                    else ""
                    for stage in STAGES
                ]
                print(f"| {name} | {megapixels:g} | {' | '.join(values)} |", flush=True)
    print(f"\n{measure.host()}; {measure.versions()}")
    return 0


def write_photo(path: Path, megapixels: float) -> None:
    """Writes a smooth gray JPEG photo of 4:3."""
    import numpy as np
    from PIL import Image

    width = round((megapixels * 4e6 / 3) ** 0.5)
    noise = np.random.default_rng(0).integers(0, 256, (60, 80), np.uint8)
    size = (width, width * 3 // 4)
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(path, quality=90)


def _run(photo: Path, options: Sequence[str], *, cold: bool) -> dict[str, float]:
    """Returns the seconds of each stage of one process."""
    with contextlib.ExitStack() as stack:
        cache = {}
        if cold:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            cache["JAX_COMPILATION_CACHE_DIR"] = folder
        cpu = _cpu_seconds()
        start = time.monotonic()
        command = [sys.executable, "-m", "benchmarks.first_picture", "child", str(start)]
        result = subprocess.run(
            [*command, str(photo), *options],
            env=os.environ | cache,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        whole = time.monotonic() - start
    stages = json.loads(result.stdout.splitlines()[-1])
    rest = whole - sum(stages.values())
    return stages | {"whole": whole, "rest": rest, "cpu": _cpu_seconds() - cpu}


def _run_peer(photo: Path, weights: Path) -> dict[str, float]:
    """Returns the seconds of a process of `peer`."""
    cpu, start = _cpu_seconds(), time.monotonic()
    _check_call(["peer", str(weights), str(photo)])
    return {"whole": time.monotonic() - start, "cpu": _cpu_seconds() - cpu}


def _check_call(arguments: Sequence[str]) -> None:
    subprocess.run([sys.executable, "-m", "benchmarks.first_picture", *arguments], check=True)


def _peer_network() -> Any:
    from benchmarks.torch_ddcolor import DDColor

    return DDColor("convnext_t")


def peer(weights: str, photo: str) -> None:
    """Colorizes a photo as a plain script with PyTorch would."""
    import numpy as np
    import torch
    from PIL import Image

    network = _peer_network()
    network.load_state_dict(torch.load(weights, mmap=True))
    network.eval()
    image = Image.open(photo).convert("RGB")
    small = np.asarray(image.resize((512, 512)), np.float32) / 255
    with torch.inference_mode():
        colors = network(torch.tensor(small).permute(2, 0, 1)[None])
    colors = torch.nn.functional.interpolate(colors, image.size[::-1], mode="bilinear")
    planes = colors[0].permute(1, 2, 0).numpy()
    luma = np.asarray(image.convert("L"), np.float32)[..., None]
    painted = np.concatenate([luma + planes[..., :1], luma, luma + planes[..., 1:2]], axis=-1)
    pixels = np.clip(np.nan_to_num(painted), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(Path(photo).with_name("peer.jpg"), quality=90)


def _cpu_seconds() -> float:
    """Returns the processor time of all ended child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def child(start: float, arguments: Sequence[str]) -> dict[str, float]:
    """Colorizes a photo as the command does, and returns the seconds of each stage.

    Args:
        start: of the process, by the monotonic clock.
        arguments: photo and options.
    """
    clock = time.monotonic
    stages: dict[str, Any] = {"python": _BEGAN - start}
    now = clock()
    if "--engine" not in arguments:
        import jax  # noqa: F401
    stages["jax"] = clock() - now
    now = clock()
    from colorjax.cli import colorize  # noqa: F401
    from colorjax.cli import main as command
    from colorjax.inference.batch import run, work  # noqa: F401
    from colorjax.inference.colorizer import Colorizer

    stages["imports"] = clock() - now
    load = Colorizer.load

    def timed(*args: Any, **fields: Any) -> Colorizer:
        now = clock()
        colorizer = load(*args, **fields)
        stages["weights"] = clock() - now
        return colorizer

    Colorizer.load = timed
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = command.run(["colorize", *arguments, "--overwrite", "--json"])
    if status:
        raise SystemExit(status)
    row, summary = map(json.loads, printed.getvalue().splitlines())
    stages["compile"] = summary["summary"]["compile_seconds"]
    stages["photo"] = row["seconds"]
    return stages


_BEGAN = time.monotonic()

if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        print(json.dumps(child(float(sys.argv[2]), sys.argv[3:])))
    elif sys.argv[1:2] == ["peer-weights"]:
        import torch

        torch.save(_peer_network().state_dict(), sys.argv[2])
    elif sys.argv[1:2] == ["peer"]:
        peer(*sys.argv[2:])
    else:
        sys.exit(main())
