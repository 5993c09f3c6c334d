"""Parts of benchmarks/gpu.sh that the other benchmarks do not measure. Each prints a line of JSON.

    python -m benchmarks.gpu_parts rate --dtype bfloat16 --side 8192
    python -m benchmarks.gpu_parts memory --config configs/unet.py:size=256 --batch 32
    python -m benchmarks.gpu_parts waiting --targets device --workdir FOLDER

rate: FLOP/s of one large matrix product, the peak to compare networks with. memory: the most bytes
that two training steps hold on the device, and the estimate of --mode=compile. waiting: the share
of the time that a training run of the U-Net waits for photos, with targets of the host or device;
with --profile also the operations that take the longest in a trace of five steps.
"""

from __future__ import annotations

import argparse
import collections
import functools
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import measure, pipeline, step_time
from colorjax.train import compile_check

_CHAIN = 8  # products in one program
_PROFILED = "15:19"  # steps
_SLOWEST = 5  # operations of a profile
_MEASURED = ("wait_share", "images_per_second")


def main(argv: Sequence[str] | None = None) -> int:
    """Measures one part and prints its row."""
    args = _parser().parse_args(argv)
    row: dict[str, Any] = {"part": args.part} | args.measure(args)
    device = f"{jax.devices()[0].device_kind}, {measure.host()}"
    print(json.dumps(row | {"device": device, "versions": measure.versions()}), flush=True)
    return 0


def rate(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the rate of products of square matrices, in FLOP/s, at XLA's default precision."""
    dtype = jnp.dtype(args.dtype)
    x = jnp.full((args.side, args.side), 1 / args.side, dtype)

    @jax.jit
    def chain(x: jax.Array) -> jax.Array:
        return functools.reduce(lambda y, _: y @ x, range(_CHAIN), x)

    def work() -> None:
        jax.block_until_ready(chain(x))

    seconds = measure.alternate({"rate": measure.timed(work)}, 5)["rate"]
    flops = _CHAIN * 2 * args.side**3
    return {"dtype": args.dtype, "flop_per_second": flops / statistics.median(seconds)}


def memory(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the peak of two steps and the estimate, in bytes; None: the device does not count."""
    config = step_time.read_config(args)
    trainer = step_time.Trainer(config)
    trainer.run(2)
    counters = jax.devices()[0].memory_stats() or {}
    needs = list(compile_check.compile_phases(config))
    return {
        "config": args.config,
        "dtype": config.dtype,
        "batch": config.batch_size,
        "measured_bytes": counters.get("peak_bytes_in_use"),
        "estimated_bytes": max(phase["device_bytes"] for phase in needs),
    }


def waiting(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the speed and the waiting share of a training run on JPEG files."""
    workdir = Path(args.workdir)
    with tempfile.TemporaryDirectory() as photos:
        pipeline.write_photos(Path(photos), args.size, 2 * args.batch, None)
        fields = {
            "data.path": photos,
            "data.targets": args.targets,
            "batch_size": args.batch,
            "total_steps": args.steps,
            "log_every": 10,
            "dtype": args.dtype,
        }
        command = [sys.executable, "-m", "colorjax.main", f"--workdir={workdir}"]
        command += [f"--config=configs/unet.py:size={args.size},width={args.width}"]
        command += [f"--config.{name}={value}" for name, value in fields.items()]
        command += [f"--profile={_PROFILED}"] if args.profile else []
        subprocess.run(command, check=True, stdout=sys.stderr, env=_without_preallocation())
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    logged = [line for line in lines if "train/wait_share" in line]
    steady = logged[2:] or logged  # the first steps compile, and the next are profiled
    row = {name: statistics.median(x[f"train/{name}"] for x in steady) for name in _MEASURED}
    row |= {"targets": args.targets, "dtype": args.dtype, "size": args.size, "batch": args.batch}
    if args.profile:
        row["profile"] = str(workdir / "profile")
        row["slowest"] = slowest_kernels(workdir / "profile")
    return row


def slowest_kernels(folder: Path) -> list[tuple[str, float]]:
    """Returns the kernels that take the longest on the GPUs of a trace, and their shares.

    Args:
        folder: of `jax.profiler`; its newest Perfetto trace is read.

    Returns:
        Name and share of the time of all kernels; nothing on a CPU, which has none.
    """
    *_, trace = sorted(folder.rglob("perfetto_trace.json.gz"))
    with gzip.open(trace, "rt") as file:
        events = json.load(file)["traceEvents"]
    names = {
        (event["name"], event["pid"], event.get("tid")): event["args"]["name"]
        for event in events
        if event.get("ph") == "M" and "name" in event.get("args", {})
    }
    devices = {pid for (kind, pid, _), name in names.items() if "/device:" in name}
    # Streams hold the kernels; other threads of a device repeat them by module and by layer.
    streams = {
        (pid, tid)
        for (kind, pid, tid), name in names.items()
        if kind == "thread_name" and pid in devices and name.startswith("Stream")
    }
    totals: collections.Counter[str] = collections.Counter()
    for event in events:
        if event.get("ph") == "X" and (event["pid"], event.get("tid")) in streams:
            totals[event["name"]] += event["dur"]
    whole = sum(totals.values())
    return [(name, round(time / whole, 4)) for name, time in totals.most_common(_SLOWEST)]


def _without_preallocation() -> dict[str, str]:
    """Returns the environment of a child: this process has a JAX of its own on the device."""
    return os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_parts", description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    number = measure.at_least_one

    def add(name: str, function: Any) -> argparse.ArgumentParser:
        part = parts.add_parser(name)
        part.set_defaults(measure=function, targets=None, size=None)
        part.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
        return part

    add("rate", rate).add_argument("--side", type=number, default=8192)
    part = add("memory", memory)
    part.add_argument("--config", required=True)
    part.add_argument("--batch", type=number)
    part = add("waiting", waiting)
    part.add_argument("--targets", choices=("host", "device"), required=True)
    part.add_argument("--workdir", required=True)
    part.add_argument("--size", type=number, default=256)
    part.add_argument("--batch", type=number, default=128)
    part.add_argument("--steps", type=number, default=60)
    part.add_argument("--width", type=float, default=1.0)
    part.add_argument("--profile", action="store_true")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
