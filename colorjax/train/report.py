"""Runs the evaluations of a run and writes eval.json, metrics, TensorBoard events and images."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict
from PIL import Image

from colorjax import methods
from colorjax.data import prior
from colorjax.data.selection import splits
from colorjax.data.selection.splits import Splits
from colorjax.data.sources.source import Source
from colorjax.errors import DONE, STOPPED, RequestError
from colorjax.methods.method import Method, Variables
from colorjax.metrics import table
from colorjax.parallel import hosts
from colorjax.parallel import mesh as parallel
from colorjax.runtime import atomic, foreign_files, waiting
from colorjax.train import evaluator as evaluate
from colorjax.train.log import writers
from colorjax.train.log.wandb import WeightsAndBiases
from colorjax.train.log.writers import Writer, Writers
from colorjax.train.skipped import SkippedPhotos
from colorjax.train.stopping import StopSignal
from colorjax.weights.open import open_weights
from colorjax.weights.workdir import Workdir

log = logging.getLogger(__name__)


class Reporter:
    """Evaluates weights on the validation photos and on the test photos."""

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
        evaluate.hint_places(config.evaluation)  # unknown ones fail before the training
        steps = evaluate.build_steps(
            method,
            prior.load(config.evaluation.prior, "evaluation.prior"),
            counts,
            config.evaluation.get("hue_bins") or 0,
        )

        def evaluator(source: Source, fitted_on: Source | None) -> evaluate.Evaluator | None:
            if not len(source):
                return None
            return evaluate.Evaluator(steps, config, source, layout, skipped, fitted_on)

        self._validation = evaluator(splits.validation, None)
        self._reports = config.evaluation.get("report") is not False
        self._eval = evaluator(splits.eval, splits.train) if self._reports else None

    def validate(self, step: int, variables: Variables) -> dict[str, float] | None:
        """Returns metrics on the validation photos; None without photos or if stopped early."""
        if self._validation is None:
            return None
        report = self._run(self._validation, "validation", variables)
        if report is None:
            return None
        self._write_scalars(step, "validation", report)
        self._workdir.write_json("validation.json", {"step": step} | _summary(report))
        return report.metrics

    def report(self, step: int, variables: Variables, *, final: bool = False) -> bool:
        """Evaluates on the test photos and writes the results; False if stopped early.

        Args:
            step: of the weights.
            variables: the weights.
            final: the step is not the newest: curves have their own name, so that those of the
                training do not go backward.
        """
        if self._eval is None:
            if not self._reports:
                return True
            log.warning("no test photos: data.eval_fraction is 0 and data.eval_path is empty")
            return True
        report = self._run(self._eval, "evaluation", variables)
        if report is None:
            return False
        self._write_scalars(step, "final" if final else "eval", report)
        self._write_grid(step, report)
        self._writer.flush()
        self._workdir.write_json(
            self._workdir.eval_file.name,
            {
                "step": step,
                "protocol": evaluate.protocol(self._config),
                "dataset": _dataset(self._config.data),
            }
            | _summary(report)
            | {"baselines": report.baselines, "paired_gains": report.paired_gains},
        )
        which = f"best checkpoint, step {step}" if final else f"step {step}"
        log.info("%s, %d photos: %s", which, report.num_images, _line(report))
        return True

    def _run(
        self, evaluator: evaluate.Evaluator, what: str, variables: Variables
    ) -> evaluate.Report | None:
        with waiting.phase(f"{what}, photos", evaluator.num_photos) as count:
            return evaluator.run(variables, self._should_stop, count)

    def _write_scalars(self, step: int, group: str, report: evaluate.Report) -> None:
        """Writes the metrics as GROUP/NAME, the baselines as GROUP/BASELINE/NAME.

        TensorBoard gets some of them. On its first page, a network that learns has an
        above_gray/psnr above 0.
        """
        values, baselines = report.metrics, report.baselines
        shown = {f"{group}/{name}": values[name] for name in table.SHOWN if name in values}
        of_gray = baselines.get("grey", {})
        if group == "eval" and {"psnr"} <= of_gray.keys() & values.keys():
            shown["above_gray/psnr"] = values["psnr"] - of_gray["psnr"]
            for name in table.SHOWN_BASELINES:
                for metric in table.SHOWN_BESIDE_BASELINES:
                    shown[_baseline_tag(name, metric)] = baselines[name][metric]
        every = {f"{group}/{name}": value for name, value in values.items()}
        for predictor, numbers in baselines.items():
            every |= {f"{group}/{predictor}/{name}": x for name, x in numbers.items()}
        details = {name: value for name, value in every.items() if name not in shown}
        self._writer.write_scalars(step, shown, details)

    def needs_report(self, step: int) -> bool:
        """Returns whether eval.json lacks the results of this step."""
        if self._eval is None:
            return False
        try:
            is_missing = foreign_files.read_json(self._workdir.eval_file)["step"] != step
        except (OSError, RequestError, KeyError, TypeError):
            is_missing = True
        return bool(parallel.any_host(is_missing))

    def _write_grid(self, step: int, report: evaluate.Report) -> None:
        if not len(report.strips) or not parallel.is_first():
            return
        grid = report.strips.reshape(-1, *report.strips.shape[2:])
        self._writer.write_images(step, {"eval/grey_prediction_truth": grid})
        atomic.write_png(self._workdir.images / f"{step:08d}.png", Image.fromarray(grid))


def charts() -> dict[str, list[str]]:
    """Returns title -> names of scalars, of the charts that show the baselines too."""
    return {
        table.heading(metric): [
            f"eval/{metric}",
            *(_baseline_tag(baseline, metric) for baseline in table.SHOWN_BASELINES),
        ]
        for metric in table.SHOWN_BESIDE_BASELINES
    }


def _baseline_tag(baseline: str, metric: str) -> str:
    """Returns the tag of a trivial predictor's metric; it sorts after the curves of the run."""
    return f"trivial/{'gray' if baseline == 'grey' else baseline}/{metric}"


