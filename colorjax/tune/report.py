"""What a study found: a page with plots, the numbers, and the best config as a file to run."""

from __future__ import annotations

import dataclasses
import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_collections import ConfigDict

from colorjax.runtime import atomic, paths
from colorjax.tune import config_file
from colorjax.tune.ledger import DEFAULT, ENDED, Ledger
from colorjax.tune.request import Request
from colorjax.tune.trial import Ended

if TYPE_CHECKING:
    import optuna

_SHOWN = ("mae_ab", "psnr_of_mean_mse", "psnr", "ssim", "colorfulness")
_LEAST_TO_PLOT = 2  # complete trials
_LEAST_TO_RANK = 5  # below that the importances are noise
_IMPORTANCE = "Which fields matter (PED-ANOVA: what the best tenth have in common)"
_STATES = {"COMPLETE": "done", "PRUNED": "given up", "FAIL": "failed", "RUNNING": "running"}


class Found(NamedTuple):
    """What `write` wrote.

    Attributes:
        summary: a few lines for people.
        files: report.md, best.json and best.py.
    """

    summary: str
    files: tuple[Path, ...]


def write(ledger: Ledger, request: Request, compared: dict[str, Any]) -> Found:
    """Writes `report.md` with its pictures, `best.json` and `best.py` into the study's folder.

    Args:
        ledger: of the study; a trial of it is complete.
        request: of the study.
        compared: of `colorjax.tune.compare.compare`.
    """
    best = ledger.study.best_trial
    root = ledger.root
    drawn = _draw(ledger.study, request.metric, root)
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
    atomic.write_bytes(files[0], _page(ledger, request, compared, summary, drawn).encode())
    atomic.write_bytes(files[1], (json.dumps(content, indent=2) + "\n").encode())
    write_best(files[2], request, best)
    return Found(summary, files)


def write_best(file: Path, request: Request, best: optuna.trial.FrozenTrial) -> None:
    """Writes the config of a trial, its photos to report on included, for `colorjax.main`."""
    config = request.trial_config(best.params)
    config.evaluation.report = True
    config.progress = request.config.progress
    if cut_at := best.user_attrs[ENDED]["cut_at"]:
        config.total_steps = cut_at
    # Of this machine, from any folder; what names no file stays what it is.
    for name in ("data.path", "data.eval_path", "data.parts", "init_from"):
        _make_absolute(config, name)
    for name in ("data.labels", "loss.prior", "evaluation.prior"):
        _make_absolute(config, name, Path.is_file)
    chosen = "\n".join(f"    {name} = {value}" for name, value in best.params.items())
    way = "highest" if request.higher_is_better else "lowest"
    told = f"""The best config of a study by colorjax tune.

    python -m colorjax.main --config={file.name} --workdir=DIR

Trial {best.number}, of the {way} {request.metric} on the photos to choose by: {best.value:.6g}, at
step {best.user_attrs[ENDED]["step"]}. Varied were:

{chosen}

It is as long as a trial was; train on with --config.total_steps=N and another --workdir.
"""
    config_file.write(file, config, told)


def _make_absolute(
    config: ConfigDict, name: str, is_one: Callable[[Path], bool] = Path.exists
) -> None:
    section, _, field = name.rpartition(".")
    part = config[section] if section else config
    place = part.get(field)
    if place and not paths.is_remote(place) and is_one(Path(place).expanduser()):
        part[field] = str(Path(place).expanduser().resolve())


def _draw(study: optuna.Study, metric: str, root: Path) -> dict[str, str]:
    """Draws the pictures that the trials are enough for; title -> file."""
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
    found = {}
    plt.switch_backend("Agg")
    for title, (name, draw) in pictures.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental for years; few trials
            axes = draw()
            for side in ("left", "center"):
                axes.set_title("", loc=side)  # the page has it
            for lines in axes.collections if name == "parallel.png" else ():
                lines.set_cmap("viridis")  # optuna's worst is white on grey
            figure = axes.figure
            assert isinstance(figure, Figure)
            figure.set_size_inches(12, 5)
            content = io.BytesIO()
            figure.savefig(content, dpi=100, bbox_inches="tight", format="png")
        plt.close("all")
        atomic.write_bytes(root / name, content.getvalue())
        found[title] = name
    return found


