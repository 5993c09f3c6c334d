"""Splits a data set into disjoint training, validation and test (eval) sources."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from colorjax.data.selection import hues, part_lists
from colorjax.data.selection.color_filter import find_colored, find_hues
from colorjax.data.sources import cifar10
from colorjax.data.sources.cifar10 import Cifar10Source
from colorjax.data.sources.records import ArrayRecordSource
from colorjax.data.sources.source import FolderSource, SamplePhotos, Source, digest
from colorjax.data.sources.subsets import Subset, hold_out, limit
from colorjax.data.sources.tfds import TfdsSource, overlap
from colorjax.errors import RequestError, path_given_as, unknown_name

log = logging.getLogger(__name__)

_MODES = ("hash", "random", "hue")  # values of data.validation


class Splits(NamedTuple):
    """The three disjoint parts of a data set."""

    train: Source
    validation: Source  # for model selection: early stopping, the best checkpoint
    eval: Source  # for final reporting


class Sources(NamedTuple):
    """All photos of a data set, listed but neither split nor filtered."""

    photos: Source
    eval: Source | None  # the test photos if they are given separately

    @property
    def num_classes(self) -> int:
        """Number of classes of the photos; 0 without labels."""
        return len(self.photos.class_names)


def random_split(number: int, fraction: float, seed: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Splits photos at random.

    Args:
        number: number of photos.
        fraction: share that is held out, rounded to whole photos: the first ones of a permutation
            by NumPy's legacy generator, as in the original.
        seed: seed of that generator; the original's is 24.

    Returns:
        (train, validation): indices of the photos, int64, ascending; training shuffles them.
    """
    order = np.random.RandomState(seed).permutation(number)
    held = round(fraction * number)
    return np.sort(order[held:]), np.sort(order[:held])


