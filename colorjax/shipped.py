"""Weights that ship with colorjax: one NPZ file each, made by `python -m colorjax.shipped`."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import traverse_util
from jax.sharding import Sharding
from ml_collections import ConfigDict

from colorjax import method as methods
from colorjax.errors import RequestError, unknown_name
from colorjax.method import Variables
from colorjax.train import weights
from colorjax.train.workdir import Workdir

FOLDER = Path(__file__).with_name("weights")
DEFAULT = "semantic-lite0"
# name -> SHA-256 of FOLDER/NAME.npz
SHA256 = {
    DEFAULT: "a5053f586f5a7d3b8928c270451efdfad01fb350a56cd8e85908af3365a7f70c",
    "zhang16-small": "fba62763fe1d9d19417f66174352d1294dd0ba3121f386ad41be136408ab29f3",
}
# Weights that shipped before -> those that took their place.
RETIRED = {"unet-small": DEFAULT}

# Of a config, what prediction needs; the rest speaks of training.
_SECTIONS = ("dtype", "model", "data", "inference")
# What a card says beside what the workdir knows; the encoder where it was not trained from scratch.
_TOLD = ("command", "data", "time", "license", "failures")
# Of the result of an evaluation, what a card says of a row.
_METRICS = ("psnr", "mae_ab", "auc", "auc_rebalanced", "colorfulness")


class Shipped(NamedTuple):
    """What a file holds."""

    config: ConfigDict
    variables: Variables
    card: dict[str, Any]  # command, data, time, license, parameters, step, metrics, ...


def ships(name: str) -> bool:
    """Returns whether a name is that of weights that ship.

    Raises:
        RequestError: weights of this name shipped before, and nothing here is called so; the
            message names their successor.
    """
    if name in RETIRED and not Path(name).exists():
        raise RequestError(
            f"the weights {name!r} do not ship any more; use {RETIRED[name]!r}, their successor"
        )
    return name in SHA256


def load(name: str, sharding: Sharding | None = None) -> Shipped:
    """Loads weights by name.

    Args:
        name: a key of `SHA256`.
        sharding: where to put them.

    Raises:
        RequestError: unknown name, or the file is missing or damaged.
    """
    if not ships(name):
        raise unknown_name("weights", name, SHA256)
    path = FOLDER / f"{name}.npz"
    try:
        content = path.read_bytes()
    except OSError:
        raise RequestError(f"the weights {name} are missing: install colorjax again") from None
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise RequestError(f"the weights {str(path)!r} are damaged: install colorjax again")
    config, variables, card = read(content)
    return Shipped(config, jax.device_put(variables, sharding), card)


def read(content: bytes) -> Shipped:
    """Reads the content of a file that `write` made; float32 whatever it was stored in."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        about = json.loads(str(file["about"]))
        flat = {
            tuple(name.split("/")): file[name].astype(np.float32)
            for name in file.files
            if name != "about"
        }
    variables = traverse_util.unflatten_dict(flat)
    return Shipped(ConfigDict(about["config"]), variables, about["card"])


def write(
    workdir: str, file: Path, told: dict[str, str], results: dict[str, Path] | None = None
) -> None:
    """Writes the weights of a finished run; parameters in float16, statistics in float32.

    Args:
        workdir: of the run.
        file: to write.
        told: what the card says beside what the workdir knows, such as the command of the training.
        results: name of a test set -> `result.json` of an evaluation, whose first method is the
            run: the card gets its numbers, and those of the row `grey`.

    Raises:
        RequestError: the workdir holds no whole checkpoint, or a result is none of an evaluation.
    """
    run = Workdir(workdir)
    config = run.read_config()
    method = methods.build(config, with_loss=False)
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    step, variables = weights.load(run.root, method, device)
    report = json.loads(run.eval_file.read_text())
    kept = {name: config.to_dict()[name] for name in _SECTIONS}
    kept["data"].update(path="", eval_path="")
    size = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    card = told | {"parameters": size, "step": step, "batch_size": config.batch_size}
    card |= {name: report[name] for name in ("protocol", "num_images", "metrics", "baselines")}
    calibration = run.root / "calibration.json"
    if calibration.exists():
        found = json.loads(calibration.read_text())
        photos = found["photos"]
        photos = {"data": photos["data"], "number": len(photos["photos"])}
        card["calibration"] = found | {"photos": photos}
    if results:
        card["results"] = {name: _read_result(path) for name, path in results.items()}
    arrays: dict[str, Any] = {
        "/".join(path): np.asarray(leaf, np.float16 if path[0] == "params" else np.float32)
        for path, leaf in traverse_util.flatten_dict(dict(variables)).items()
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as out:
        np.savez_compressed(out, about=json.dumps({"config": kept, "card": card}), **arrays)


def _read_result(path: Path) -> dict[str, Any]:
    """Returns what a card says of an evaluation: suite, number of photos, gray and the method."""
    try:
        found = json.loads(path.read_text())
        rows = {"grey": found["rows"]["grey"], "these": found["rows"][found["compared_with"]]}
        about = {"suite": found["suite"], "photos": found["photos"]["measured"]}
        return about | {
            name: {metric: row["metrics"][metric] for metric in _METRICS}
            for name, row in rows.items()
        }
    except (OSError, ValueError, KeyError, TypeError):
        raise RequestError(
            f"{str(path)!r} is no result.json of `colorjax evaluate`; give NAME=FILE"
        ) from None


def main() -> None:
    """Packs the weights of a run and prints the SHA-256 for `SHA256`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workdir", help="of a finished run")
    parser.add_argument("name", help="of the weights")
    for name in _TOLD:
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
    file = FOLDER / f"{args.name}.npz"
    told = {name: getattr(args, name) for name in (*_TOLD, "encoder") if getattr(args, name)}
    named = (word.partition("=") for word in args.result)
    write(args.workdir, file, told, {name: Path(path) for name, _, path in named})
    print(f"{file}: {file.stat().st_size} bytes")
    print(hashlib.sha256(file.read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
