"""Workdir of a run: config, versions, metrics and results."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath
from ml_collections import ConfigDict
from PIL import Image

from colorjax.errors import RequestError
from colorjax.runtime import atomic, foreign_files, paths
from colorjax.runtime.locks import is_held, only_process
from colorjax.runtime.versions import versions
from colorjax.weights import stored_config

SEAL = "SHA256SUMS"

log = logging.getLogger(__name__)

LOCK = "training.lock"  # of the workdir, while a training runs

# Fields that may change between starts of a run without a warning.
_FREE = (
    "total_steps",
    "log_every",
    "eval_every",
    "checkpoint_every",
    "progress",
    "writers",
    "init_from",
    "init_encoder",
    "init_encoder_photos",
    "fork_from",
)


# Fields that act on a finished run.
_AFTERWARDS = ("nogan.pick",)

# Fields of `data` that define the network's input.
_SEEN = ("grey", "canny_scale", "canny_sigma", "canny_thresholds")


# Fields that define the auxiliary networks and their schedule; the training state contains them.
_JUDGES = (
    "critic.",
    "critic_optimizer.name",
    "features.",
    "nogan.shares",
    "nogan.generated",
    "turns.kind",
)


# Fields that configs of earlier versions lack, with the equivalent values.
_LATER = {
    "model.add_layer": False,
    "model.norm_momentum": 0.9,
    "model.norm_epsilon": 1e-5,
    "model.gray_range": [-1.0, 1.0],
    "model.stride_padding": "both",
    "critic.norm_momentum": 0.9,
    "critic.norm_epsilon": 1e-5,
    "critic.kernel_init": "he",
    "critic.gray_range": [-1.0, 1.0],
    "loss.colorfulness_weight": 0.0,
    "loss.judged_saturation": 1.0,
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
    "inference.bin_bias": [],
    "inference.bin_temperature": 1.0,
    "inference.aspect": "short",
    "evaluation.hint_places": "uniform",
}


class Workdir:
    """Paths and small files of one run."""

    def __init__(self, root: str | os.PathLike[str]):
        """Sets the paths, on a disk or in an object store; does not access them."""
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

    def lock(self, stack: contextlib.ExitStack) -> None:
        """Keeps other trainings out of this workdir; a collective call.

        The first process holds the lock. Object stores, and disks without locks, have none.

        Args:
            stack: its end releases the lock.

        Raises:
            RequestError: another training holds the lock, or the folder is not writable.
        """
        from colorjax.parallel import mesh as parallel

        refusal: RequestError | None = None
        if parallel.is_first() and not paths.is_remote(self.root):
            paths.require_utf8(self.root)
            try:
                path = Path(self.root) / LOCK
                stack.enter_context(only_process(path, "is training in this workdir", "--workdir"))
            except RequestError as error:
                refusal = error
            except OSError as error:
                refusal = self._unwritable(error)
        if parallel.any_host(refusal is not None):
            raise refusal or RequestError("the first process cannot lock the workdir")

    def is_training(self) -> bool:
        """Returns whether a training holds the lock; False where there are no locks."""
        return not paths.is_remote(self.root) and is_held(Path(self.root) / LOCK)

    def prepare(self, config: ConfigDict, classes: Sequence[str] = ()) -> None:
        """Creates the folder of a new run with its config, or checks that the config fits the run.

        The config of a resumed run is written by `update_config`, once it is known that a step
        follows.

        Args:
            config: of the run.
            classes: names of the classes in the order of the classifier's logits, if any.

        Raises:
            RequestError: the folder is not writable, or belongs to another method.
        """
        from colorjax.parallel import mesh as parallel

        paths.require_utf8(self.root)
        try:
            is_new = not self.config_file.is_file()
            if not is_new:
                self.check_fits(config)
            if config.model.to_dict().get("num_classes", 0) > 0:
                self._check_classes(classes)
            parallel.barrier("the workdir is checked")
            if parallel.is_first():
                self.images.mkdir(parents=True, exist_ok=True)
                if config.model.to_dict().get("num_classes", 0) > 0:
                    write_json(self.classes_file, list(classes))
                if is_new:
                    self._write_config(config)
            parallel.barrier("the workdir is prepared")
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> RequestError:
        return RequestError(
            f"workdir {str(self.root)!r} cannot be written ({error.strerror}); use another"
        )

    def update_config(self, config: ConfigDict, *, finished: bool) -> None:
        """Writes the config of a resumed run if a step follows, or another candidate is picked.

        Args:
            config: of this start; it fits the run, see `prepare`.
            finished: whether the run is finished, so that no step follows.

        Raises:
            RequestError: the run is finished, and fields changed that only a step would use.
        """
        from colorjax.parallel import mesh as parallel

        changed, _ = compare(self.read_config(), config)
        if finished:
            # The decoding stored by `colorjax calibrate` stays.
            changed = [name for name in changed if not name.startswith("inference.")]
            unused = [name for name in changed if name not in _AFTERWARDS]
            if unused:
                raise RequestError(
                    f"workdir {str(self.root)!r} holds a finished run; a changed "
                    f"{', '.join(unused)} would have no effect. Give another --workdir, or a "
                    "larger total_steps to continue; `colorjax eval` evaluates with other data"
                )
            if not changed:
                return
            config = config.copy_and_resolve_references()
            with config.unlocked():
                config.inference = self.read_config().get("inference", config.inference)
        if changed:
            log.warning("this start changes %s in the workdir's config", ", ".join(changed))
        if parallel.is_first():
            self._write_config(config)
        parallel.barrier("the config is written")

    def _write_config(self, config: ConfigDict) -> None:
        write_json(self.config_file, config.to_dict())
        write_json(self.root / "versions.json", versions())

    def _check_classes(self, classes: Sequence[str]) -> None:
        if (self.read_classes() or tuple(classes)) != tuple(classes):
            raise RequestError(
                f"workdir {str(self.root)!r} holds a run with different classes, see classes.json; "
                "give another --workdir"
            )

    def read_classes(self) -> tuple[str, ...] | None:
        """Returns the class names of the weights' classifier, in order; None without one.

        Raises:
            RequestError: the file is damaged.
        """
        if not self.classes_file.is_file():
            return None
        names = foreign_files.read_json(self.classes_file)
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise foreign_files.damaged(self.classes_file, "it is not a list of names")
        return tuple(names)

    def has_saved(self) -> bool:
        """Returns whether there is a checkpoint of a training state, damaged or not."""
        folder = self.checkpoints
        return folder.is_dir() and any(path.name.isdecimal() for path in folder.iterdir())

    def with_its_network(self, config: ConfigDict) -> ConfigDict:
        """Returns the config with the network of this folder's run, for an evaluation.

        It also takes the saturation and the decoding that are stored with the weights.

        Raises:
            RequestError: no run, or a run of another network.
        """
        run = self.read_config()
        self._check_name(run, config)
        model = ConfigDict(run.model)
        stored = run.to_dict().get("inference", {})
        decode = stored.get("decode", "ab")
        # A decoding other than "ab" was tuned together with the temperature.
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
            result.inference.bin_bias = stored.get("bin_bias", ())
            result.inference.bin_temperature = stored.get("bin_temperature", 1.0)
        return result

    def _check_name(self, run: ConfigDict, config: ConfigDict) -> None:
        if run.model.name != config.model.name:
            raise RequestError(
                f"workdir {str(self.root)!r} holds a run of {run.model.name}, not "
                f"{config.model.name}; give another --workdir"
            )

    def check_fits(self, config: ConfigDict) -> None:
        """Checks that a config fits the run in this folder.

        Raises:
            RequestError: no run, or a run of another network or optimizer.
        """
        run = self.read_config()
        self._check_name(run, config)
        if "optimizer" not in run:
            raise RequestError(
                f"workdir {str(self.root)!r} holds imported weights; train from them in another "
                f"--workdir with --config.init_from={self.root}"
            )
        _, fixed = compare(run, config)
        if fixed:
            raise RequestError(
                f"workdir {str(self.root)!r} holds a run with a different {', '.join(fixed)}; give "
                "another --workdir"
            )

    def keep_split(self, indices: Mapping[str, np.ndarray], picture: Image.Image | None) -> None:
        """Writes the indices of training, validation and test photos, and the picture of hues.

        `split.npz` has indices of photos in the data set, int64, by part.
        """
        from colorjax.parallel import mesh as parallel

        known = self._read_split()
        if known is not None and not all(
            part in known and np.array_equal(known[part], numbers)
            for part, numbers in indices.items()
        ):
            log.warning("the photos of this run have changed since its start, see split.npz")
        if not parallel.is_first():
            return
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **dict(indices))  # pyrefly: ignore
        atomic.write_bytes(self.root / "split.npz", buffer.getvalue())
        if picture is not None:
            atomic.write_png(self.images / "hue_histograms.png", picture)

    def _read_split(self) -> dict[str, np.ndarray] | None:
        try:
            return foreign_files.read_arrays(self.root / "split.npz")
        except (OSError, ValueError):
            return None

    def read_config(self) -> ConfigDict:
        """Returns the config with which the run was started.

        Raises:
            RequestError: missing or damaged config.
        """
        try:
            return stored_config.read(self.config_file)
        except OSError:
            raise RequestError(
                f"{str(self.root)!r} is not a workdir: it has no config.json"
            ) from None

    def read_metrics(self) -> Iterator[dict[str, Any]]:
        """Yields the lines of metrics.jsonl; damaged and incomplete ones are left out."""
        return (line for line in self._metrics_lines() if line is not None)

    def _metrics_lines(self) -> Iterator[dict[str, Any] | None]:
        """Yields the lines of metrics.jsonl; None for each damaged one."""
        if not self.metrics_file.is_file():
            return
        for text in self.metrics_file.read_bytes().splitlines():
            try:
                line = foreign_files.parse_json(text)
            except ValueError:
                line = None
            yield line if _is_line_of_metrics(line) else None

    def cut_metrics(self, step: int) -> None:
        """Removes lines of metrics.jsonl after a step, and damaged lines.

        A crash leaves one incomplete line at the end; it warns of any others.
        """
        from colorjax.parallel import mesh as parallel

        if parallel.is_first():
            lines = list(self._metrics_lines())
            if num_damaged := lines[:-1].count(None):
                log.warning("left out %d damaged lines of %s", num_damaged, self.metrics_file)
            kept = [line for line in lines if line is not None and line["step"] <= step]
            atomic.write_text(self.metrics_file, "".join(json.dumps(line) + "\n" for line in kept))
        parallel.barrier("metrics are cut")

    def write_json(self, name: str, content: Any) -> None:
        """Writes a small file of the run atomically, from the first process only."""
        from colorjax.parallel import mesh as parallel

        if parallel.is_first():
            write_json(self.root / name, content)


def compare(run: ConfigDict, config: ConfigDict) -> tuple[list[str], list[str]]:
    """Returns the fields of a config that differ from those of a run to be continued.

    Args:
        run: the config with which the run was started, with an optimizer.
        config: for the continuation.

    Returns:
        (names of all relevant differing fields, names of those that must not differ, because they
        define the content or the meaning of the state).
    """
    old, new = run.to_dict(), json.loads(json.dumps(config.to_dict()))
    changed = [name for name in _differences(old, new) if name not in _FREE]
    changed = [name for name in changed if not _is_later(name, old, new)]
    fixed = [
        name
        for name in changed
        if (name.startswith("model.") and name != "model.temperature")  # not trained
        or name in ("optimizer.name", "train_only")
        or (name.startswith(_JUDGES) and name.partition(".")[0] in old)
        # Configs of earlier versions lack these fields; they used the current defaults.
        or (name.removeprefix("data.") in _SEEN and name.removeprefix("data.") in old["data"])
    ]
    schedules = {old["optimizer"]["schedule"], new["optimizer"]["schedule"]}
    if len(schedules) == 2 and "plateau" in schedules:  # it adds to the state
        fixed.append("optimizer.schedule")
    if old["total_steps"] != new["total_steps"] and _has_phases(old):
        fixed.append("total_steps")  # it defines where phases begin and end
    for name in ("b1", "ema_decay"):  # whether they are 0 changes the state's structure
        if bool(old["optimizer"][name]) != bool(new["optimizer"][name]):
            fixed.append(f"optimizer.{name}")
    return changed, fixed


def _is_later(name: str, old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Returns whether a field is new, missing in one config, and equivalent in the other."""
    values = []
    for value in (old, new):
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        values.append(_LATER.get(name) if value is None else value)
    return name in _LATER and values[0] == values[1]


def _has_phases(config: dict[str, Any]) -> bool:
    trains_features = config.get("features", {}).get("num_classes", -1) > 0  # resolved
    return trains_features or bool(config.get("nogan", {}).get("shares"))


def _is_line_of_metrics(line: Any) -> bool:
    return (
        isinstance(line, dict)
        and isinstance(line.get("step"), int)
        and all(isinstance(x, int | float) and not isinstance(x, bool) for x in line.values())
    )


def write_json(path: epath.Path, content: Any) -> None:
    """Writes a JSON file atomically: readers see either the old or the new content."""
    atomic.write_text(path, json.dumps(content, indent=2) + "\n")


def _differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new:
        yield name