def hue_balanced_split(
    mean_hues: np.ndarray, every: int = 10, drop_lowest: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Splits photos so that both parts have similar hues: every k-th in hue order is held out.

    Args:
        mean_hues: (N,), mean hue of each photo; NaN, of an unreadable photo, is never held out.
        every: the first photo in hue order is held out, and each `every`-th after it; 0: none.
        drop_lowest: this many photos with the lowest hues are left out first; the original drops
            582 to remove gray photos, whose hue is 0.

    Returns:
        (train, validation): indices of the photos, int64, ascending; training shuffles them. Photos
        of equal hue are ordered by index: the split is not random.

    Raises:
        RequestError: `drop_lowest` is negative or leaves no photo.
    """
    order = np.argsort(mean_hues, kind="stable")  # NaN comes last
    readable = len(order) - int(np.isnan(mean_hues).sum())
    if not 0 <= drop_lowest < max(readable, 1):
        raise RequestError(
            f"data.drop_lowest_hue must be from 0 to {max(readable - 1, 0)} with {readable} "
            f"photos, not {drop_lowest}"
        )
    ranked = order[drop_lowest:readable]
    is_held = np.arange(len(ranked)) % every == 0 if every else np.zeros(len(ranked), bool)
    train = np.concatenate([ranked[~is_held], order[readable:]])
    return np.sort(train), np.sort(ranked[is_held])


def keep_classes(source: Source, classes: Sequence[str]) -> Source:
    """Returns the photos of some classes.

    Raises:
        RequestError: a class that is not in the source.
    """
    for name in classes:
        if name not in source.class_names:
            raise unknown_name("label in data.classes", name, source.class_names or ["(none)"])
    wanted = [source.class_names.index(name) for name in classes]
    labels = source.labels()
    if labels is None:  # stored in the records: they are read once
        labels = np.array([source[index].label for index in range(len(source))])
    return Subset(source, np.flatnonzero(np.isin(labels, wanted)))


def keep_colored(
    source: Source, *, drop_grey: bool, min_chroma: float, low_chroma_rate: float = 0.0
) -> Source:
    """Returns the photos with enough color.

    See `colorjax.data.selection.color_filter.find_colored`.

    Args:
        source: the photos.
        drop_grey: leave out exactly gray photos.
        min_chroma: leave out photos whose mean chroma, in Lab units, is below this.
        low_chroma_rate: share of the low-chroma photos to keep.

    Returns:
        The kept photos, in the source's order; the source itself if all are kept. With False and 0
        nothing is read.

    Raises:
        RequestError: `min_chroma` is negative or not finite, or no photo is kept.
    """
    kept = find_colored(
        source, drop_grey=drop_grey, min_chroma=min_chroma, low_chroma_rate=low_chroma_rate
    )
    return source if len(kept) == len(source) else Subset(source, kept)


def open_splits(data: ConfigDict, class_names: Sequence[str] | None = None) -> Splits:
    """Opens the data of a config and splits it: `open_sources`, then `split`."""
    return split(open_sources(data, class_names), data)


def open_sources(data: ConfigDict, class_names: Sequence[str] | None = None) -> Sources:
    """Lists the photos and the classes of the data of a config; reads no photo.

    Args:
        data: `config.data`.
        class_names: class names of a folder in the order of their ids, instead of those detected.

    Raises:
        RequestError: missing data, an unknown name, or overlapping paths.
    """
    _check_validation(data)
    if data.name == "sample_photos":
        return Sources(SamplePhotos("train"), SamplePhotos("eval"))
    opener = _opener(data)
    source = opener(data.path, data.split, class_names)
    if data.get("parts") or not (data.eval_path or data.eval_split):
        return Sources(source, None)
    eval_path, eval_split = data.eval_path or data.path, data.eval_split or data.split
    if not isinstance(source, TfdsSource | Cifar10Source):
        _refuse_overlap(data.path, eval_path)
    with path_given_as("data.eval_path"):
        reported = opener(eval_path, eval_split, source.class_names)
    tfds_overlap = isinstance(source, TfdsSource) and overlap(source, reported)
    if tfds_overlap or cifar10.overlap(source, reported):
        raise RequestError(
            f"data.eval_split {eval_split!r} and data.split {data.split!r} share photos; "
            "give slices that do not overlap, or leave data.eval_split empty"
        )
    return Sources(source, reported)


def split(sources: Sources, data: ConfigDict) -> Splits:
    """Splits the data of a config; the color filter and the validation by hue read photos.

    The test photos come from `eval_path` or `eval_split`, else they are a share `eval_fraction` of
    the training data. The validation photos are a share `validation_fraction` of the rest, drawn
    as specified by `validation`. The color filter (`drop_grey`, `min_chroma`, `low_chroma_rate`)
    never applies to the test photos. With `validation=hash` it applies only to training, after
    `limit`, so that runs with and without the filter share their validation photos and can be
    compared. With `random` and `hue` it applies before the two parts are drawn, as in the original.

    Alternatively, a file `parts` assigns the photos to the parts (see
    `colorjax.data.selection.part_lists`).

    Args:
        sources: of the same config.
        data: `config.data`.

    Returns:
        Disjoint sources.

    Raises:
        RequestError: an unknown class, or no training photos.
    """
    parts = _split(sources, data)
    if _is_drawn(data):
        return parts
    return parts._replace(train=keep_colored(parts.train, **_colors_wanted(data)))


# Configs stored in workdirs by older versions lack the fields read with `get` below.


def _validation_mode(data: ConfigDict) -> str:
    return data.get("validation") or "hash"


def _is_drawn(data: ConfigDict) -> bool:
    """Returns whether validation photos are drawn; sample_photos has fixed parts."""
    return data.name != "sample_photos" and _validation_mode(data) != "hash"


def _colors_wanted(data: ConfigDict) -> dict[str, Any]:
    return {
        "drop_grey": data.get("drop_grey") or False,
        "min_chroma": data.get("min_chroma") or 0.0,
        "low_chroma_rate": data.get("low_chroma_rate") or 0.0,
    }


def _check_validation(data: ConfigDict) -> None:
    if _validation_mode(data) not in _MODES:
        raise unknown_name("data.validation =", _validation_mode(data), _MODES)
    mean, share = data.get("hue_mean") or "arithmetic", data.validation_fraction
    if mean not in hues.MEANS:
        raise unknown_name("data.hue_mean =", mean, hues.MEANS)
    if data.get("drop_lowest_hue") and _validation_mode(data) != "hue":
        raise RequestError(
            "data.drop_lowest_hue needs data.validation=hue; set that, or "
            "data.drop_lowest_hue=0 and data.drop_grey=True"
        )
    if _validation_mode(data) != "hash" and not 0 <= share <= 0.5:
        raise RequestError(f"data.validation_fraction must be from 0 to 0.5, not {share}")


def _draw(source: Source, data: ConfigDict) -> tuple[Source, Source]:
    """Applies the color filter and draws validation photos; returns (train, validation)."""
    kept = find_colored(source, **_colors_wanted(data))
    share = data.validation_fraction
    if _validation_mode(data) == "random":
        seed = data.get("split_seed")
        train, validation = random_split(len(kept), share, 24 if seed is None else seed)
    else:
        mean_hues = find_hues(source, data.get("hue_mean") or "arithmetic")[kept]
        dropped = data.get("drop_lowest_hue") or 0
        train, validation = hue_balanced_split(mean_hues, round(1 / share) if share else 0, dropped)
    counts = len(source), _validation_mode(data), len(train), len(validation)
    log.info("%d photos, data.validation=%s: %d for training, %d for validation", *counts)
    return Subset(source, kept[train]), Subset(source, kept[validation])


def _split(sources: Sources, data: ConfigDict) -> Splits:
    source, reported = sources
    if isinstance(source, SamplePhotos):
        return Splits(source, SamplePhotos("validation"), SamplePhotos("eval"))
    if data.get("parts"):
        return Splits(*part_lists.open_parts(source, data.parts))
    if data.classes:
        source = keep_classes(source, data.classes)
        reported = None if reported is None else keep_classes(reported, data.classes)
    share = data.eval_fraction if reported is None else 0.0
    rest, held = hold_out(source, 0.0, share)
    if _is_drawn(data):
        train, validation = _draw(rest, data)
    else:
        train, validation = hold_out(rest, share, share + data.validation_fraction)
    reported = held if reported is None else reported
    splits = Splits(limit(train, data.limit), validation, limit(reported, data.eval_limit))
    if not len(splits.train):
        raise RequestError(
            f"none of {len(source)} photos remains for training; lower data.eval_fraction"
        )
    return splits


def indices(parts: Splits) -> dict[str, np.ndarray]:
    """Returns the indices of the photos of each part in the source that they come from.

    Args:
        parts: result of `open_splits`.

    Returns:
        "train", "validation" and "eval", each (N,) int64: indices into `keys` of the source opened
        with `data.path` and `data.split` (eval: `data.eval_path`, `data.eval_split`).
    """
    return {name: _numbers(part) for name, part in parts._asdict().items()}


def summary(parts: Splits) -> str:
    """Returns a digest of the photos of each part, which must be equal on all hosts of a run."""
    return digest(*(f"{len(part)} {key}" for part in parts for key in part.keys))


def _numbers(source: Source, within: Source | None = None) -> np.ndarray:
    if source is within or not isinstance(source, Subset):
        return np.arange(len(source))
    return _numbers(source.source, within)[source.indices].astype(np.int64)


def hue_histograms(parts: Splits, data: ConfigDict) -> Image.Image | None:
    """Draws histograms of the hues of training and validation photos.

    Photos that are not in the cache are measured.

    Args:
        parts: result of `open_splits`.
        data: `config.data` with which they were opened.

    Returns:
        The picture of `colorjax.data.selection.hues.histograms`; None unless validation photos are
        drawn at random or by hue.
    """
    if not _is_drawn(data):
        return None
    assert isinstance(parts.validation, Subset)  # by `_draw`
    drawn_from, mean = parts.validation.source, data.get("hue_mean") or "arithmetic"
    mean_hues = find_hues(drawn_from, mean)
    train, validation = (
        mean_hues[_numbers(part, drawn_from)] for part in (parts.train, parts.validation)
    )
    caption = f"{mean} mean hue of a photo; data.validation={_validation_mode(data)}"
    return hues.histograms(train, validation, caption=caption)


def open_data(data: str, data_dir: str = "", split: str = "train") -> Source:
    """Opens all photos of a data set, without labels.

    Args:
        data: a folder of photos or of array_record shards, "tfds:NAME", "cifar10", or
            "sample_photos".
        data_dir: data folder of TFDS, or folder of the CIFAR-10 files.
        split: split of TFDS or CIFAR-10.

    Raises:
        RequestError: the data does not exist.
    """
    with path_given_as("DATA"):
        if data == "sample_photos":
            return SamplePhotos("train")
        if data == "cifar10":
            return Cifar10Source(data_dir, split, with_labels=False)
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
    if data.name == "cifar10":
        verify = data.get("verify") is not False
        return lambda path, split, names: Cifar10Source(
            path, split, with_labels=with_labels, verify=verify
        )
    known = ("folder", "tfds:NAME", "array_record", "cifar10", "sample_photos")
    raise unknown_name("data set data.name =", data.name, known)


def _refuse_overlap(path: str, eval_path: str) -> None:
    train, reported = Path(path).resolve(), Path(eval_path).resolve()
    if train == reported or train in reported.parents or reported in train.parents:
        raise RequestError(
            f"data.eval_path {eval_path!r} and data.path {path!r} share photos; leave "
            "data.eval_path empty to hold photos out, or give two separate folders"
        )
