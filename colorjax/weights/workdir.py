"""The folder of a run: its config, versions, metrics and results."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath
from ml_collections import ConfigDict
from PIL import Image

from colorjax.errors import RequestError
from colorjax.parallel import mesh as parallel
from colorjax.runtime import atomic, paths
from colorjax.runtime.versions import versions

log = logging.getLogger(__name__)

# Fields that may differ between the runs of one workdir without a word.
_FREE = (
    "total_steps",
    "log_every",
    "eval_every",
    "checkpoint_every",
    "progress",
    "init_from",
    "init_encoder",
    "init_encoder_photos",
    "fork_from",
)


# Fields of `data` that decide what the network sees of a photo.
_SEEN = ("grey", "canny_scale", "canny_sigma", "canny_thresholds")


# Fields that decide what judges the colours, and when: a resumed state holds such networks.
_JUDGES = (
    "critic.",
    "critic_optimizer.name",
    "features.",
    "nogan.shares",
    "nogan.generated",
    "turns.kind",
)


# Fields that runs of earlier versions lack, and what they did.
_LATER = {
    "model.add_layer": False,
    "train_only": "all",
    "init_encoder": "",
    "init_encoder_photos": 0,
    "fork_from": "",
    "data.parts": "",
    "data.aged": 0.0,
    "data.weights": {},
    "data.low_chroma_rate": 0.0,
    "data.global_hints": 0.0,
    "optimizer.encoder_factor": 1.0,
    "optimizer.cooldown_steps": 0,
    "critic_optimizer.cooldown_steps": 0,
    "inference.decode": "ab",
}


class Workdir:
    """Paths and small files of one run."""

    def __init__(self, root: str | os.PathLike[str]):
        """Names the folder, on a disk or in an object store; nothing is touched yet."""
        self.root = paths.locate(root)
        self.config_file = self.root / "config.json"
        self.metrics_file = self.root / "metrics.jsonl"
        self.eval_file = self.root / "eval.json"
        self.skipped_file = self.root / "skipped.txt"
        self.classes_file = self.root / "classes.json"
        self.checkpoints = self.root / "checkpoints"
        self.best = self.checkpoints / "best"
        self.tensorboard = self.root / "tensorboard"
        self.images = self.root / "images"

    def prepare(self, config: ConfigDict, classes: Sequence[str] = ()) -> None:
        """Makes the folder for a config, or checks that it fits, and writes config and versions.

        Args:
            config: of the run.
            classes: names of the classes in the order of the classifier's logits, if there are any.

        Raises:
            RequestError: the folder cannot be written, or holds another method.
        """
        try:
            if self.config_file.is_file():
                self.check_fits(config)
            if config.model.to_dict().get("num_classes", 0) > 0:
                self._check_classes(classes)
            parallel.barrier("the workdir is checked")
            if parallel.is_first():
                self.images.mkdir(parents=True, exist_ok=True)
                if config.model.to_dict().get("num_classes", 0) > 0:
                    write_json(self.classes_file, list(classes))
                write_json(self.config_file, config.to_dict())
                write_json(self.root / "versions.json", versions())
            parallel.barrier("the workdir is prepared")
        except OSError as error:
            raise RequestError(
                f"workdir {str(self.root)!r} cannot be written ({error.strerror}); give another"
            ) from None

    def _check_classes(self, classes: Sequence[str]) -> None:
        if (self.read_classes() or tuple(classes)) != tuple(classes):
            raise RequestError(
                f"workdir {str(self.root)!r} holds a run over other classes, see classes.json; "
                "give another --workdir"
            )

    def read_classes(self) -> tuple[str, ...] | None:
        """Returns the names of the classes that the weights know, in order; None: there are none.

        Raises:
            RequestError: the file is damaged.
        """
        if not self.classes_file.is_file():
            return None
        try:
            return tuple(json.loads(self.classes_file.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            raise RequestError(f"{str(self.classes_file)!r} is damaged; give its run") from None

    def has_saved(self) -> bool:
        """Whether there is a checkpoint of whole states, damaged or not."""
        folder = self.checkpoints
        return folder.is_dir() and any(path.name.isdecimal() for path in folder.iterdir())

    def with_its_network(self, config: ConfigDict) -> ConfigDict:
        """Returns a config with the network of the run in this folder, for an evaluation.

        And with the saturation and the decoding that are stored with the weights.

        Raises:
            RequestError: there is no run, or it is one of another network.
        """
        run = self.read_config()
        self._check_name(run, config)
        model = ConfigDict(run.model)
        stored = run.to_dict().get("inference", {})
        decode = stored.get("decode", "ab")
        # With another decoding than "ab", the temperature was chosen together with it.
        if decode == "ab" and "temperature" in model and "temperature" in config.model:
            model.temperature = config.model.temperature
        result = config.copy_and_resolve_references()
        with result.unlocked():
            result.model = model
            for name in _SEEN:
                if name in run.data:
                    result.data[name] = run.data[name]
            result.inference.saturation = stored.get("saturation", 1.0)
            result.inference.decode = decode
        return result

    def _check_name(self, run: ConfigDict, config: ConfigDict) -> None:
        if run.model.name != config.model.name:
            raise RequestError(
                f"workdir {str(self.root)!r} holds a run of {run.model.name}, not "
                f"{config.model.name}; give another --workdir"
            )

    def check_fits(self, config: ConfigDict) -> None:
        """Checks that a config belongs to the run in this folder.

        Raises:
            RequestError: there is no run, or it is one of another network or optimizer.
        """
        run = self.read_config()
        self._check_name(run, config)
        if "optimizer" not in run:
            raise RequestError(
                f"workdir {str(self.root)!r} holds imported weights; train from them in another "
                f"--workdir with --config.init_from={self.root}"
            )
        changed, fixed = compare(run, config)
        if fixed:
            raise RequestError(
                f"workdir {str(self.root)!r} holds a run with another {', '.join(fixed)}; give "
                "another --workdir"
            )
        if changed:
            log.warning("this run changes %s of the workdir's config", ", ".join(changed))

    def keep_split(self, indices: Mapping[str, np.ndarray], picture: Image.Image | None) -> None:
        """Writes which photos train, choose and are reported, and the picture of their hues.

        `split.npz` holds numbers of photos within the data set, int64, by part.
        """
        known = self._read_split()
        if known is not None and not all(
            part in known and np.array_equal(known[part], numbers)
            for part, numbers in indices.items()
        ):
            log.warning("the photos of this run are others than at its start, see split.npz")
        if not parallel.is_first():
            return
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **dict(indices))  # pyrefly: ignore
        atomic.write_bytes(self.root / "split.npz", buffer.getvalue())
        if picture is not None:
            atomic.write_png(self.images / "hue_histograms.png", picture)

    def _read_split(self) -> dict[str, np.ndarray] | None:
        try:
            content = io.BytesIO((self.root / "split.npz").read_bytes())
            with np.load(content, allow_pickle=False) as file:
                return dict(file)
        except Exception:  # none, or damaged: zipfile raises whatever such a file leads it to
            return None

    def read_config(self) -> ConfigDict:
        """Reads the config that the run was started with.

        Raises:
            RequestError: there is none, or it is damaged.
        """
        try:
            return ConfigDict(json.loads(self.config_file.read_text()), convert_dict=True)
        except OSError:
            raise RequestError(f"{str(self.root)!r} is no workdir: it has no config.json") from None
        except json.JSONDecodeError as error:
            raise RequestError(f"{str(self.config_file)!r} is damaged: {error}") from None

    def read_metrics(self) -> Iterator[dict[str, Any]]:
        """Yields the whole lines of metrics.jsonl."""
        if not self.metrics_file.is_file():
            return
        for line in self.metrics_file.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                yield json.loads(line)

    def cut_metrics(self, step: int) -> None:
        """Drops lines of metrics.jsonl past a step, and the half line that a crash may leave."""
        if parallel.is_first():
            kept = [line for line in self.read_metrics() if line["step"] <= step]
            atomic.write_text(self.metrics_file, "".join(json.dumps(line) + "\n" for line in kept))
        parallel.barrier("metrics are cut")

    def write_json(self, name: str, content: Any) -> None:
        """Writes a small file of the run in one step; of several processes the first does."""
        if parallel.is_first():
            write_json(self.root / name, content)


def compare(run: ConfigDict, config: ConfigDict) -> tuple[list[str], list[str]]:
    """Returns which fields of a config differ from those of a run whose state it would take over.

    Args:
        run: the config that the run was started with, which has an optimizer.
        config: to go on with.

    Returns:
        (names of all that differ and count, names of those that must not differ: they say what the
        state holds, or what it means).
    """
    old, new = run.to_dict(), json.loads(json.dumps(config.to_dict()))
    changed = [name for name in _differences(old, new) if name not in _FREE]
    changed = [name for name in changed if not _is_later(name, old, new)]
    fixed = [
        name
        for name in changed
        if (name.startswith("model.") and name != "model.temperature")  # decides no weights
        or name in ("optimizer.name", "train_only")
        or (name.startswith(_JUDGES) and name.partition(".")[0] in old)
        # Runs of earlier versions do not have these fields, and saw what is now the default.
        or (name.removeprefix("data.") in _SEEN and name.removeprefix("data.") in old["data"])
    ]
    schedules = {old["optimizer"]["schedule"], new["optimizer"]["schedule"]}
    if len(schedules) == 2 and "plateau" in schedules:  # it adds to what the state holds
        fixed.append("optimizer.schedule")
    if old["total_steps"] != new["total_steps"] and _has_phases(old):
        fixed.append("total_steps")  # it says where they begin and end
    for name in ("b1", "ema_decay"):  # zero or not decides what the state holds
        if bool(old["optimizer"][name]) != bool(new["optimizer"][name]):
            fixed.append(f"optimizer.{name}")
    return changed, fixed


def _is_later(name: str, old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether one of two configs lacks a later field, and the other does as was done before."""
    values = []
    for value in (old, new):
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        values.append(_LATER.get(name) if value is None else value)
    return name in _LATER and values[0] == values[1]


def _has_phases(config: dict[str, Any]) -> bool:
    trains_features = config.get("features", {}).get("num_classes", -1) > 0  # settled
    return trains_features or bool(config.get("nogan", {}).get("shares"))


def write_json(path: epath.Path, content: Any) -> None:
    """Writes a JSON file in one step: readers see the old one or the new one."""
    atomic.write_text(path, json.dumps(content, indent=2) + "\n")


def _differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new:
        yield name
