"""Draws the photos of a comparison: those measured, and those also displayed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from colorjax.data.decode import decode_rgb
from colorjax.data.selection import splits
from colorjax.errors import RequestError, UnreadablePhoto
from colorjax.runtime.file_names import RESULT_MARK

SHOWN, MEASURED = 8, 200  # default numbers of photos


@dataclasses.dataclass(frozen=True)
class DrawnPhotos:
    """Photos with random access by index, and the order in which they were drawn.

    Attributes:
        keys: name of each photo of the data.
        order: indices of the photos, the displayed ones first.
        num_shown: number of readable photos that are displayed.
        num_measured: number of readable photos that are measured, at least `num_shown`.
        seed: seed of the order; None: the given order.
        folder: folder of the photos, if they are in one.
    """

    keys: Sequence[str]
    order: Sequence[int]
    num_shown: int
    num_measured: int
    seed: int | None
    folder: Path | None
    load: Callable[[int], bytes | np.ndarray]

    def read(self, number: int) -> np.ndarray:
        """Returns a photo, (H, W, 3) uint8, upright.

        Raises:
            UnreadablePhoto: it is not a photo, or the file cannot be read.
        """
        try:
            return decode_rgb(self.load(number))
        except OSError as error:
            raise UnreadablePhoto(error.strerror or str(error)) from error

    def readable(self, unreadable: list[str]) -> Iterator[tuple[int, np.ndarray]]:
        """Yields (index, photo) of those to measure; appends the others to `unreadable`."""
        left = self.num_measured
        for number in self.order:
            if not left:
                return
            try:
                photo = self.read(number)
            except UnreadablePhoto as error:
                unreadable.append(f"{self.keys[number]}: {error}")
                continue
            left -= 1
            yield number, photo


def choose(
    data: Sequence[str | os.PathLike[str]],
    *,
    split: str = "train",
    data_dir: str = "",
    photos: int | None = None,
    metric_photos: int | None = None,
    seed: int | None = None,
) -> DrawnPhotos:
    """Opens data and draws photos from it.

    Args:
        data: photo files, or one folder of photos or other data that `splits.open_data` knows.
        split: split of TFDS.
        data_dir: data folder of TFDS.
        photos: number displayed; None: 8, or all files if files are given without a seed.
        metric_photos: number measured, including the displayed ones; 0: all; None: 200, or the
            number displayed if that is larger.
        seed: seed of the random order, in which a larger number starts with the same photos as a
            smaller one; None: 0, or the given order if files are given without `photos`.

    Raises:
        RequestError: data not found, several data sets, or invalid numbers.
    """
    _check_numbers(photos, metric_photos, seed)
    names = [os.fspath(name) for name in data]
    if not names or not all(names):
        raise RequestError("no photos; give --data a folder, photo files, or tfds:NAME")
    paths = [Path(name).expanduser() for name in names]
    folder = None
    if all(path.is_file() for path in paths):
        keys, load = _keys_of_files(paths), lambda number: paths[number].read_bytes()
        in_order = photos is None and seed is None
    else:
        source = _open(names, split, data_dir)
        keys, load = source.keys, lambda number: source[number].image
        folder, in_order = (paths[0] if paths[0].is_dir() else None), False
    numbers = np.arange(len(keys))
    if folder is not None:
        numbers = _photos_without_results(keys)
    if not in_order:
        seed = seed or 0
        numbers = np.random.default_rng(seed).permutation(numbers)
    num_measured = len(numbers) if metric_photos == 0 else metric_photos
    num_shown = len(numbers) if in_order else SHOWN if photos is None else photos
    if num_measured is None:
        num_measured = max(MEASURED, num_shown)
    elif in_order and num_measured < num_shown:
        raise RequestError(
            f"--metric-photos must be at least the {num_shown} photos given, not {num_measured}; "
            "give a --seed to draw from them"
        )
    elif photos is None:
        num_shown = min(num_shown, num_measured)
    return DrawnPhotos(keys, numbers.tolist(), num_shown, num_measured, seed, folder, load)


def _check_numbers(photos: int | None, metric_photos: int | None, seed: int | None) -> None:
    if photos is not None and photos < 1:
        raise RequestError(f"--photos must be at least 1, not {photos}")
    if metric_photos is not None and metric_photos < 0:
        raise RequestError(f"--metric-photos must be at least 0 (0: all), not {metric_photos}")
    if photos and metric_photos and metric_photos < photos:
        raise RequestError(
            f"the {photos} photos displayed are also measured: --metric-photos must be at least "
            f"{photos}, or 0 for all, not {metric_photos}"
        )
    if seed is not None and seed < 0:
        raise RequestError(f"--seed must be at least 0, not {seed}")


def _open(names: Sequence[str], split: str, data_dir: str) -> splits.Source:
    for name in names:
        is_named = name in ("sample_photos", "cifar10") or name.startswith("tfds:")
        if not is_named and not Path(name).expanduser().exists():
            raise RequestError(
                f"--data {name!r} does not exist; give a folder, photo files, or tfds:NAME"
            )
    if len(names) > 1:
        raise RequestError(
            "--data must be one folder, one data set, or only photo files; do not mix them"
        )
    return splits.open_data(names[0], data_dir, split)


def _keys_of_files(paths: Sequence[Path]) -> list[str]:
    """Returns the names of files: their paths relative to their common folder."""
    whole = [os.path.abspath(path) for path in paths]
    twice = next((path for path in whole if whole.count(path) > 1), None)
    if twice:
        raise RequestError(f"--data {twice!r} is given twice; give it once")
    root = os.path.commonpath([os.path.dirname(path) for path in whole])
    return [Path(path).relative_to(root).as_posix() for path in whole]


def _photos_without_results(keys: Sequence[str]) -> np.ndarray:
    """Returns the indices of the photos of a folder, without results written by `colorize`."""
    stems = [str(PurePosixPath(key).with_suffix("")) for key in keys]
    known = set(stems)
    own = [
        not (stem.endswith(RESULT_MARK) and stem.removesuffix(RESULT_MARK) in known)
        for stem in stems
    ]
    return np.flatnonzero(own)
