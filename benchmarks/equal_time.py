r"""Which method is best after the same training time, on the same photos?

    python -m benchmarks.equal_time --data TINYIMAGENET --workdir runs/equal_time --minutes 6
    python -m benchmarks.equal_time --data SHARDS --workdir runs/seeds --minutes 10 \
        --size 128 --batch 16 --seeds 0 1 2 --config.data.eval_fraction=0.02

Each method trains for as many steps as fit into the minutes at its step time. Step times are
measured first, one method after the other, with a batch that is already on the device, and stored
in WORKDIR/step_times.json, so that later load on the machine favors no method. On a CPU they are
processor time: `--minutes 10` are ten minutes of one core. The step time of
nogan is that of its first phase in which the colorizer learns. Only nogan selects one of several
states by validation photos; all others use the last step. Workdirs are WORKDIR/NAME-SEED; the same
command resumes. Other minutes, sizes and batches need another WORKDIR. The learning rate rises for
a tenth of the steps, then decays along a cosine.

DATA contains train/ and val/, or shards of `colorjax prepare`. Arguments `--config.FIELD=VALUE` are
those of every training. Prints one line of JSON per run: steps, parameters and metrics.
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

# A config and fields to set. Widths of at most 9.5 million parameters, for two CPU cores and
# minutes.
METHODS = {
    "semantic": "configs/semantic.py:size={size}",
    "plain_cnn": "configs/plain_cnn.py:size={size}",
    "iizuka": "configs/iizuka.py:size={size},width=0.45",
    "edge_fusion": "configs/edge_fusion.py:size={size},width=0.45",
    "unet": "configs/unet.py:size={size},width=0.35",
    "unet_l1": "configs/unet.py:size={size},width=0.35 loss.name=l1",
    "cgan": "configs/cgan.py:size={size},width=0.35",
    "nogan": "configs/nogan.py:size={size},width=0.35",
    "zhang16_l2": "configs/zhang16.py:size={size},width=0.35,variant=l2",
    "zhang16_full": "configs/zhang16.py:size={size},width=0.35,variant=full",
    "zhang17": "configs/zhang17.py:size={size},width=0.25",
}


def config_of(method: str, size: int, batch: int) -> ConfigDict:
    """Reads the config of one of `METHODS`, at the size and batch of this comparison."""
    file, *fields = METHODS[method].format(size=size).split()
    config = read_config(
        argparse.Namespace(config=file, size=size, batch=batch, targets=None, dtype=None)
    )
    config.update_from_flattened_dict(dict(field.split("=") for field in fields))
    return config


def step_time(method: str, size: int, batch: int) -> float:
    """Measures the seconds of a training step: the median of five after one to warm up.

    On a CPU they are seconds of processor time, of all threads together.
    """
    trainer = Trainer(config_of(method, size, batch))
    trainer.run(1)
    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
    return statistics.median(measure.timed(lambda: trainer.run(1), clock)() for _ in range(5))


def parameters(method: str, size: int, batch: int) -> int:
    """Counts the parameters of a method's network."""
    config = config_of(method, size, batch)
    built = methods.build(resolve.resolve_head(config, methods.build_loss(config)))
    shapes = jax.eval_shape(built.init, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="folder with train/ and val/, or shards")
    parser.add_argument("--eval", metavar="FOLDER", help="test photos (default: DATA/val)")
    parser.add_argument("--workdir", required=True, metavar="DIR")
    parser.add_argument("--minutes", type=float, default=6.0, help="of training, each run")
    parser.add_argument("--size", type=int, default=64, metavar="PX")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    args, config_flags = parser.parse_known_args(argv)
    if unknown := [flag for flag in config_flags if not flag.startswith("--config.")]:
        parser.error(f"unknown arguments: {' '.join(unknown)}")
    root = Path(args.workdir)
    root.mkdir(parents=True, exist_ok=True)
    kept = root / "step_times.json"
    times = json.loads(kept.read_text()) if kept.exists() else {}
    for name in ("minutes", "size", "batch"):
        if times.setdefault(name, getattr(args, name)) != getattr(args, name):
            parser.error(f"{root} holds runs of --{name} {times[name]}; give another --workdir")
    for name in args.methods:
        if name not in times:
            times[name] = round(step_time(name, args.size, args.batch), 4)
            kept.write_text(json.dumps(times, indent=2) + "\n")
            print(f"{name}: {times[name]} s a step", file=sys.stderr)
    for seed in args.seeds:
        for name in args.methods:
            steps = max(10, round(60 * args.minutes / times[name]))
            workdir = root / f"{name}-{seed}"
            if not (workdir / "eval.json").exists():
                status = train(name, workdir, seed, steps, args, config_flags)
                if status:
                    return status
            row = {"method": name, "seed": seed, "config": METHODS[name], "steps": steps}
            row |= {"size": args.size, "batch": args.batch, "seconds_a_step": times[name]}
            row |= {"parameters": parameters(name, args.size, args.batch)}
            content = json.loads((workdir / "eval.json").read_text())
            row |= {"metrics": content["metrics"], "baselines": content["baselines"]}
            print(json.dumps(row), flush=True)
    return 0


def train(
    method: str,
    workdir: Path,
    seed: int,
    steps: int,
    args: argparse.Namespace,
    config_flags: list[str],
) -> int:
    """Trains and evaluates one method in a new process; returns its exit status."""
    config_file, *own = METHODS[method].format(size=args.size).split()
    fields = dict(field.split("=") for field in own) | {
        "seed": seed,
        "batch_size": args.batch,
        "total_steps": steps,
        "eval_every": 0,
        "checkpoint_every": max(50, steps // 5),
        "optimizer.schedule": "cosine",
        "optimizer.warmup_steps": steps // 10,
        "early_stopping.metric": "",
        "early_stopping.patience": 0,
    }
    if any(Path(args.data).glob("*.array_record")):
        fields |= {"data.name": "array_record", "data.path": args.data}
    else:
        fields |= {"data.path": f"{args.data}/train"}
        fields |= {"data.eval_path": args.eval or f"{args.data}/val"}
    if method == "nogan":
        # Enough for its classifier; a hundred states to pick from would take the time of training.
        fields |= {"features.share": 0.15, "nogan.shares": "(0.7,0.15,0.15)"}
        fields |= {"nogan.save_every": max(10, steps // 40), "data.validation_fraction": 0.005}
    arguments = [f"--config.{name}={value}" for name, value in fields.items()]
    command = [sys.executable, "-m", "colorjax.main", f"--config={config_file}"]
    return subprocess.run([*command, f"--workdir={workdir}", *arguments, *config_flags]).returncode


if __name__ == "__main__":
    sys.exit(main())
