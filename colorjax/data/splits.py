"""Which photos train, which choose, which are reported: three disjoint sources."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from colorjax.data.color_filter import find_colored
from colorjax.data.records import ArrayRecordSource
from colorjax.data.sources import FolderSource, Photo, SamplePhotos, Source, digest
from colorjax.data.tfds_source import TfdsSource, overlap
from colorjax.errors import RequestError, unknown_name


@dataclasses.dataclass(frozen=True)
class Subset:
    """Some photos of a source, in the given order."""

    source: Source
    indices: np.ndarray

    @property
    def keys(self) -> Sequence[str]:
        """Names of the photos."""
        keys = self.source.keys
        return [keys[index] for index in self.indices]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, those of the whole source."""
        return self.source.class_names

    def labels(self) -> np.ndarray | None:
        """Class numbers, where known without reading."""
        labels = self.source.labels()
        return None if labels is None else labels[self.indices]

    def fingerprint(self) -> str:
        """Names the photos by those of the source and by which of them these are."""
        return digest(self.source.fingerprint(), self.indices.astype("<i8").tobytes())

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Photo:
        return self.source[int(self.indices[index])]


class Splits(NamedTuple):
    """The three parts of a data set; no photo is in two of them."""

    train: Source
    validation: Source  # to choose by: early stopping, the best checkpoint
    eval: Source  # to report


def hash_fraction(key: str) -> float:
    """Maps a photo's name to a number in [0, 1) that never changes.

    >>> 0 <= hash_fraction("a/1.jpg") < 1
    True
    """
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) / 2**64


def hold_out(source: Source, lower: float, upper: float) -> tuple[Source, Source]:
    """Splits a source in two by the hash of its keys.

    Args:
        source: the photos.
        lower: hashes in [lower, upper) are held out.
        upper: at most 1.

    Returns:
        (kept, held out), each in the source's order. A photo's part depends on its name alone, so
        adding photos moves none.
    """
    hashes = np.array([hash_fraction(key) for key in source.keys])
    held = (lower <= hashes) & (hashes < upper)
    return Subset(source, np.flatnonzero(~held)), Subset(source, np.flatnonzero(held))


def keep_classes(source: Source, classes: Sequence[str]) -> Source:
    """Keeps the photos of some classes.

    Raises:
        RequestError: a class that the source does not have.
    """
    for name in classes:
        if name not in source.class_names:
            raise unknown_name("label in data.classes", name, source.class_names or ["(none)"])
    wanted = [source.class_names.index(name) for name in classes]
    labels = source.labels()
    if labels is None:  # stored in the records: read them once
        labels = np.array([source[index].label for index in range(len(source))])
    return Subset(source, np.flatnonzero(np.isin(labels, wanted)))


def limit(source: Source, number: int) -> Source:
    """Keeps `number` photos, those with the lowest hashes, in the source's order; 0 keeps all."""
    if not 0 < number < len(source):
        return source
    hashes = np.array([hash_fraction("limit:" + key) for key in source.keys])
    return Subset(source, np.sort(np.argsort(hashes, kind="stable")[:number]))


def keep_colored(source: Source, *, drop_grey: bool, min_chroma: float) -> Source:
    """Keeps the photos that have colour; see `colorjax.data.color_filter.find_colored`.

    Args:
        source: the photos.
        drop_grey: leave exactly grey photos out.
        min_chroma: leave photos whose mean chroma, in Lab units, is below this out.

    Returns:
        Those that stay, in the source's order; the source itself where all do. With False and 0
        nothing is read.

    Raises:
        RequestError: `min_chroma` is negative or not finite, or no photo stays.
    """
    found = find_colored(source, drop_grey=drop_grey, min_chroma=min_chroma)
    return source if len(found) == len(source) else Subset(source, found)


