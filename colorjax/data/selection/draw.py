"""Which photos are compared, and which of them are shown."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from colorjax.data.decode import decode_rgb
from colorjax.data.selection import splits
from colorjax.errors import RequestError, UnreadablePhoto
from colorjax.runtime.file_names import MARK

SHOWN, MEASURED = 8, 200  # photos, where nothing else is asked for


@dataclasses.dataclass(frozen=True)
class Photos:
    """Photos that can be asked for by number, in the order in which they are drawn.

    Attributes:
        keys: name of each photo of the data.
        order: numbers of the photos, the shown ones first.
        num_shown: how many of the readable ones are shown.
        num_measured: how many of the readable ones are measured, at least `num_shown`.
        seed: of the order; None: as given.
        folder: where the photos are, if they are in a folder.
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
            UnreadablePhoto: it is none, or the file cannot be read.
        """
        try:
            return decode_rgb(self.load(number))
        except OSError as error:
            raise UnreadablePhoto(error.strerror or str(error)) from error

    def readable(self, unreadable: list[str]) -> Iterator[tuple[int, np.ndarray]]:
        """Iterates over (number, photo) of those to measure; names the others in `unreadable`."""
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
) -> Photos:
    """Opens data and draws photos from it.

    Args:
        data: photo files, or one folder of photos or other data that `splits.open_data` knows.
        split: of TFDS.
        data_dir: of TFDS.
        photos: how many are shown; None: 8, or all files where files are given without a seed.
        metric_photos: how many are measured, the shown ones among them; 0: all; None: 200, or as
            many as are shown where that is more.
        seed: of the random order, in which more photos of either kind begin with the fewer; None:
            0, or the given order where files are given without a number to show.

    Raises:
        RequestError: no such data, several data sets, or numbers that mean nothing.
    """
    _check_numbers(photos, metric_photos, seed)
    words = [os.fspath(word) for word in data]
    if not words or not all(words):
        raise RequestError("no photos; give --data a folder, photo files, or tfds:NAME")
    paths = [Path(word).expanduser() for word in words]
    folder = None
    if all(path.is_file() for path in paths):
        keys, load = _keys_of_files(paths), lambda number: paths[number].read_bytes()
        in_order = photos is None and seed is None
    else:
        source = _open(words, split, data_dir)
        keys, load = source.keys, lambda number: source[number].image
        folder, in_order = (paths[0] if paths[0].is_dir() else None), False
    numbers = np.arange(len(keys))
    if folder is not None:
        numbers = _photos_alone(keys)
    if not in_order:
        seed = seed or 0
        numbers = np.random.default_rng(seed).permutation(numbers)
    measured = len(numbers) if metric_photos == 0 else metric_photos
    shown = len(numbers) if in_order else SHOWN if photos is None else photos
    if measured is None:
        measured = max(MEASURED, shown)
    elif in_order and measured < shown:
        raise RequestError(
            f"--metric-photos is at least the {shown} photos given, not {measured}; give a --seed "
            "to draw from them"
        )
    elif photos is None:
        shown = min(shown, measured)
    return Photos(keys, numbers.tolist(), shown, measured, seed, folder, load)


def _check_numbers(photos: int | None, metric_photos: int | None, seed: int | None) -> None:
    if photos is not None and photos < 1:
        raise RequestError(f"--photos is at least 1, not {photos}")
    if metric_photos is not None and metric_photos < 0:
        raise RequestError(f"--metric-photos is at least 0, which means all, not {metric_photos}")
    if photos and metric_photos and metric_photos < photos:
        raise RequestError(
            f"the {photos} photos shown are among those measured: --metric-photos is at least "
            f"that, or 0 for all, not {metric_photos}"
        )
    if seed is not None and seed < 0:
        raise RequestError(f"--seed is at least 0, not {seed}")


def _open(words: Sequence[str], split: str, data_dir: str) -> splits.Source:
    for word in words:
        is_named = word in ("sample_photos", "cifar10") or word.startswith("tfds:")
        if not is_named and not Path(word).expanduser().exists():
            raise RequestError(
                f"--data {word!r} does not exist; give a folder, photo files, or tfds:NAME"
            )
    if len(words) > 1:
        raise RequestError("--data is one folder or data set, or photo files alone; give one kind")
    return splits.open_data(words[0], data_dir, split)


def _keys_of_files(paths: Sequence[Path]) -> list[str]:
    """Names files by their paths below the folder that they have in common."""
    whole = [os.path.abspath(path) for path in paths]
    twice = next((path for path in whole if whole.count(path) > 1), None)
    if twice:
        raise RequestError(f"--data {twice!r} is given twice; give it once")
    root = os.path.commonpath([os.path.dirname(path) for path in whole])
    return [Path(path).relative_to(root).as_posix() for path in whole]


def _photos_alone(keys: Sequence[str]) -> np.ndarray:
    """Numbers the photos of a folder, without the results that `colorize` left beside them."""
    places = [str(PurePosixPath(key).with_suffix("")) for key in keys]
    known = set(places)
    own = [not (place.endswith(MARK) and place.removesuffix(MARK) in known) for place in places]
    return np.flatnonzero(own)
