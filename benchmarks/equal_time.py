"""Which method is best after the same training time, on the same photos?

    python -m benchmarks.equal_time --data TINYIMAGENET --workdir runs/equal_time --minutes 6

Each method trains for as many steps as fit into the minutes at its step time. Step times are
measured first, one method after the other, with a batch that is already on the device, and stored
in WORKDIR/step_times.json, so that later load on the machine favors no method. The step time of
nogan is that of its first phase in which the colorizer learns. Only nogan selects one of several
states by validation photos; all others use the last step. Workdirs are WORKDIR/NAME; the same
command resumes. Other minutes need another WORKDIR. The learning rate rises for a tenth of the
steps, then decays along a cosine.

DATA contains train/ and val/. Prints one line of JSON per method: steps, parameters and metrics.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import jax
from ml_collections import ConfigDict

from benchmarks import measure
from benchmarks.step_time import Trainer, read_config
from colorjax import methods
from colorjax.methods import resolve

SIZE, BATCH = 64, 32
# A config file and fields to set. Widths of at most 9.5 million parameters, for two CPU cores and
# minutes.
METHODS = {
    "plain_cnn": "configs/plain_cnn.py",
    "iizuka": "configs/iizuka.py:width=0.45",
    "edge_fusion": "configs/edge_fusion.py:width=0.45",
    "unet": "configs/unet.py:size=64,width=0.35",
    "unet_l1": "configs/unet.py:size=64,width=0.35 loss.name=l1",
    "cgan": "configs/cgan.py:size=64,width=0.35",
    "nogan": "configs/nogan.py:size=64,width=0.35",
    "zhang16_l2": "configs/zhang16.py:width=0.35,variant=l2",
    "zhang16_full": "configs/zhang16.py:width=0.35,variant=full",
    "zhang17": "configs/zhang17.py:width=0.25",
}


def config_of(method: str) -> ConfigDict:
    """Reads the config of one of `METHODS`, at the size and batch of this comparison."""
    file, *fields = METHODS[method].split()
    config = read_config(
        argparse.Namespace(config=file, size=SIZE, batch=BATCH, targets=None, dtype=None)
    )
    config.update_from_flattened_dict(dict(field.split("=") for field in fields))
    return config


def step_time(method: str) -> float:
    """Measures the seconds of a training step: the median of five after one to warm up."""
    trainer = Trainer(config_of(method))
    trainer.run(1)
    return statistics.median(measure.timed(lambda: trainer.run(1))() for _ in range(5))


def parameters(method: str) -> int:
    """Counts the parameters of a method's network."""
    config = config_of(method)
    built = methods.build(resolve.resolve_head(config, methods.build_loss(config)))
    shapes = jax.eval_shape(built.init, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, metavar="FOLDER", help="with train/ and val/")
    parser.add_argument("--eval", metavar="FOLDER", help="test photos (default: DATA/val)")
    parser.add_argument("--workdir", required=True, metavar="DIR")
    parser.add_argument("--minutes", type=float, default=6.0, help="of training, each method")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    args = parser.parse_args(argv)
    root = Path(args.workdir)
    root.mkdir(parents=True, exist_ok=True)
    kept = root / "step_times.json"
    times = json.loads(kept.read_text()) if kept.exists() else {}
    if times.setdefault("minutes", args.minutes) != args.minutes:
        parser.error(f"{root} holds runs of {times['minutes']} minutes; give another --workdir")
    kept.write_text(json.dumps(times, indent=2) + "\n")
    for name in args.methods:
        if name not in times:
            times[name] = round(step_time(name), 4)
            kept.write_text(json.dumps(times, indent=2) + "\n")
            print(f"{name}: {times[name]} s a step", file=sys.stderr)
    for name in args.methods:
        steps = max(10, round(60 * args.minutes / times[name]))
        workdir = root / name
        report = workdir / "eval.json"
        start = time.perf_counter()
        if not report.exists():
            status = train(name, workdir, steps, args)
            if status:
                return status
        row = {"method": name, "config": METHODS[name], "steps": steps, "batch": BATCH}
        row |= {"seconds_a_step": times[name], "parameters": parameters(name)}
        row |= {"wall_s": round(time.perf_counter() - start)}
        content = json.loads(report.read_text())
        print(json.dumps(row | {"metrics": content["metrics"], "baselines": content["baselines"]}))
    return 0


def train(method: str, workdir: Path, steps: int, args: argparse.Namespace) -> int:
    """Trains and evaluates one method in a new process; returns its exit status."""
    config_file, *own = METHODS[method].split()
    fields = dict(field.split("=") for field in own) | {
        "data.path": f"{args.data}/train",
        "data.eval_path": args.eval or f"{args.data}/val",
        "batch_size": BATCH,
        "total_steps": steps,
        "eval_every": 0,
        "checkpoint_every": max(50, steps // 5),
        "optimizer.schedule": "cosine",
        "optimizer.warmup_steps": steps // 10,
        "early_stopping.metric": "",
        "early_stopping.patience": 0,
    }
    if config_file.startswith("configs/nogan"):
        # Enough for its classifier; a hundred states to pick from would take the time of training.
        fields |= {"features.share": 0.15, "nogan.shares": "(0.7,0.15,0.15)"}
        fields |= {"nogan.save_every": max(10, steps // 40), "data.validation_fraction": 0.005}
    arguments = [f"--config.{name}={value}" for name, value in fields.items()]
    command = [sys.executable, "-m", "colorjax.main", f"--config={config_file}"]
    return subprocess.run([*command, f"--workdir={workdir}", *arguments]).returncode


if __name__ == "__main__":
    sys.exit(main())
