"""Choice of the engine for `auto`: the fastest installed one whose pictures equal those of JAX."""

from __future__ import annotations

import importlib.metadata
import io
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from colorjax.errors import RequestError
from colorjax.inference.engines import numpy_painter
from colorjax.runtime import atomic

if TYPE_CHECKING:
    from colorjax.inference.engines.engine import Engine

PACKAGES = {"openvino": "openvino", "onnx": "onnxruntime"}  # of the engines, in order of preference
_SIDE = 128  # pixels, of the picture for the comparison; a multiple of every network's step
_LEAST_SHARE = 0.999  # of pixels that differ by at most 1 of 255 levels
_RUNS = 3


def installed() -> dict[str, str]:
    """Returns the installed engines of exported models, and the versions of their packages."""
    result = {}
    for engine, package in PACKAGES.items():
        try:
            result[engine] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return result


def write_reference(network: Engine, model: Path) -> None:
    """Writes what JAX predicts for a picture next to the model of the same weights."""
    gray = _picture(network.facts.fixed_size or _SIDE)
    colors = network.colors(network.fields(gray))[0]
    content = io.BytesIO()
    np.savez(content, colors=colors)
    atomic.write_bytes(_reference(model), content.getvalue())


def fastest(model: Path, engines: dict[str, Any]) -> str | None:
    """Returns the fastest engine that is equal to JAX; None: no engine is.

    An engine is measured once for each version of its package; the results lie next to the model.

    Args:
        model: file of the cache, with its reference.
        engines: name -> function that opens the model, for each installed engine.
    """
    notes = model.with_suffix(".json")
    try:
        known = json.loads(notes.read_text())
    except (OSError, ValueError):
        known = {}
    versions = installed()
    keys = {name: f"{name} {versions[name]}" for name in engines}
    new = {key: _measured(engines[name], model) for name, key in keys.items() if key not in known}
    if new:
        known |= new
        atomic.write_bytes(notes, json.dumps(known, indent=1).encode())
    equal = [name for name, key in keys.items() if known[key]["equal"]]
    return min(equal, key=lambda name: known[keys[name]]["seconds"], default=None)


def _measured(open_engine: Any, model: Path) -> dict[str, Any]:
    """Returns whether an engine is equal to JAX, and its seconds for one picture."""
    try:
        network: Engine = open_engine(model)
        fields = network.fields(_picture(network.facts.fixed_size or _SIDE))
        seconds = []
        colors = network.colors(fields)[0]
        for _ in range(_RUNS):
            start = time.perf_counter()
            network.colors(fields)
            seconds.append(time.perf_counter() - start)
        with np.load(_reference(model)) as file:
            wanted = file["colors"]
    except (RequestError, OSError, ValueError, KeyError, RuntimeError) as error:
        return {"equal": False, "reason": str(error)[:200], "seconds": 0.0}
    pictures = [_painted(each, fields["gray"][0, ..., 0]) for each in (colors, wanted)]
    apart = np.abs(pictures[0].astype(int) - pictures[1]).max(axis=-1)
    return {"equal": bool((apart <= 1).mean() >= _LEAST_SHARE), "seconds": min(seconds)}


def _reference(model: Path) -> Path:
    return model.with_suffix(".npz")


def _picture(side: int) -> np.ndarray:
    """Returns a gray picture with edges, ramps and noise, (side, side) in [-1, 1]."""
    y, x = np.mgrid[:side, :side] / side
    disc = np.hypot(x - 0.4, y - 0.5) < 0.25
    noise = np.random.default_rng(0).normal(0, 0.05, (side, side))
    return np.clip(x + y - 1 + 0.6 * disc + noise, -1, 1).astype(np.float32)


def _painted(colors: np.ndarray, gray: np.ndarray) -> np.ndarray:
    planes = (50 * (gray + 1), colors[..., -2], colors[..., -1])
    return numpy_painter.paint(planes, is_8_bit=True)
