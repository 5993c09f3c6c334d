"""Shared by the benchmarks: alternating runs, medians, and one JSON line per row."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from colorjax.runtime import versions as package_versions

Run = Callable[[], float]  # does the work once and returns its seconds


def timed(work: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> Run:
    """Returns a run that times a whole call of `work`, by a clock in seconds."""

    def run() -> float:
        start = clock()
        work()
        return clock() - start

    return run


def alternate(runs: dict[str, Run], repeats: int) -> dict[str, list[float]]:
    """Runs everything in turn, `repeats` rounds after one to warm up.

    A temporary load on the machine then affects all rows equally.

    Returns:
        The seconds of each round by name.
    """
    for run in runs.values():
        run()
    rounds = [{name: run() for name, run in runs.items()} for _ in range(repeats)]
    return {name: [seconds[name] for seconds in rounds] for name in runs}


def print_row(
    question: str,
    row: str,
    seconds: list[float],
    *,
    size: int,
    batch: int,
    images: int,
    device: str,
    peer: str | None = None,
    peer_seconds: list[float] | None = None,
    **more: Any,
) -> None:
    """Prints one row as a line of JSON.

    Args:
        question: name of the benchmark.
        row: name of the measurement.
        seconds: of each round.
        size: side of an image in pixels.
        batch: images per batch; 1 if they are processed one by one.
        images: in one round.
        device: name of the device.
        peer: name of the row to compare with, or why there is none.
        peer_seconds: of each round of that row, over as many images.
        **more: further fields.
    """
    median = statistics.median(seconds)
    fields = {
        "question": question,
        "row": row,
        "size": size,
        "batch": batch,
        "images": images,
        "images_per_second": round(images / median, 2),
        "median_s": round(median, 6),
    }
    if peer:
        fields["peer"] = peer
    if peer_seconds:
        fields["ratio_to_peer"] = round(ratio(peer_seconds, seconds), 3)
    print(json.dumps(fields | more | {"device": device, "versions": versions()}), flush=True)


def ratio(peer: list[float], ours: list[float]) -> float:
    """Returns the speed relative to the peer: the median over the rounds."""
    return statistics.median(a / b for a, b in zip(peer, ours, strict=True))


def versions() -> dict[str, str]:
    """Returns the versions that affect the numbers, including those of installed peers."""
    peers = {"scikit-image": "skimage", "torch": "torch"}  # distribution: module
    installed = [name for name, module in peers.items() if importlib.util.find_spec(module)]
    return package_versions.versions() | {
        name: importlib.metadata.version(name) for name in installed
    }


def host() -> str:
    """Returns the processor's name and its number of cores."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else name}, {os.cpu_count()} cores"


def at_least_one(text: str) -> int:
    """Reads a positive whole number, for argparse."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number