def _summary(request: Request, best: optuna.trial.FrozenTrial, compared: dict[str, Any]) -> str:
    lines = [
        f"best: trial {best.number}, {request.metric} {best.value:.4f} on the photos to choose by"
    ]
    if compared["default"]["trial"] == best.number:
        lines.append("the config as it was given is the best: no trial was better")
        return "\n".join(lines)
    for part, told in (("validation", "to choose by"), ("eval", "to report on")):
        found = compared[part]
        if not found["advantage"]:
            lines.append(f"photos {told}: none, or not the same of both; nothing is compared")
            continue
        texts = [_advantage(found["advantage"], *words) for words in _ADVANTAGES]
        lines.append(
            f"{found['num_images']} photos {told}, best against default: {'; '.join(texts)}: "
            f"{found['verdict']}"
        )
    return "\n".join(lines)


_ADVANTAGES = (("mae_ab", "MAE of ab", "", -1), ("psnr_of_mean_mse", "PSNR", " dB", 1))


def _advantage(found: dict[str, Any], key: str, name: str, unit: str, sign: int) -> str:
    """Says how a metric changes, with its 95 % interval; an advantage is less of an error."""
    low, high = sorted(sign * edge for edge in found[key]["interval"])
    return f"{name} {sign * found[key]['better_by']:+.3f}{unit} [{low:+.3f}, {high:+.3f}]"


def _page(
    ledger: Ledger,
    request: Request,
    compared: dict[str, Any],
    summary: str,
    drawn: dict[str, str],
) -> str:
    counts = ledger.counts()
    told = ", ".join(f"{number} {_STATES[name]}" for name, number in counts.items() if number)
    minutes = f", and at most {request.minutes:g} minutes of training" if request.minutes else ""
    parts = [
        "# What colorjax tune found\n",
        summary.replace("\n", "  \n") + "\n",
        f"{sum(counts.values())} trials: {told}. Each had {request.photos} photos to train on, "
        f"counting repetitions{minutes}, and was evaluated {request.evaluations} times on the way; "
        f"{request.patience} evaluations without a better {request.metric} ended it (0: never). "
        "The value of a trial is its best evaluation on photos held out of training.\n",
        "## Best against default\n",
        _comparison(compared),
        "The best was chosen by the first of these two groups of photos, which flatters it there; "
        "no trial saw the second. Brackets: 95 % intervals over photos, paired; they say nothing "
        f"of other seeds. The photos to report on were looked at {_times(compared['looks'])}.\n",
        "## Trials\n",
        _table(ledger, request),
    ]
    for title, name in drawn.items():
        parts.append(f"## {title}\n\n![{title}]({name})\n")
    if len(drawn) < 3:
        parts.append(
            f"The importance of the fields needs {_LEAST_TO_RANK} completed trials, the other "
            f"plots {_LEAST_TO_PLOT}.\n"
        )
    parts.append("`best.py` is the best config, `best.json` has all numbers.\n")
    return "\n".join(parts)


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times, once for each trial that was the best"


def _comparison(compared: dict[str, Any]) -> str:
    head = ["photos", "", *_SHOWN]
    lines = [head, ["---"] * len(head)]
    for part, told in (("validation", "to choose by"), ("eval", "to report on")):
        found = compared[part]
        label = f"{found['num_images']} {told}"
        rows = {"best": found["best"], "default": found["default"]}
        rows |= {name: row for name, row in found["baselines"].items() if name == "grey"}
        for name, row in rows.items():
            cells = [f"{row[metric]:.3f}" if metric in row else "" for metric in _SHOWN]
            lines.append([label, name, *cells])
        if found["advantage"]:
            texts = [_advantage(found["advantage"], *words) for words in _ADVANTAGES]
            lines.append([label, "**" + found["verdict"] + "**", *texts, "", "", ""])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _table(ledger: Ledger, request: Request) -> str:
    fields = [knob.field for knob in request.knobs]
    head = ["trial", *fields, request.metric, "at step", "steps", "seconds", ""]
    lines = [head, ["---"] * len(head)]
    stored = [t for t in ledger.study.get_trials(deepcopy=False) if t.state.name in _STATES]
    sign = -1 if request.higher_is_better else 1
    stored.sort(key=lambda t: (t.state.name != "COMPLETE", sign * (t.value or 0), t.number))
    for trial in stored:
        known = dataclasses.asdict(Ended("RUNNING")) | trial.user_attrs.get(ENDED, {})
        word = _STATES[trial.state.name]
        if trial.user_attrs.get(DEFAULT):
            word += ", the default"
        if known["why"]:
            word += f": {known['why']}"
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
                word,
            ]
        )
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
