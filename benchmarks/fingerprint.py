"""Does a refactoring keep the numbers? Run before and after it, and compare.

    python -m benchmarks.fingerprint before.json
    python -m benchmarks.fingerprint after.json --against before.json

A few steps of every config on synthetic photos: losses, gradient norms, a digest of the weights and
eval.json; photos colorized by the shipped weights; `evaluate` and `compare` of them. Uses only
commands and `colorjax.Colorizer`, so that it runs with any layout of the package. Takes minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CONFIGS = {
    "plain_cnn": "plain_cnn.py:size=32,batch=4",
    "dense": "plain_cnn.py:variant=dense,size=32,batch=4",
    "iizuka": "iizuka.py:size=32,width=0.125,batch=4",
    "edge_fusion": "edge_fusion.py:size=32,width=0.125,batch=4",
    "unet": "unet.py:size=32,width=0.125,batch=4",
    "cgan": "cgan.py:size=32,width=0.125,batch=4",
    "nogan": "nogan.py:size=32,width=0.125,batch=4",
    "zhang16": "zhang16.py:size=32,width=0.125,batch=4",
    "zhang16_class": "zhang16.py:variant=class,size=32,width=0.125,batch=4",
    "zhang17": "zhang17.py:size=32,width=0.125,batch=4",
    "semantic": "semantic.py:encoder=tiny,size=32,width=0.125,batch=4",
    "semantic_query": "semantic.py:encoder=tiny,decoder=query,size=32,width=0.125,batch=4",
}
_FIXED = (
    "--config.total_steps=6",
    "--config.log_every=1",
    "--config.checkpoint_every=3",
    "--config.eval_every=0",
    "--config.optimizer.warmup_steps=0",
    "--config.progress=False",
    "--config.data.eval_fraction=0.2",
    "--config.data.validation_fraction=0.2",
)
# `fingerprint` depends on the times of the photo files.
_LEFT_OUT = ("versions", "time", "place", "data", "seconds", "duration", "fingerprint")
WEIGHTS = ("semantic-lite0", "zhang16-small")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.fingerprint", description=__doc__)
    parser.add_argument("output", help="JSON file to write")
    parser.add_argument("--against", help="JSON file of an earlier run")
    parser.add_argument("--only", help="names of configs, separated by commas")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        results = measured(Path(folder), args.only.split(",") if args.only else list(CONFIGS))
    Path(args.output).write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    if args.against is None:
        return 0
    before = json.loads(Path(args.against).read_text())
    changed = [
        name for name in sorted(before.keys() | results.keys()) if differ(before, results, name)
    ]
    print(f"{len(results) - len(changed)} of {len(results)} are the same; others: {changed}")
    return 1 if changed else 0


def differ(before: dict[str, Any], results: dict[str, Any], name: str) -> bool:
    return before.get(name) != results.get(name)


def measured(folder: Path, configs: Sequence[str]) -> dict[str, Any]:
    """Returns name -> numbers."""
    photos, others = folder / "photos", folder / "others"
    make_photos(photos, seed=0)
    make_photos(others, seed=1)
    results: dict[str, Any] = {}
    for name in configs:
        run = folder / name
        extra = ("--config.nogan.generated=0.3",) if name == "nogan" else ()
        arguments = (f"--config=configs/{CONFIGS[name]}", f"--workdir={run}")
        run_python(
            "-m", "colorjax.main", *arguments, f"--config.data.path={photos}", *_FIXED, *extra
        )
        results[name] = of_run(run)
        print(name, results[name]["digest"][:12], flush=True)
    gray = folder / "gray"  # photos in color are skipped
    run_python("-m", "colorjax", "decolorize", str(photos / "a"), f"--output={gray}")
    for weights in WEIGHTS:
        output = folder / "colored" / weights
        arguments = ("colorize", str(gray), f"--checkpoint={weights}", f"--output={output}")
        run_python("-m", "colorjax", *arguments)
        results[weights] = {path.name: pixels_of(path) for path in sorted(output.rglob("*.png"))}
        print(weights, len(results[weights]), flush=True)
    names = ["plain=" + str(folder / configs[0]), *WEIGHTS]
    output = folder / "evaluate"
    arguments = ("--suite=folder", f"--data={photos}", f"--tables={others}", f"--output={output}")
    run_python("-m", "colorjax", "evaluate", *names, *arguments)
    results["evaluate"] = without_paths(json.loads((output / "result.json").read_text()))
    output = folder / "compare"
    run_python("-m", "colorjax", "compare", *names, f"--data={photos}", f"--output={output}")
    results["compare"] = without_paths(json.loads((output / "metrics.json").read_text()))
    return results


def run_python(*arguments: str) -> None:
    """Runs a program of the repository; prints its output if it fails."""
    env = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    done = subprocess.run([sys.executable, *arguments], env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}\n{done.stdout}{done.stderr}")


def of_run(run: Path) -> dict[str, Any]:
    """Returns losses and gradient norms by step, a digest of the weights, and eval.json."""
    import colorjax

    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    kept = [
        {
            name: value
            for name, value in line.items()
            if name.endswith(("step", "loss", "grad_norm"))
        }
        for line in lines
    ]
    report = json.loads((run / "eval.json").read_text())
    digest = colorjax.Colorizer.load(run).digest()
    return {"steps": kept, "digest": digest, "eval": without_paths(report)}


def pixels_of(path: Path) -> str:
    with Image.open(path) as image:
        return hashlib.sha256(np.asarray(image).tobytes()).hexdigest()


def without_paths(results: Any) -> Any:
    """Drops paths, times and versions."""
    if isinstance(results, dict):
        return {
            key: without_paths(value)
            for key, value in results.items()
            if key not in _LEFT_OUT and not (isinstance(value, str) and "/" in value)
        }
    return [without_paths(value) for value in results] if isinstance(results, list) else results


def make_photos(folder: Path, seed: int) -> None:
    """Writes 24 photos of 40x40 px in two classes: ramps and discs, drawn by a seed."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:40, :40] / 39
    for number in range(24):
        ramp = rng.uniform(0, 1, (3, 3))
        planes = ramp[0] + rows[..., None] * ramp[1] + columns[..., None] * ramp[2]
        center, radius = rng.uniform(0.2, 0.8, 2), rng.uniform(0.1, 0.3)
        inside = (rows - center[0]) ** 2 + (columns - center[1]) ** 2 < radius**2
        planes[inside] = rng.uniform(0, 3, 3)
        path = folder / "ab"[number % 2] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.uint8(255 * planes / 3)).save(path)


if __name__ == "__main__":
    raise SystemExit(main())
