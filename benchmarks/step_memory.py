"""What do recomputation and accumulation cost in a training step, and what do they save?

    python -m benchmarks.step_memory --config configs/unet.py --size 64 --batch 32

Rows: the step as it is; `remat=("none",)`, which recomputes all outputs of layers; and
`parallel.accumulate` with 2 and 4 parts. The rows take turns. Prints a Markdown table: the time of
a step relative to the first row (processor time on a CPU), and the temporary memory that XLA plans.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import time

import jax

from benchmarks import measure
from benchmarks.step_time import Trainer, read_config
from colorjax.evaluate.tables import markdown_table

ROWS = {
    "as it is": {},
    'remat=("none",)': {"remat": ("none",)},
    "accumulate=2": {"parallel.accumulate": 2},
    "accumulate=4": {"parallel.accumulate": 4},
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", required=True, metavar="FILE.py[:ARGS]")
    parser.add_argument("--size", type=measure.at_least_one, metavar="PX")
    parser.add_argument("--batch", type=measure.at_least_one)
    parser.add_argument("--repeats", type=measure.at_least_one, default=7)
    parser.set_defaults(targets=None, dtype=None)
    args = parser.parse_args(argv)
    trainers = {}
    for name, fields in ROWS.items():
        config = read_config(args)
        config.update_from_flattened_dict(fields)
        trainers[name] = Trainer(config)
    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
    runs = {
        name: measure.timed(functools.partial(trainer.run, 1), clock)
        for name, trainer in trainers.items()
    }
    seconds = measure.alternate(runs, args.repeats)
    whole = seconds[next(iter(ROWS))]
    lines = [["step", "time", "temporary memory, MiB"]]
    for name, trainer in trainers.items():
        ratio = statistics.median(a / b for a, b in zip(seconds[name], whole, strict=True))
        lines.append([name, f"{ratio:.2f}", f"{trainer.temporary_bytes / 2**20:.0f}"])
    print(markdown_table(lines), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
