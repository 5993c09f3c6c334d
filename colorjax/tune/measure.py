"""`python -m colorjax.tune.measure`: evaluates a trial's weights on validation and test photos.

It is a separate program, so that it has the devices for itself.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from absl import flags

from colorjax.data import prior
from colorjax.data.selection import splits
from colorjax.errors import DONE, STOPPED, WRONG_REQUEST, RequestError
from colorjax.parallel import mesh as parallel
from colorjax.runtime import jax_setup, paths
from colorjax.runtime.file_names import printable
from colorjax.train import evaluator as evaluate
from colorjax.train.skipped import SkippedPhotos
from colorjax.train.stopping import StopSignal
from colorjax.weights.open import open_weights
from colorjax.weights.workdir import Workdir, write_json


def measure(workdir: Path, stop: StopSignal) -> dict[str, Any] | None:
    """Evaluates the weights of a run on its validation and test photos.

    Args:
        workdir: of the run.
        stop: stops it early.

    Returns:
        `step` of the weights, `protocol`, and for `validation` and `eval`: `num_images` (0:
        no photos, and the rest is empty), `metrics`, `baselines` (of eval), and `errors`, mae_ab
        and mse of each photo. None if it was stopped early.

    Raises:
        RequestError: workdir, weights or photos cannot be used.
    """
    folder = Workdir(workdir)
    weights = open_weights(folder.root)
    config = weights.config
    layout = parallel.make_layout(config.evaluation.batch_size)
    parts = splits.open_splits(config.data, folder.read_classes())
    step, variables = weights.load(sharding=layout.replicated)
    steps = evaluate.build_steps(
        weights.method,
        prior.load(config.evaluation.prior, "evaluation.prior"),
        config.evaluation.hint_counts,
    )
    skipped = SkippedPhotos(folder.skipped_file)
    result: dict[str, Any] = {"step": step, "protocol": evaluate.protocol(config)}
    for name, fitted_on in (("validation", None), ("eval", parts.train)):
        source = getattr(parts, name)
        if not len(source):
            result[name] = {"num_images": 0, "metrics": {}, "baselines": {}, "errors": {}}
            continue
        evaluator = evaluate.Evaluator(steps, config, source, layout, skipped, fitted_on)
        report = evaluator.run(variables, stop.poll)
        if report is None:
            return None
        errors = {key: [float(x) for x in column] for key, column in report.errors.items()}
        result[name] = {
            "num_images": report.num_images,
            "metrics": report.metrics,
            "baselines": report.baselines,
            "errors": errors,
        }
    return result


def run(argv: list[str] | None = None) -> int:
    """Measures WORKDIR and writes FILE.json; returns the exit status."""
    workdir, output = sys.argv[1:] if argv is None else argv
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # grain reads them
    jax_setup.log_to_stderr()
    jax_setup.use_compilation_cache("auto")
    try:
        with StopSignal() as stop:
            result = measure(Path(workdir), stop)
    except RequestError as error:
        print(f"colorjax: {printable(error)}", file=sys.stderr)
        return WRONG_REQUEST
    if result is None:
        return STOPPED
    write_json(paths.locate(output), result)
    return DONE


if __name__ == "__main__":
    sys.exit(run())
