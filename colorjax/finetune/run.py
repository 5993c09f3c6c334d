"""Fine-tuning of weights on one's own photos: a config for the one training loop, and a report."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from colorjax import losses
from colorjax.data import prior
from colorjax.data.selection import cleaning, part_lists
from colorjax.data.sources.source import FolderSource
from colorjax.data.sources.subsets import Subset, hash_fraction
from colorjax.errors import RequestError
from colorjax.finetune import config as finetune_config
from colorjax.finetune import report as finetune_report
from colorjax.finetune.config import Base, Options, build_config, open_base
from colorjax.runtime import atomic, paths
from colorjax.train import loop
from colorjax.weights.workdir import Workdir, write_json

log = logging.getLogger(__name__)

MIN_PHOTOS = 20  # of those that are left: fewer teach a network themselves, and measure nothing
RECORD = "finetune.json"
_PARTS = "photos.json"
_PRIOR = "prior.npz"
_KIND = "colorjax finetune"


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
) -> Outcome:
    """Tunes weights on a folder of photos and measures held-out ones before and after.

    The folder `output` is a workdir like that of any run, with `finetune.json`, `finetune.md` and
    `finetune.png` beside; the same call goes on where it was stopped.

    Args:
        base: workdir of a run or of imported weights, or the name of weights that ship.
        data: folder of photos, at any depth.
        output: workdir to make.
        options: see `Options`.

    Raises:
        RequestError: weights, photos or output cannot be used; fewer than 20 photos are left.
    """
    options = options or Options()
    options.check()
    folder, found = Workdir(paths.local(output)), open_base(base)
    source = FolderSource.open(data, labels="none")
    _check_places(folder, Path(source.root))
    record = _read_record(folder)
    config = build_config(found, options)
    if record is None:
        record = _begin(folder, found, source, options)
    else:
        _check_same(record, folder, found, source, options)
    if losses.takes_prior(config.loss.name):
        config.loss.prior = str(_count_colors(folder, source, config.loss))
    config.data.path = str(Path(source.root).resolve())
    config.data.parts = str(folder.root / _PARTS)
    finetune_config.log_trainable_params(config)
    status = loop.train_and_evaluate(config.lock(), str(folder.root))
    if status != loop.DONE:
        return Outcome(status, record)
    report = finetune_report.compare(
        found.name, folder, _photos(source, folder, "eval"), config.seed
    )
    record |= {"held_out": report.content}
    table = finetune_report.markdown(record)
    atomic.write_text(folder.root / "finetune.md", table)
    write_json(folder.root / RECORD, record)
    return Outcome(status, record, table, report.warnings)


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
        assert record["options"]
    except (ValueError, KeyError, TypeError, AssertionError):
        raise RequestError(f"{str(file)!r} is damaged; give another --output") from None
    return record


def _check_same(
    record: dict[str, Any], folder: Workdir, base: Base, source: FolderSource, options: Options
) -> None:
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
    asked = dataclasses.asdict(options)
    others = [name for name, value in record["options"].items() if asked.get(name) != value]
    if others:
        raise RequestError(
            f"--output {str(folder.root)!r} was tuned with another {', '.join(others)}; give the "
            "same command, or another --output"
        )
    log.info("going on with the photos of the first start, see %s", folder.root / _PARTS)


def _begin(
    folder: Workdir,
    base: Base,
    source: FolderSource,
    options: Options,
) -> dict[str, Any]:
    """Looks at the photos, divides them, and writes both files that say so."""
    limits = {"min_side": options.min_side, "min_chroma": options.min_chroma}
    with tqdm(total=len(source), desc="looking at photos", unit="photo", disable=None) as bar:
        found = cleaning.clean(source, **limits, progress=bar.update)
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


def _photos(source: FolderSource, folder: Workdir, part: str) -> Subset:
    """Returns the photos of a part."""
    numbers = {key: number for number, key in enumerate(source.keys)}
    names = part_lists.read(folder.root / _PARTS)[part]
    missing = [name for name in names if name not in numbers]
    if missing:
        raise RequestError(
            f"{len(missing)} photos of the first start are gone, the first {missing[0]!r}; put "
            "them back, or give another --output"
        )
    return Subset(source, np.array([numbers[name] for name in names]))


def _count_colors(folder: Workdir, source: FolderSource, loss: ConfigDict) -> Path:
    """Counts which colours are rare in this domain, once; returns the file that says so.

    A colour that is rare elsewhere and common here would be painted everywhere by the weights of
    another prior.
    """
    file = Path(folder.root / _PRIOR)
    if not file.is_file():
        photos = _photos(source, folder, "train")
        found = prior.count(photos, k=loss.soft_k, sigma=loss.soft_sigma)
        prior.save(file, found, f"{_KIND}, {found.num_photos} photos to train on")
    return file
