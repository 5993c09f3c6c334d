"""Evaluations of a run and where their results go: eval.json, metrics, TensorBoard, images."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict
from PIL import Image

from colorjax import evaluate, parallel
from colorjax.data import prior
from colorjax.data.sources import Source
from colorjax.data.splits import Splits
from colorjax.method import Method, Variables
from colorjax.train.skipped import SkippedPhotos
from colorjax.train.workdir import Workdir, write_json
from colorjax.train.writers import Writer

log = logging.getLogger(__name__)


class Reporter:
    """Evaluates weights on the photos to choose by and on those to report."""

    def __init__(
        self,
        config: ConfigDict,
        method: Method,
        layout: parallel.Layout,
        splits: Splits,
        workdir: Workdir,
        writer: Writer,
        skipped: SkippedPhotos,
        should_stop: Callable[[], bool],
    ):
        """Prepares both evaluations; nothing is compiled or read yet."""
        self._config = config
        self._workdir = workdir
        self._writer = writer
        self._should_stop = should_stop
        counts = config.evaluation.hint_counts
        steps = evaluate.build_steps(
            method,
            prior.load(config.evaluation.prior),
            counts,
            config.evaluation.get("hue_bins") or 0,
        )

        def evaluator(source: Source, fitted_on: Source | None) -> evaluate.Evaluator | None:
            if not len(source):
                return None
            return evaluate.Evaluator(steps, config, source, layout, skipped, fitted_on)

        self._validation = evaluator(splits.validation, None)
        self._eval = evaluator(splits.eval, splits.train)

    def validate(self, step: int, variables: Variables) -> dict[str, float] | None:
        """Evaluates on the photos to choose by; None if stopped early or there are none."""
        if self._validation is None:
            return None
        report = self._validation.run(variables, self._should_stop)
        if report is None:
            return None
        scalars = {f"validation/{name}": value for name, value in report.metrics.items()}
        self._writer.write_scalars(step, scalars)
        write_json(self._workdir.root / "validation.json", {"step": step} | _found(report))
        return report.metrics

    def report(self, step: int, variables: Variables) -> bool:
        """Evaluates on the photos to report and writes everything; False if stopped early."""
        if self._eval is None:
            log.warning("no photo to report on: data.eval_fraction is 0 and eval_path empty")
            return True
        report = self._eval.run(variables, self._should_stop)
        if report is None:
            return False
        scalars = {f"eval/{name}": value for name, value in report.metrics.items()}
        for predictor, found in report.baselines.items():
            scalars |= {f"eval/{predictor}/{name}": value for name, value in found.items()}
        self._writer.write_scalars(step, scalars)
        self._write_grid(step, report)
        self._writer.flush()
        write_json(
            self._workdir.eval_file,
            {
                "step": step,
                "protocol": evaluate.protocol(self._config),
                "dataset": _dataset(self._config.data),
            }
            | _found(report)
            | {"baselines": report.baselines, "advantages": report.advantages},
        )
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in report.metrics.items())
        log.info("step %d, %d photos: %s", step, report.num_images, numbers)
        return True

    def owes(self, step: int) -> bool:
        """Whether eval.json does not yet speak of this step."""
        if self._eval is None:
            return False
        try:
            return json.loads(self._workdir.eval_file.read_text())["step"] != step
        except (OSError, ValueError, KeyError):
            return True

    def _write_grid(self, step: int, report: evaluate.Report) -> None:
        if not len(report.strips):
            return
        grid = report.strips.reshape(-1, *report.strips.shape[2:])
        self._writer.write_images(step, {"eval/grey_prediction_truth": grid})
        Image.fromarray(grid).save(self._workdir.images / f"{step:08d}.png")


def _found(report: evaluate.Report) -> dict[str, Any]:
    found = {
        "num_images": report.num_images,
        "num_grey": report.num_grey,
        "num_unreadable": report.num_unreadable,
        "metrics": report.metrics,
    }
    return found | ({"hues": report.hues} if report.hues else {})


def _dataset(data: ConfigDict) -> str:
    if data.eval_path or data.eval_split:
        return " ".join(filter(None, (data.name, data.eval_path or data.path, data.eval_split)))
    return f"{data.name} {data.path} ({data.eval_fraction:.0%} held out by hash)".replace("  ", " ")
