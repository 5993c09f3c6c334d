"""Fine-tuning of weights on one's own photos: a config for the one training loop, and a report."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from colorjax import finetune_report, paths, shipped
from colorjax import method as methods
from colorjax.data import cleaning, part_lists
from colorjax.data.sources import FolderSource
from colorjax.data.subsets import Subset, hash_fraction
from colorjax.errors import RequestError, unknown_name
from colorjax.method import Variables
from colorjax.models.added import TRAIN_ONLY
from colorjax.train import loop, weights
from colorjax.train.workdir import Workdir, write_json

log = logging.getLogger(__name__)

MIN_PHOTOS = 20  # of those that are left: fewer teach a network themselves, and measure nothing
RECORD = "finetune.json"
_PARTS = "photos.json"
_KIND = "colorjax finetune"
_DEFAULTS = Path(__file__).with_name("default_config.json")  # configs/default.py, for wheels
_LEARNING_RATES = {"all": 1e-4, "head": 1e-3, "added": 1e-3}
_MAX_SIZE = 128  # pixels, of training: minutes on a CPU
_EVALUATIONS = 8  # in a run, and as many without improvement as `_PATIENCE` end it
_PATIENCE = 3
# Of the base's data: what the network sees, how it is augmented, and what it aims at.
_KEPT = (
    "grey",
    "canny_scale",
    "canny_sigma",
    "canny_thresholds",
    "saturation",
    "saturation_clip",
    "crop_scale",
    "crop_ratio",
    "flip",
    "targets",
    "hint_stop",
    "hint_sides",
    "image_size",
)


@dataclasses.dataclass(frozen=True)
class Options:
    """What a fine-tuning is asked to do.

    Attributes:
        train_only: "all", "head" (the last layers) or "added" (a new layer before those).
        steps: of training.
        learning_rate: at the start of a cosine; None: 1e-4 for "all", else 1e-3.
        batch_size: photos of a step.
        size: side of a training photo in pixels; None: that of the base, at most 128.
        held_out: share of the photos that is measured before and after, and never trained on.
        chosen_by: share of the photos that the best step is chosen by.
        min_side: photos with a shorter side, in pixels, are left out.
        min_chroma: photos with a mean chroma, in Lab units, below this are left out.
        seed: of the crops and their order.
    """

    train_only: str = "all"
    steps: int = 300
    learning_rate: float | None = None
    batch_size: int = 16
    size: int | None = None
    held_out: float = 0.2
    chosen_by: float = 0.1
    min_side: int = cleaning.MIN_SIDE
    min_chroma: float = cleaning.MIN_CHROMA
    seed: int = 0

    def check(self) -> None:
        """Raises a RequestError where a value means nothing."""
        if self.train_only not in TRAIN_ONLY:
            raise unknown_name("train_only", self.train_only, TRAIN_ONLY)
        if min(self.steps, self.batch_size) < 1:
            raise RequestError("--steps and --batch-size are at least 1")
        if self.learning_rate is not None and not 0 < self.learning_rate < np.inf:
            raise RequestError(f"--learning-rate is above 0, not {self.learning_rate}")
        if self.min_side < 1 or not 0 <= self.min_chroma < np.inf:
            raise RequestError("--min-side is at least 1 and --min-chroma at least 0")


class Base(NamedTuple):
    """The weights that are tuned.

    Attributes:
        name: of weights that ship, or the absolute path of a workdir.
        config: of their run or import; of imported ones with few sections.
        step: of their checkpoint.
        sha256: of their config and of their arrays, 64 hexadecimal digits each.
    """

    name: str
    config: ConfigDict
    step: int
    sha256: dict[str, str]


class Outcome(NamedTuple):
    """What `finetune` did.

    Attributes:
        status: 0 done; 75 stopped by a signal: the same command goes on.
        record: the content of finetune.json.
        table: Markdown; empty where it was stopped.
        warnings: one line each.
    """

    status: int
    record: dict[str, Any]
    table: str = ""
    warnings: tuple[str, ...] = ()


def finetune(
    base: str | os.PathLike[str],
    data: str | os.PathLike[str],
    output: str | os.PathLike[str],
    options: Options | None = None,
    progress: Callable[[int], Any] = lambda photos: None,
) -> Outcome:
    """Tunes weights on a folder of photos and measures held-out ones before and after.

    The folder `output` is a workdir like that of any run, with `finetune.json`, `finetune.md` and
    `finetune.png` beside; the same call goes on where it was stopped.

    Args:
        base: workdir of a run or of imported weights, or the name of weights that ship.
        data: folder of photos, at any depth.
        output: workdir to make.
        options: see `Options`.
        progress: is told how many photos were looked at.

    Raises:
        RequestError: weights, photos or output cannot be used; fewer than 20 photos are left.
    """
    options = options or Options()
    options.check()
    folder, found = Workdir(output), open_base(base)
    source = FolderSource.open(data, labels="none")
    _check_places(folder, Path(source.root))
    record = _read_record(folder)
    config = build_config(found, options)
    if record is None:
        record = _begin(folder, found, source, options, progress)
    else:
        _check_same(record, folder, found, source)
    config.data.path, config.data.parts = str(source.root), str(folder.root / _PARTS)
    status = loop.train_and_evaluate(config.lock(), str(folder.root))
    if status != loop.DONE:
        return Outcome(status, record)
    report = finetune_report.compare(
        found.name, folder, Subset(source, _numbers(source, folder)), config.seed
    )
    record |= {"held_out": report.content}
    table = finetune_report.markdown(record)
    paths.write_text(folder.root / "finetune.md", table)
    write_json(folder.root / RECORD, record)
    return Outcome(status, record, table, report.warnings)


def open_base(place: str | os.PathLike[str]) -> Base:
    """Reads the weights that are to be tuned.

    Raises:
        RequestError: there are none, or they are damaged.
    """
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    name = os.fspath(place)
    if name in shipped.SHA256:
        packed = shipped.load(name, device)
        config, step, variables = packed.config, packed.card["step"], packed.variables
    else:
        workdir = Workdir(name)
        if not workdir.config_file.is_file():
            raise RequestError(
                f"no weights at {name!r}; give the workdir of a run or of imported weights, or "
                f"name weights that ship: {', '.join(shipped.SHA256)}"
            )
        config, name = workdir.read_config(), str(workdir.root)
        method = methods.build(config, with_loss=False)
        step, variables = weights.load(name, method, device)
    return Base(name, config, step, {"config": _sum(config.to_dict()), "weights": _sum(variables)})


def _sum(content: dict[str, Any] | Variables) -> str:
    """Returns the SHA-256 of names and values, in the order of the names."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(content, is_leaf=lambda x: x is None):
        value = np.asarray(leaf) if isinstance(leaf, jax.Array | np.ndarray) else None
        what = repr(leaf) if value is None else f"{value.dtype} {value.shape}"
        digest.update(f"{jax.tree_util.keystr(path)} {what}\n".encode())
        digest.update(b"" if value is None else np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def build_config(base: Base, options: Options) -> ConfigDict:
    """Returns the config of the training, without its photos.

    Args:
        base: its network, what that sees and the loss stay. Without a stored loss it is
            rebalanced_ce for bins and mse for colours (zhang17: its own); a run against a critic
            or a feature network goes on with the L1 of its own space alone.
        options: the rest.

    Raises:
        RequestError: a network that cannot be tuned so, or a size that it does not take.
    """
    config = ConfigDict(json.loads(_DEFAULTS.read_text()), convert_dict=True)
    known = base.config.to_dict()
    config.update({name: known[name] for name in ("dtype", "inference") if name in known})
    config.model = ConfigDict(known["model"])
    stored = known.get("data", {})
    config.data.update({name: stored[name] for name in _KEPT if name in stored})
    network = methods.build_network(config)
    if options.train_only == "added":
        if not hasattr(network, "add_layer"):
            raise RequestError(
                f"network {config.model.name} takes no added layer; give --only head, or neither"
            )
        config.model.add_layer = True
    config.loss.update(_loss_of(known, network))
    config.data.hints = "hint_ab" in network.inputs
    config.inference.size = config.inference.size or config.data.image_size
    config.data.image_size = _training_size(config, network, options.size)
    if network.fixed_size:
        config.inference.size = 0
    config.data.labels = "none"
    config.train_only, config.init_from, config.seed = options.train_only, base.name, options.seed
    config.batch_size, config.total_steps = options.batch_size, options.steps
    config.eval_every = config.checkpoint_every = -(-options.steps // _EVALUATIONS)
    config.log_every = -(-options.steps // (2 * _EVALUATIONS))
    rate = options.learning_rate or _LEARNING_RATES[options.train_only]
    config.optimizer.update(learning_rate=rate, schedule="cosine", clip_norm=1.0)
    config.early_stopping.update(metric="mae_ab", patience=_PATIENCE)
    config.evaluation.batch_size = options.batch_size
    methods.build(config)
    return config


def _loss_of(known: dict[str, Any], network: Any) -> dict[str, Any]:
    stored = known.get("loss") or {}
    name = stored.get("name")
    if name in ("adversarial", "feature"):
        log.info("the base learned by loss %s; it is tuned by its L1 term alone", name)
        return {"name": "feature", "feature_weight": 0.0, "l1_weight": 1.0}
    if name and name != "class_cross_entropy":
        return stored
    if "bin_logits" in network.outputs:
        name = "rebalanced_ce"
    else:
        name = "smooth_l1_and_grid" if "grid_logits" in network.outputs else "mse"
    log.info("the base's config names no loss of colours; it is tuned by loss %s", name)
    return {"name": name}


def _training_size(config: ConfigDict, network: Any, asked: int | None) -> int:
    if network.fixed_size or asked:
        return asked or network.fixed_size
    multiple, own = network.size_multiple, config.data.image_size
    return own if own <= _MAX_SIZE else max(multiple, _MAX_SIZE - _MAX_SIZE % multiple)


def _check_places(folder: Workdir, data: Path) -> None:
    if Path(folder.root).is_relative_to(data.resolve()):
        raise RequestError(
            f"--output {str(folder.root)!r} is inside of --data, and its pictures would count as "
            "photos; give another --output"
        )


def _read_record(folder: Workdir) -> dict[str, Any] | None:
    """Returns the record of an earlier start; None: there was none."""
    file = folder.root / RECORD
    if not file.is_file():
        if folder.config_file.is_file() or folder.checkpoints.is_dir():
            raise RequestError(
                f"--output {str(folder.root)!r} holds another run; give another --output"
            )
        return None
    try:
        record = json.loads(file.read_text())
        assert record["kind"] == _KIND
        assert record["base"]["sha256"]
        assert record["photos"]["folder"]
    except (ValueError, KeyError, TypeError, AssertionError):
        raise RequestError(f"{str(file)!r} is damaged; give another --output") from None
    return record


def _check_same(record: dict[str, Any], folder: Workdir, base: Base, source: FolderSource) -> None:
    if record["base"]["sha256"] != base.sha256:
        raise RequestError(
            f"--output {str(folder.root)!r} was tuned from other weights, "
            f"{record['base']['name']!r}; give another --output"
        )
    if record["photos"]["folder"] != str(Path(source.root).resolve()):
        raise RequestError(
            f"--output {str(folder.root)!r} was tuned on the photos of "
            f"{record['photos']['folder']!r}; give another --output"
        )
    log.info("going on with the photos of the first start, see %s", folder.root / _PARTS)


def _begin(
    folder: Workdir,
    base: Base,
    source: FolderSource,
    options: Options,
    progress: Callable[[int], Any],
) -> dict[str, Any]:
    """Looks at the photos, divides them, and writes both files that say so."""
    found = cleaning.clean(
        source, min_side=options.min_side, min_chroma=options.min_chroma, progress=progress
    )
    counts = {reason: len(names) for reason, names in found.left_out.items()}
    told = describe_left_out(counts)
    if len(found.kept) < MIN_PHOTOS:
        raise RequestError(
            f"{len(found.kept)} of {len(source)} photos are left to tune on ({told}), and "
            f"{MIN_PHOTOS} are needed; give more photos, or lower --min-side or --min-chroma"
        )
    log.info("photos: %d of %d are left; %s", len(found.kept), len(source), told)
    parts = divide([source.keys[i] for i in found.kept], options.held_out, options.chosen_by)
    record = {
        "kind": _KIND,
        "base": {
            "name": base.name,
            "step": base.step,
            "sha256": base.sha256,
            "config": base.config.to_dict(),
        },
        "options": dataclasses.asdict(options),
        "photos": {
            "folder": str(Path(source.root).resolve()),
            "found": len(source),
            "kept": len(found.kept),
            "left_out": counts,
            "names_left_out": found.left_out,
        }
        | {part: len(names) for part, names in parts.items()},
    }
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
        part_lists.write(folder.root / _PARTS, parts)
        write_json(folder.root / RECORD, record)
    except OSError as error:
        raise RequestError(
            f"--output {str(folder.root)!r} cannot be written ({error.strerror}); give another"
        ) from None
    return record


def describe_left_out(counts: dict[str, int]) -> str:
    """Says how many photos are left out, and why.

    >>> describe_left_out({"tiny": 2, "grey": 0})
    'left out: 2 are too small'
    """
    parts = [
        f"{counts[reason]} {why}" for reason, why in cleaning.REASONS.items() if counts.get(reason)
    ]
    return "left out: " + (", ".join(parts) or "none")


def divide(names: list[str], held_out: float, chosen_by: float) -> dict[str, list[str]]:
    """Divides photos in the order of the hashes of their names, so that the shares are exact.

    Args:
        names: of the photos.
        held_out: share that is reported on, at least 4 photos.
        chosen_by: share that the best step is chosen by, at least 2.

    Returns:
        "train", "validation" and "eval" -> names.
    """
    ordered = sorted(names, key=hash_fraction)
    num_eval = max(4, round(held_out * len(names)))
    num_validation = max(2, round(chosen_by * len(names)))
    ends = num_eval, num_eval + num_validation
    return {
        "train": ordered[ends[1] :],
        "validation": ordered[ends[0] : ends[1]],
        "eval": ordered[: ends[0]],
    }


def _numbers(source: FolderSource, folder: Workdir) -> np.ndarray:
    """Returns the numbers of the held-out photos."""
    numbers = {key: number for number, key in enumerate(source.keys)}
    return np.array([numbers[name] for name in part_lists.read(folder.root / _PARTS)["eval"]])
