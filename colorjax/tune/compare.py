"""Compares the best trial with the default config on the same photos."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from colorjax.errors import Interrupted, RequestError
from colorjax.metrics.summary import paired_gains
from colorjax.runtime import child_process
from colorjax.tune import trial as trial_module
from colorjax.tune.ledger import DEFAULT, ENDED, REPORTED, Ledger
from colorjax.tune.request import StudyRequest

_PROGRAM = "colorjax.tune.measure"
_MEASURED = "tune.json"  # in the folder of a trial
_PARTS = ("validation", "eval")
BETTER, WORSE, UNSEEN = "better", "worse", "no significant difference"


def compare(
    ledger: Ledger, request: StudyRequest, should_stop: Callable[[], bool]
) -> dict[str, Any]:
    """Measures the best trial and the default on the validation and the test photos.

    The test photos are used here for the first time. The result is stored in the study: another
    start, or machine, does not measure them again unless another trial has become the best.

    Args:
        ledger: of the study; at least one trial is complete.
        request: of the study.
        should_stop: whether this process must end.

    Returns:
        `best` and `default`: trial (None: not in the space) and folder; `protocol`; for
        `validation` and `eval`: num_images, metrics of both, baselines, `advantage` of the best
        (see `colorjax.metrics.summary.paired_gains`) and `verdict`; `looks`: how often the
        test photos were used, once for each trial that was the best.

    Raises:
        RequestError: weights or photos cannot be used.
        Interrupted: it was stopped early.
    """
    best = ledger.study.best_trial
    earlier: dict[str, Any] = ledger.study.user_attrs.get(REPORTED) or {}
    key = str(best.number)
    if key in earlier:
        return earlier[key] | {"looks": len(earlier)}
    folders = {"best": _trained(ledger, request, best, should_stop)}
    folders["default"] = _default_folder(ledger, request, should_stop)
    numbers = {"best": best.number, "default": default_number(ledger)}
    result: dict[str, Any] = {
        name: {"trial": numbers[name], "folder": folder.relative_to(ledger.root).as_posix()}
        for name, folder in folders.items()
    }
    measured = {name: _measure(folder, should_stop) for name, folder in folders.items()}
    result["protocol"] = measured["best"]["protocol"]
    for part in _PARTS:
        result[part] = _compare_part(
            {name: each[part] for name, each in measured.items()}, request.metric
        )
    # Other processes may have written in the meantime.
    earlier = ledger.study.user_attrs.get(REPORTED) or {}
    ledger.study.set_user_attr(REPORTED, earlier | {key: result})
    return result | {"looks": len(earlier | {key: result})}


def default_number(ledger: Ledger) -> int | None:
    """Returns the number of the trial with the default config, if there is one."""
    stored = ledger.study.get_trials(deepcopy=False)
    done = [each for each in stored if each.state.name == "COMPLETE"]
    return next((each.number for each in done if each.user_attrs.get(DEFAULT)), None)


def _compare_part(measured: Mapping[str, Mapping[str, Any]], metric: str) -> dict[str, Any]:
    best, default = measured["best"], measured["default"]
    result = {
        "num_images": best["num_images"],
        "best": best["metrics"],
        "default": default["metrics"],
        "baselines": best["baselines"],
        "advantage": None,
        "verdict": "",
    }
    if best["num_images"] and best["num_images"] == default["num_images"]:
        errors = {
            name: {key: np.array(column) for key, column in each["errors"].items()}
            for name, each in measured.items()
        }
        gains = paired_gains(errors["best"], {"default": errors["default"]})["default"]
        by = "psnr_of_mean_mse" if metric.startswith("psnr") else "mae_ab"
        text = f"{verdict(gains[by]['interval'])}, by {by}"
        result |= {"advantage": gains, "verdict": text}
    return result


def verdict(interval: list[float]) -> str:
    """Returns the verdict on the 95 % interval of an advantage.

    >>> verdict([0.1, 0.5])
    'better'
    """
    if interval[0] > 0:
        return BETTER
    return WORSE if interval[1] < 0 else UNSEEN


def _default_folder(ledger: Ledger, request: StudyRequest, should_stop: Callable[[], bool]) -> Path:
    """Returns the workdir of the default config, trained as long as a trial."""
    number = default_number(ledger)
    for stored in ledger.study.get_trials(deepcopy=False):
        if stored.number == number:
            return _trained(ledger, request, stored, should_stop)
    folder = ledger.root / "trials" / "default"
    if not (folder / _MEASURED).is_file():
        _train(trial_module.Training(folder, request, {}, should_stop), should_stop)
    return folder


def _trained(
    ledger: Ledger, request: StudyRequest, stored: Any, should_stop: Callable[[], bool]
) -> Path:
    """Returns the workdir of a finished trial; retrains one of another machine."""
    folder = ledger.folder_of(stored.number)
    if not trial_module.saved_step(folder):
        last_step = stored.user_attrs.get(ENDED, {}).get("cut_at", 0)
        training = trial_module.Training(
            folder, request, stored.params, should_stop, last_step=last_step
        )
        _train(training, should_stop)
    return folder


def _train(training: trial_module.Training, should_stop: Callable[[], bool]) -> None:
    status = training.finish()
    if status and should_stop():
        raise Interrupted("stopped while the best trial was compared with the default")
    if status:
        log = training.folder / "log.txt"
        raise RequestError(f"{training.folder}: {trial_module.log_tail(log)}")


def _measure(folder: Path, should_stop: Callable[[], bool]) -> dict[str, Any]:
    """Measures weights in a separate process, once."""
    file, log = folder / _MEASURED, folder / "log.txt"
    if not file.is_file():
        with open(log, "ab") as output:
            arguments = [str(folder), str(file)]
            status = child_process.run_module(_PROGRAM, arguments, should_stop, output=output)
        if should_stop() and status:
            raise Interrupted("stopped while the best trial and the default were measured")
        if status:
            raise RequestError(f"{folder} cannot be measured: {trial_module.log_tail(log)}")
    return json.loads(file.read_text())
