"""Packs the weights of a run for `weights/named.py`: `python -m colorjax.weights.pack`."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from colorjax.errors import RequestError
from colorjax.metrics import table
from colorjax.runtime import atomic
from colorjax.weights import hub, named
from colorjax.weights.open import open_weights
from colorjax.weights.workdir import Workdir

# Fields of a card that the workdir does not provide; "encoder" is optional.
_CARD_FIELDS = ("command", "data", "time", "license", "failures")


# Metrics of an evaluation's row that a card contains.
_METRICS = ("psnr", "mae_ab_8bit", "auc_8bit", "auc_rebalanced_8bit", "colorfulness")


def write(
    workdir: str, file: Path, card_fields: dict[str, str], results: dict[str, Path] | None = None
) -> None:
    """Writes the weights of a finished run; parameters in float16, statistics in float32.

    Args:
        workdir: of the run.
        file: to write.
        card_fields: fields of the card that the workdir does not provide, such as the training
            command.
        results: name of a test set -> `result.json` of an evaluation whose first method is the run;
            the card gets its metrics and those of the row `gray`.

    Raises:
        RequestError: the workdir has no intact checkpoint, or a file is not an evaluation result.
    """
    run = Workdir(workdir)
    weights = open_weights(run.root)
    config = weights.config
    step, variables = weights.load()
    report = json.loads(run.eval_file.read_text())
    kept = hub.for_prediction(config)
    size = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    card = card_fields | {"parameters": size, "step": step, "batch_size": config.batch_size}
    card |= {name: report[name] for name in ("protocol", "num_images", "metrics", "baselines")}
    calibration = run.root / "calibration.json"
    if calibration.exists():
        stored = json.loads(calibration.read_text())
        photos = stored["photos"]
        data = Path(photos["data"]).name if os.path.isabs(photos["data"]) else photos["data"]
        photos = {"data": data, "number": len(photos["photos"])}
        card["calibration"] = stored | {"photos": photos}
    if results:
        card["results"] = {name: _read_result(path) for name, path in results.items()}
    arrays: dict[str, Any] = {
        "/".join(path): np.asarray(leaf, np.float16 if path[0] == "params" else np.float32)
        for path, leaf in traverse_util.flatten_dict(dict(variables)).items()
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    np.savez_compressed(content, about=json.dumps({"config": kept, "card": card}), **arrays)
    atomic.write_bytes(file, content.getbuffer())


def repack(file: Path, inference: dict[str, Any], record: dict[str, Any]) -> None:
    """Replaces the calibration of the color bins in packed weights; the arrays stay as they are.

    Args:
        file: written by `write`.
        inference: fields of `config.inference`.
        record: for `calibration` of the card.
    """
    with np.load(file, allow_pickle=False) as old:
        about = json.loads(str(old["about"]))
        arrays = {name: old[name] for name in old.files if name != "about"}
    about["config"]["inference"] |= inference
    about["card"].setdefault("calibration", {})["bins"] = record
    content = io.BytesIO()
    np.savez_compressed(content, about=json.dumps(about), **arrays)
    atomic.write_bytes(file, content.getbuffer())


def _read_result(path: Path) -> dict[str, Any]:
    """Returns a card's summary of an evaluation: suite, number of photos, gray and method rows."""
    try:
        result = json.loads(path.read_text())
        rows = {"grey": result["rows"]["grey"], "these": result["rows"][result["compared_with"]]}
        about = {"suite": result["suite"], "photos": result["photos"]["measured"]}
        metrics = {name: table.current_names(row["metrics"]) for name, row in rows.items()}
        return about | {
            name: {metric: each[metric] for metric in _METRICS} for name, each in metrics.items()
        }
    except (OSError, ValueError, KeyError, TypeError):
        raise RequestError(
            f"{str(path)!r} is not a result.json of `colorjax evaluate`; give NAME=FILE"
        ) from None


def main() -> None:
    """Packs the weights of a run and prints the SHA-256 for `SHA256`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workdir", help="of a finished run")
    parser.add_argument("name", help="of the weights")
    for name in _CARD_FIELDS:
        parser.add_argument(f"--{name}", required=True, help="for the card")
    parser.add_argument("--encoder", default="", help="its origin and license, for the card")
    parser.add_argument(
        "--result",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="result.json of an evaluation, for the card; may be repeated",
    )
    args = parser.parse_args()
    file = named.FOLDER / f"{args.name}.npz"
    card_fields = {
        name: getattr(args, name) for name in (*_CARD_FIELDS, "encoder") if getattr(args, name)
    }
    pairs = (option.partition("=") for option in args.result)
    write(args.workdir, file, card_fields, {name: Path(path) for name, _, path in pairs})
    print(f"{file}: {file.stat().st_size} bytes")
    print(hashlib.sha256(file.read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