def open_splits(data: ConfigDict, class_names: Sequence[str] | None = None) -> Splits:
    """Opens the data that a config names and splits it.

    The photos to report on come from `eval_path` or `eval_split`, else from a share
    `eval_fraction` of the training data; the photos to choose by are a share
    `validation_fraction` of what is left. Photos without colour (`drop_grey`, `min_chroma`) are
    left out of training alone, after `limit`: what is chosen by and what is reported stays the
    same photos, so that numbers of runs with and without the filter can be compared.

    Args:
        data: `config.data`.
        class_names: number the classes of a folder by this list instead of by those found.

    Returns:
        Disjoint sources.

    Raises:
        RequestError: missing data, an unknown name, overlapping paths, or no photo to train on.
    """
    parts = _open_parts(data, class_names)
    # Configs that older versions stored in a workdir lack the two fields.
    drop_grey, min_chroma = data.get("drop_grey") or False, data.get("min_chroma") or 0.0
    return parts._replace(
        train=keep_colored(parts.train, drop_grey=drop_grey, min_chroma=min_chroma)
    )


def _open_parts(data: ConfigDict, class_names: Sequence[str] | None) -> Splits:
    if data.name == "sample_photos":
        return Splits(SamplePhotos("train"), SamplePhotos("validation"), SamplePhotos("eval"))
    opener = _opener(data)
    source = opener(data.path, data.split, class_names)
    reported = None
    if data.eval_path or data.eval_split:
        eval_path, eval_split = data.eval_path or data.path, data.eval_split or data.split
        if not data.name.startswith("tfds:"):
            _refuse_overlap(data.path, eval_path)
        reported = opener(eval_path, eval_split, source.class_names)
        if isinstance(source, TfdsSource) and overlap(source, reported):
            raise RequestError(
                f"data.eval_split {eval_split!r} and data.split {data.split!r} share photos; "
                "give slices that do not, or leave data.eval_split empty"
            )
    if data.classes:
        source = keep_classes(source, data.classes)
        reported = None if reported is None else keep_classes(reported, data.classes)
    share = data.eval_fraction if reported is None else 0.0
    rest, held = hold_out(source, 0.0, share)
    train, validation = hold_out(rest, share, share + data.validation_fraction)
    reported = held if reported is None else reported
    splits = Splits(limit(train, data.limit), validation, limit(reported, data.eval_limit))
    if not len(splits.train):
        raise RequestError(
            f"no photo is left to train on, of {len(source)}; lower data.eval_fraction"
        )
    return splits


def open_data(data: str, data_dir: str = "", split: str = "train") -> Source:
    """Opens all photos of a data set, without labels.

    Args:
        data: a folder of photos or of array_record shards, "tfds:NAME", or "sample_photos".
        data_dir: of TFDS.
        split: of TFDS.

    Raises:
        RequestError: there is no such data.
    """
    if data == "sample_photos":
        return SamplePhotos("train")
    if data.startswith("tfds:"):
        return TfdsSource(data.removeprefix("tfds:"), split, data_dir, with_labels=False)
    if any(Path(data).expanduser().glob("*.array_record*")):
        return ArrayRecordSource(data, with_labels=False)
    return FolderSource.open(data, labels="none")


def _opener(data: ConfigDict) -> Callable[[str, str, Sequence[str] | None], Source]:
    with_labels = data.labels != "none"
    if data.name == "folder":
        return lambda path, split, names: FolderSource.open(
            path, labels=data.labels, class_names=names
        )
    if data.name == "array_record":
        return lambda path, split, names: ArrayRecordSource(path, with_labels=with_labels)
    if data.name.startswith("tfds:"):
        name = data.name.removeprefix("tfds:")
        return lambda path, split, names: TfdsSource(name, split, path, with_labels=with_labels)
    known = ("folder", "tfds:NAME", "array_record", "sample_photos")
    raise unknown_name("data set data.name =", data.name, known)


def _refuse_overlap(path: str, eval_path: str) -> None:
    train, reported = Path(path).resolve(), Path(eval_path).resolve()
    if train == reported or train in reported.parents or reported in train.parents:
        raise RequestError(
            f"data.eval_path {eval_path!r} and data.path {path!r} share photos; leave "
            "data.eval_path empty to hold photos out, or keep the two folders apart"
        )
