"""The weights of one trial on one part of its photos: `python -m colorjax.tune.measure`.

A program of its own, which owns the devices for as long as it measures.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from absl import flags

from colorjax import evaluate, parallel, startup
from colorjax import method as methods
from colorjax.data import prior, splits
from colorjax.errors import RequestError
from colorjax.train import weights
from colorjax.train.skipped import SkippedPhotos
from colorjax.train.stopping import StopSignal
from colorjax.train.workdir import Workdir, write_json

PARTS = ("validation", "eval")


def measure(workdir: Path, part: str, stop: StopSignal) -> dict[str, Any] | None:
    """Evaluates the weights of a run on the photos to choose by or those to report on.

    Args:
        workdir: of the run.
        part: "validation" or "eval".
        stop: ends it early.

    Returns:
        `num_images`, `metrics`, `baselines` (of eval), and `errors`: mae_ab and mse of each photo.
        num_images is 0, and the rest empty, where the part has no photo. None: it was ended early.

    Raises:
        RequestError: workdir, weights or photos cannot be used.
    """
    folder = Workdir(workdir)
    config = folder.read_config()
    layout = parallel.make_layout(config.evaluation.batch_size)
    method = methods.build(config, with_loss=False)
    parts = splits.open_splits(config.data, folder.read_classes())
    source = getattr(parts, part)
    if not len(source):
        return {"num_images": 0, "metrics": {}, "baselines": {}, "errors": {}}
    step, variables = weights.load(folder.root, method, layout.replicated)
    steps = evaluate.build_steps(
        method, prior.load(config.evaluation.prior), config.evaluation.hint_counts
    )
    fitted_on = parts.train if part == "eval" else None
    skipped = SkippedPhotos(folder.skipped_file)
    evaluator = evaluate.Evaluator(steps, config, source, layout, skipped, fitted_on)
    report = evaluator.run(variables, stop.poll)
    if report is None:
        return None
    return {
        "step": step,
        "protocol": evaluate.protocol(config),
        "num_images": report.num_images,
        "metrics": report.metrics,
        "baselines": report.baselines,
        "errors": {name: [float(x) for x in column] for name, column in report.errors.items()},
    }


def run(argv: list[str] | None = None) -> int:
    """Reads WORKDIR PART FILE.json, measures and writes; returns the exit status."""
    workdir, part, output = sys.argv[1:] if argv is None else argv
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # grain reads them
    startup.log_to_stderr()
    startup.use_compilation_cache("auto")
    try:
        with StopSignal() as stop:
            found = measure(Path(workdir), part, stop)
    except RequestError as error:
        print(f"colorjax: {error}", file=sys.stderr)
        return 2
    if found is None:
        return 75
    write_json(Workdir(workdir).root / output, found)
    return 0


if __name__ == "__main__":
    sys.exit(run())
