"""Fine-tunes weights on the user's photos with the training loop, and reports the result."""

from __future__ import annotations

import dataclasses
import logging
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from colorjax import losses, methods
from colorjax.data import prior
from colorjax.data.selection import cleaning, part_lists
from colorjax.data.sources.source import FolderSource
from colorjax.data.sources.subsets import Subset, hash_fraction
from colorjax.errors import DONE, RequestError, path_given_as
from colorjax.finetune import config as finetune_config
from colorjax.finetune import report as finetune_report
from colorjax.finetune.config import Base, Options, build_config, open_base
from colorjax.runtime import atomic, foreign_files, paths, waiting
from colorjax.train import loop
from colorjax.weights.workdir import Workdir, write_json

log = logging.getLogger(__name__)

MIN_PHOTOS = 20  # after cleaning: with fewer a network overfits, and the test is meaningless
RECORD = "finetune.json"
_PARTS = "photos.json"
_PRIOR = "prior.npz"
_KIND = "colorjax finetune"


class FinetuneResult(NamedTuple):
    """Result of `finetune`.

    Attributes:
        status: 0: done; 75: stopped by a signal, the same command continues.
        record: the content of finetune.json.
        table: Markdown; empty if it was stopped.
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
) -> FinetuneResult:
    """Fine-tunes weights on a folder of photos and compares them with the base on held-out photos.

    The folder `output` is a workdir like that of any run, plus `finetune.json`, `finetune.md` and
    `finetune.png`. The same call continues a run that was stopped.

    Args:
        base: workdir of a run or of imported weights, or the name of shipped weights.
        data: folder of photos, at any depth.
        output: workdir to create.
        options: see `Options`.

    Raises:
        RequestError: weights, photos or output cannot be used; fewer than 20 usable photos.
    """
    options = options or Options()
    options.check()
    folder, opened = Workdir(paths.local(output)), open_base(base)
    with path_given_as("--data"):
        source = FolderSource.open(data, labels="none")
    _check_output(folder, Path(source.root))
    record = _read_record(folder)
    config = build_config(opened, options)
    # Checks the config too, before photos are read.
    finetune_config.log_trainable_params(methods.build(config))
    if record is None:
        record = _begin(folder, opened, source, options)
    else:
        _check_same(record, folder, opened, source, options)
    if "prior" in losses.find(config.loss.name).options:
        config.loss.prior = str(_count_colors(folder, source, config.loss))
    config.data.path = str(Path(source.root).resolve())
    config.data.parts = str(folder.root / _PARTS)
    status = loop.train_and_evaluate(config.lock(), str(folder.root))
    if status != DONE:
        return FinetuneResult(status, record)
    report = finetune_report.compare(
        opened.name, folder, _photos(source, folder, "eval"), config.seed
    )
    record |= {"held_out": report.content}
    table = finetune_report.markdown(record)
    atomic.write_text(folder.root / "finetune.md", table)
    write_json(folder.root / RECORD, record)
    return FinetuneResult(status, record, table, report.warnings)


def _check_output(folder: Workdir, data: Path) -> None:
    if Path(folder.root).is_relative_to(data.resolve()):
        raise RequestError(
            f"--output {str(folder.root)!r} is inside --data, and its pictures would count as "
            "photos; give another --output"
        )


def _read_record(folder: Workdir) -> dict[str, Any] | None:
    """Returns the record of an earlier start, if any."""
    file = folder.root / RECORD
    if not file.is_file():
        if folder.config_file.is_file() or folder.checkpoints.is_dir():
            raise RequestError(
                f"--output {str(folder.root)!r} holds another run; give another --output"
            )
        return None
    try:
        record = foreign_files.read_json(file)
        assert record["kind"] == _KIND
        assert record["base"]["sha256"]
        assert record["photos"]["folder"]
        assert isinstance(record["options"], dict)
        assert record["photos"].keys() >= {"found", "kept", "left_out", "names_left_out"}
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError):
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
    requested = dataclasses.asdict(options)
    others = [name for name, value in record["options"].items() if requested.get(name) != value]
    if others:
        raise RequestError(
            f"--output {str(folder.root)!r} was made with different {', '.join(others)}; use the "
            "same options, or another --output"
        )
    log.info("continuing with the photos of the first start, see %s", folder.root / _PARTS)


def _begin(
    folder: Workdir,
    base: Base,
    source: FolderSource,
    options: Options,
) -> dict[str, Any]:
    """Cleans and splits the photos, and writes the lists and the record."""
    limits = {"min_side": options.min_side, "min_chroma": options.min_chroma}
    with (
        tqdm(total=len(source), desc="checking photos", unit="photo", disable=None) as bar,
        waiting.ticking(bar),
    ):
        cleaned = cleaning.clean(source, **limits, progress=bar.update)
    counts = {reason: len(names) for reason, names in cleaned.left_out.items()}
    reasons = describe_left_out(counts)
    if len(cleaned.kept) < MIN_PHOTOS:
        raise RequestError(
            f"{len(cleaned.kept)} of {len(source)} photos are usable ({reasons}), but {MIN_PHOTOS} "
            "are needed; give more photos, or lower --min-side or --min-chroma"
        )
    log.info("photos: %d of %d are usable; %s", len(cleaned.kept), len(source), reasons)
    parts = divide([source.keys[i] for i in cleaned.kept], options.held_out, options.chosen_by)
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
            "kept": len(cleaned.kept),
            "left_out": counts,
            "names_left_out": cleaned.left_out,
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
    """Returns how many photos are excluded, and why.

    >>> describe_left_out({"tiny": 2, "grey": 0})
    'excluded: 2 are too small'
    """
    parts = [
        f"{counts[reason]} {why}" for reason, why in cleaning.REASONS.items() if counts.get(reason)
    ]
    return "excluded: " + (", ".join(parts) or "none")


def divide(names: list[str], held_out: float, chosen_by: float) -> dict[str, list[str]]:
    """Splits photos in the order of the hashes of their names, so that the shares are exact.

    Args:
        names: of the photos.
        held_out: share of the test photos, at least 4 photos.
        chosen_by: share of the validation photos, at least 2.

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
    """Returns the photos of a split."""
    numbers = {key: number for number, key in enumerate(source.keys)}
    names = part_lists.read(folder.root / _PARTS)[part]
    missing = [name for name in names if name not in numbers]
    if missing:
        raise RequestError(
            f"{len(missing)} photos of the first start are missing, the first is {missing[0]!r}; "
            "put them back, or give another --output"
        )
    return Subset(source, np.array([numbers[name] for name in names]))


def _count_colors(folder: Workdir, source: FolderSource, loss: ConfigDict) -> Path:
    """Returns the file with the color prior of the training photos; counts it once.

    With the prior of other photos, a color that is rare there and common here would be painted
    everywhere.
    """
    file = Path(folder.root / _PRIOR)
    if not file.is_file():
        photos = _photos(source, folder, "train")
        counts = prior.count(photos, k=loss.soft_k, sigma=loss.soft_sigma)
        prior.save(file, counts, f"{_KIND}, {counts.num_photos} training photos")
    return file
