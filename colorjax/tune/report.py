"""Writes the results of a study: a page with plots, the numbers, and the best config."""

from __future__ import annotations

import dataclasses
import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_collections import ConfigDict

from colorjax.evaluate.tables import markdown_table
from colorjax.metrics import table
from colorjax.runtime import atomic, paths
from colorjax.tune import config_file
from colorjax.tune.ledger import DEFAULT, ENDED, Ledger
from colorjax.tune.request import StudyRequest
from colorjax.tune.trial import Ended

if TYPE_CHECKING:
    import optuna

_COLUMNS = ("mae_ab", "psnr_of_mean_mse", "psnr", "ssim", "colorfulness")
_LEAST_TO_PLOT = 2  # complete trials
_LEAST_TO_RANK = 5  # with fewer, the importances are noise
_IMPORTANCE = "Importance of the fields (PED-ANOVA of the best tenth)"
_STATES = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}


class Report(NamedTuple):
    """Result of `write`.

    Attributes:
        summary: a few lines for the terminal.
        files: report.md, best.json and best.py.
    """

    summary: str
    files: tuple[Path, ...]


def write(ledger: Ledger, request: StudyRequest, compared: dict[str, Any]) -> Report:
    """Writes `report.md` with its pictures, `best.json` and `best.py` into the study's folder.

    Args:
        ledger: of the study; at least one trial is complete.
        request: of the study.
        compared: from `colorjax.tune.compare.compare`.
    """
    best = ledger.study.best_trial
    root = ledger.root
    plots = _draw(ledger.study, request.metric, root)
    summary = _summary(request, best, compared)
    content = {
        "trial": best.number,
        "metric": request.metric,
        "value": best.value,
        "step": best.user_attrs[ENDED]["step"],
        "values": best.params,
        "config": "best.py",
        "trials": ledger.counts(),
        "compared": compared,
    }
    files = (root / "report.md", root / "best.json", root / "best.py")
    atomic.write_bytes(files[0], _page(ledger, request, compared, summary, plots).encode())
    atomic.write_bytes(files[1], (json.dumps(content, indent=2) + "\n").encode())
    write_best(files[2], request, best)
    return Report(summary, files)


def write_best(file: Path, request: StudyRequest, best: optuna.trial.FrozenTrial) -> None:
    """Writes the config of a trial, including its test photos, for `colorjax.main`."""
    config = request.trial_config(best.params)
    config.evaluation.report = True
    config.progress = request.config.progress
    if cut_at := best.user_attrs[ENDED]["cut_at"]:
        config.total_steps = cut_at
    # Absolute, to run from any folder; values that are not files are unchanged.
    for name in ("data.path", "data.eval_path", "data.parts", "init_from"):
        _make_absolute(config, name)
    for name in ("data.labels", "loss.prior", "evaluation.prior"):
        _make_absolute(config, name, Path.is_file)
    chosen = "\n".join(f"    {name} = {value}" for name, value in best.params.items())
    way = "highest" if request.higher_is_better else "lowest"
    docstring = f"""The best config of a study by colorjax tune.

    python -m colorjax.main --config={file.name} --workdir=DIR

Trial {best.number}, with the {way} validation {request.metric}: {best.value:.6g}, at step
{best.user_attrs[ENDED]["step"]}. Varied fields:

{chosen}

It trains as long as a trial; to train longer, use --config.total_steps=N and another --workdir.
"""
    config_file.write(file, config, docstring)


def _make_absolute(
    config: ConfigDict, name: str, is_one: Callable[[Path], bool] = Path.exists
) -> None:
    section, _, field = name.rpartition(".")
    part = config[section] if section else config
    path = part.get(field)
    if path and not paths.is_remote(path) and is_one(Path(path).expanduser()):
        part[field] = str(Path(path).expanduser().resolve())


def _draw(study: optuna.Study, metric: str, root: Path) -> dict[str, str]:
    """Draws the plots for which there are enough trials; returns title -> file."""
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure
    from optuna import importance
    from optuna.visualization import matplotlib as plots

    done = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
    pictures: dict[str, tuple[str, Callable[[], Any]]] = {}
    if len(done) >= _LEAST_TO_PLOT:
        pictures["Best value after each trial"] = (
            "history.png",
            lambda: plots.plot_optimization_history(study, target_name=metric),
        )
        pictures["Every trial that was completed"] = (
            "parallel.png",
            lambda: plots.plot_parallel_coordinate(study, target_name=metric),
        )
    if len(done) >= _LEAST_TO_RANK:
        pictures[_IMPORTANCE] = (
            "importance.png",
            lambda: plots.plot_param_importances(
                study,
                evaluator=importance.PedAnovaImportanceEvaluator(),
                target_name=metric,
            ),
        )
    drawn = {}
    plt.switch_backend("Agg")
    for title, (name, draw) in pictures.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental functions; few trials
            axes = draw()
            for side in ("left", "center"):
                axes.set_title("", loc=side)  # the page has the title
            for lines in axes.collections if name == "parallel.png" else ():
                lines.set_cmap("viridis")  # Optuna's lowest color is white on gray
            figure = axes.figure
            assert isinstance(figure, Figure)
            figure.set_size_inches(12, 5)
            content = io.BytesIO()
            figure.savefig(content, dpi=100, bbox_inches="tight", format="png")
        plt.close("all")
        atomic.write_bytes(root / name, content.getvalue())
        drawn[title] = name
    return drawn