def _line(report: evaluate.Report) -> str:
    """Returns MAE and PSNR beside those of gray photos; eval.json has all metrics."""
    of_gray = report.baselines.get("grey", {})
    parts = []
    for name in ("mae_ab", "psnr"):
        if name in report.metrics:
            part = f"{table.metric(name).title} {table.text(name, report.metrics[name])}"
            parts.append(
                part + (f" (gray {table.text(name, of_gray[name])})" if name in of_gray else "")
            )
    return ", ".join(parts)


def _summary(report: evaluate.Report) -> dict[str, Any]:
    summary = {
        "num_images": report.num_images,
        "num_grey": report.num_grey,
        "num_unreadable": report.num_unreadable,
        "metrics": report.metrics,
    }
    return summary | ({"hues": report.hues} if report.hues else {})


def _dataset(data: ConfigDict) -> str:
    if data.eval_path or data.eval_split:
        return " ".join(filter(None, (data.name, data.eval_path or data.path, data.eval_split)))
    return f"{data.name} {data.path} ({data.eval_fraction:.0%} held out by hash)".replace("  ", " ")


def open_writers(
    config: ConfigDict, workdir: Workdir, first_step: int | None, stack: contextlib.ExitStack
) -> Writers:
    """Opens the metrics writers of a run; on hosts other than the first, none.

    Args:
        config: of the run; configs of earlier versions have no `writers`.
        workdir: of the run.
        first_step: TensorBoard events of this step and later ones are purged; None: none.
        stack: closes the writers.

    Raises:
        RequestError: an unknown writer, or one that cannot be opened.
    """
    names = writers.names_of(config)
    if not parallel.is_first():
        return Writers([])
    opened: dict[str, Callable[[], Writer]] = {
        "jsonl": lambda: writers.MetricsFile(workdir.metrics_file),
        "tensorboard": lambda: writers.TensorBoard(workdir.tensorboard, first_step),
        "wandb": lambda: WeightsAndBiases(workdir.root),
    }
    return stack.enter_context(Writers([opened[name]() for name in names]))


def evaluate_only(config: ConfigDict, workdir: str, *, time_limit: float | None = None) -> int:
    """Evaluates the weights of a workdir: the best ones if it has them, else the newest.

    Args:
        config: that of the run; its data may differ. The network is that of the workdir, except
            `model.temperature`, which is not trained. If the workdir stores an `inference.decode`
            other than "ab", the workdir's temperature is used too.
        workdir: folder of a run.
        time_limit: seconds after which the evaluation ends.

    Returns:
        0 when done; 75 when a signal or the time limit ended it early.

    Raises:
        RequestError: invalid config, data or workdir, or no weights.
    """
    folder = Workdir(workdir)
    layout = parallel.make_layout(config.evaluation.batch_size)
    with contextlib.ExitStack() as stack:
        stack.enter_context(hosts.Watch(lambda: "run the same command again"))
        stop = stack.enter_context(StopSignal(time_limit))
        config = folder.with_its_network(config)
        method = methods.build(config, with_loss=False)
        step, variables = open_weights(folder.root).load(method, layout.replicated)
        classes = folder.read_classes()
        parts = splits.open_splits(config.data, classes)
        if classes and parts.eval.class_names != classes:
            log.warning(
                "the labels of the data differ from those of the weights; top1 is meaningless"
            )
        if "wandb" in writers.names_of(config) and folder.is_training():
            log.info("no W&B for this evaluation: the training of this workdir is writing there")
            config.writers = ",".join(name for name in writers.names_of(config) if name != "wandb")
        writer = open_writers(config, folder, None, stack)
        skipped = SkippedPhotos(folder.skipped_file)
        reporter = Reporter(config, method, layout, parts, folder, writer, skipped, stop.poll)
        return DONE if reporter.report(step, variables) else STOPPED
