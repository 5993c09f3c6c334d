"""Copies weights to a hub folder and back: `colorjax weights push` and `pull`."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from colorjax.errors import RequestError
from colorjax.runtime import foreign_files
from colorjax.weights import hub, named, store
from colorjax.weights.checkpoint import Checkpoints
from colorjax.weights.model_card import UNKNOWN, Claims
from colorjax.weights.named import WeightsFile
from colorjax.weights.open import StoredWeights
from colorjax.weights.workdir import Workdir, write_json

_LARGEST = 1e12  # of a metric


def claims_of(weights: StoredWeights, license: str = "", data: str = "") -> Claims:
    """Returns license, data and metrics of weights, as far as they are stored.

    Args:
        weights: of a run, imported, by name, or of a hub folder.
        license: overrides the stored one; empty: that one, else "unknown".
        data: likewise; name of the training photos.

    Raises:
        RequestError: eval.json of the run is damaged.
    """
    known: dict[str, Any] = dict(weights.card)
    if isinstance(weights.source, WeightsFile):
        known |= {"license": named.LICENSE, "origin": f"{weights.name} of colorjax"}
    report: dict[str, Any] = known
    if isinstance(weights.source, Workdir):
        known = store.read_about(weights.source.root)
        with contextlib.suppress(FileNotFoundError):
            report = foreign_files.read_json(weights.source.eval_file)
    return Claims(
        license=(license or str(known.get("license") or UNKNOWN)).lower(),
        origin=str(known.get("origin", "")),
        data=data or str(known.get("data") or _data_of(weights)),
        metrics=_metrics(report),
        dataset=_evaluation(report),
    )


def _metrics(report: Any) -> dict[str, float]:
    """Returns the numbers among the metrics of a report, which may be a stranger's."""
    values = report.get("metrics") if isinstance(report, dict) else None
    known = values.items() if isinstance(values, dict) else ()
    numbers = {name: value for name, value in known if isinstance(value, int | float)}
    return {
        name: float(value)
        for name, value in numbers.items()
        if name.isidentifier() and abs(value) < _LARGEST  # False for nan
    }


def _evaluation(report: Any) -> str:
    """Returns the number of photos of an evaluation, never their path."""
    number = report.get("num_images") if isinstance(report, dict) else None
    return f"{number} photos of the run's evaluation" if type(number) is int else ""


def _data_of(weights: StoredWeights) -> str:
    """Returns the name of the training photos if their config has a public one, else ""."""
    name = weights.config.data.get("name", "")
    return "" if name in ("folder", "array_record") else name.removeprefix("tfds:")


def write(
    weights: StoredWeights, folder: Path, claims: Claims, *, layout: str = "colorjax"
) -> list[str]:
    """Writes weights into an existing folder, see `hub.write`; returns notices for the user.

    Raises:
        RequestError: no intact weights, or a layout that does not fit the network.
    """
    step, variables = weights.load()
    return hub.write(
        folder,
        weights.config,
        variables,
        claims,
        step=step,
        classes=weights.classes,
        layout=layout,
    )


def pull(weights: StoredWeights, output: str | os.PathLike[str]) -> Workdir:
    """Creates a workdir with weights, for inference, fine-tuning and `init_from`.

    Args:
        weights: of a hub folder, or any others.
        output: workdir to create.

    Raises:
        RequestError: no intact weights, or an output that exists or is not writable.
    """
    workdir = Workdir(output)
    root = workdir.root
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise RequestError(f"{str(root)!r} exists; give another workdir")
    step, variables = weights.load()
    fields = hub.for_prediction(weights.config)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(Checkpoints(workdir.checkpoints)) as checkpoints:
            checkpoints.save(step, dict(variables))
        known = claims_of(weights)
        about = {"name": weights.name, "license": known.license, "origin": known.origin}
        store.write_about(root, about | {"data": known.data})
        if weights.classes:
            write_json(workdir.classes_file, list(weights.classes))
        write_json(workdir.config_file, fields)
    except OSError as error:
        raise RequestError(
            f"{str(root)!r} cannot be written ({error.strerror}); give another workdir"
        ) from None
    return workdir