def _summary(
    request: StudyRequest, best: optuna.trial.FrozenTrial, compared: dict[str, Any]
) -> str:
    lines = [f"best: trial {best.number}, validation {request.metric} {best.value:.4f}"]
    if compared["default"]["trial"] == best.number:
        lines.append("the default config is the best: no trial was better")
        return "\n".join(lines)
    for part, title in (("validation", "validation"), ("eval", "test")):
        result = compared[part]
        if not result["advantage"]:
            lines.append(f"{title} photos: none, or not the same for both; not compared")
            continue
        texts = [_advantage(result["advantage"], each) for each in _ADVANTAGES]
        lines.append(
            f"{result['num_images']} {title} photos, best against default: {'; '.join(texts)}: "
            f"{result['verdict']}"
        )
    return "\n".join(lines)


_ADVANTAGES = ("mae_ab", "psnr_of_mean_mse")


def _advantage(gains: dict[str, Any], metric: str) -> str:
    """Returns the change of a metric with its 95 % interval; a negative error is an advantage."""
    sign = table.metric(metric).better
    change, interval = gains[metric]["better_by"], gains[metric]["interval"]
    value, *ends = (table.text(metric, sign * x, "+") for x in (change, *interval[::sign]))
    return f"{table.heading(metric)} {value} [{', '.join(ends)}]"


def _page(
    ledger: Ledger,
    request: StudyRequest,
    compared: dict[str, Any],
    summary: str,
    plots: dict[str, str],
) -> str:
    counts = ledger.counts()
    states = ", ".join(f"{number} {_STATES[name]}" for name, number in counts.items() if number)
    minutes = f", at most {request.minutes:g} minutes of training" if request.minutes else ""
    parts = [
        "# Results of colorjax tune\n",
        summary.replace("\n", "  \n") + "\n",
        f"{sum(counts.values())} trials: {states}. Budget of a trial: {request.photos} training "
        f"photos, counting repetitions{minutes}, with {request.evaluations} evaluations; "
        f"{request.patience} evaluations without a better {request.metric} ended it (0: never). "
        "The value of a trial is its best evaluation on the validation photos.\n",
        "## Best against default\n",
        _comparison(compared),
        "The best trial was selected on the validation photos, so its score there is optimistic; "
        "no trial saw the test photos. Brackets: paired 95 % intervals over photos; they do not "
        "cover the variance between seeds. The test photos were used "
        f"{_times(compared['looks'])}.\n",
        "## Trials\n",
        _table(ledger, request),
    ]
    for title, name in plots.items():
        parts.append(f"## {title}\n\n![{title}]({name})\n")
    if len(plots) < 3:
        parts.append(
            f"The importance of the fields needs {_LEAST_TO_RANK} completed trials, the other "
            f"plots need {_LEAST_TO_PLOT}.\n"
        )
    parts.append("`best.py` is the best config, `best.json` contains all numbers.\n")
    return "\n".join(parts)


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times, once for each trial that was the best"


def _comparison(compared: dict[str, Any]) -> str:
    lines = [["photos", "", *map(table.labeled, _COLUMNS)]]
    for part, title in (("validation", "validation"), ("eval", "test")):
        result = compared[part]
        label = f"{result['num_images']} {title}"
        rows = {"best": result["best"], "default": result["default"]}
        rows |= {name: row for name, row in result["baselines"].items() if name == "grey"}
        for name, row in rows.items():
            cells = [
                table.text(metric, row[metric]) if metric in row else "" for metric in _COLUMNS
            ]
            lines.append([label, name, *cells])
        if result["advantage"]:
            texts = [_advantage(result["advantage"], each) for each in _ADVANTAGES]
            lines.append([label, "**" + result["verdict"] + "**", *texts, "", "", ""])
    return markdown_table(lines)


def _table(ledger: Ledger, request: StudyRequest) -> str:
    fields = [knob.field for knob in request.knobs]
    lines = [["trial", *fields, request.metric, "at step", "steps", "seconds", ""]]
    stored = [t for t in ledger.study.get_trials(deepcopy=False) if t.state.name in _STATES]
    sign = -1 if request.higher_is_better else 1
    stored.sort(key=lambda t: (t.state.name != "COMPLETE", sign * (t.value or 0), t.number))
    for trial in stored:
        known = dataclasses.asdict(Ended("RUNNING")) | trial.user_attrs.get(ENDED, {})
        state = _STATES[trial.state.name]
        if trial.user_attrs.get(DEFAULT):
            state += ", the default"
        if known["why"]:
            state += f": {known['why']}"
        value = f"{trial.value:.4f}" if trial.value is not None else ""
        cells = [_short(trial.params.get(field, "")) for field in fields]
        lines.append(
            [
                str(trial.number),
                *cells,
                value,
                str(known["step"] or ""),
                str(known["steps"] or ""),
                f"{known['seconds']:.0f}",
                state,
            ]
        )
    return markdown_table(lines)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
