"""What is compared: trained weights, and folders of pictures that some other program finished."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from colorjax.data.decode import decode_rgb
from colorjax.data.sources.source import FolderSource
from colorjax.errors import RequestError, UnreadablePhoto
from colorjax.inference.colorizer import Colorizer
from colorjax.runtime.file_names import MARK
from colorjax.weights import named as shipped

GREY, TRUTH = "grey", "truth"  # columns that every comparison has
WEIGHTS, PICTURES = "weights", "pictures"
_MAX_NAME = 100  # characters; it names a folder


class Method(NamedTuple):
    """One of the methods compared."""

    name: str  # of its column and its folder of pictures
    place: str  # a workdir, the name of weights that ship, or a folder of pictures
    kind: str  # WEIGHTS or PICTURES


def parse(words: Sequence[str | os.PathLike[str]]) -> list[Method]:
    """Reads methods written as `[NAME=]PLACE`.

    A PLACE may hold "=": a word is split only where it names no weights and no folder as it is.

    Raises:
        RequestError: no word, a place that is none, or a name that is bad, reserved or repeated.
    """
    if not words:
        raise RequestError("no method is given; name workdirs, weights that ship, or folders")
    found: dict[str, Method] = {}
    for word in words:
        method = _parse(os.fspath(word))
        first = found.setdefault(method.name.casefold(), method)  # some disks ignore the case
        if first is not method:
            raise RequestError(
                f"two methods are named {method.name!r}, {first.place!r} and {method.place!r}; "
                "give NAME=PLACE"
            )
    return list(found.values())


def _parse(word: str) -> Method:
    name, equals, place = word.partition("=")
    if not equals or "/" in name or _kind(word):
        place = word
        name = word if shipped.ships(word) else Path(os.path.abspath(_path(word))).name
    kind = _kind(place)
    if kind is None:
        raise RequestError(
            f"{place!r} is no method: neither a folder of pictures, nor the workdir of a run or of "
            f"imported weights, nor weights that ship: {', '.join(shipped.SHA256)}"
        )
    if name.casefold() in (GREY, TRUTH):
        raise RequestError(f"every comparison has a column {name!r}; give another NAME={place}")
    is_folder_name = name.isprintable() and not set(name) & set("/\\") and name not in (".", "..")
    if not name.strip() or not is_folder_name or len(name) > _MAX_NAME:
        raise RequestError(
            f"a method's name becomes that of a folder, at most {_MAX_NAME} characters without "
            f"slashes, not {name!r}; give NAME={place}"
        )
    return Method(name, place, kind)


def _kind(place: str) -> str | None:
    if shipped.ships(place) or (_path(place) / "config.json").is_file():
        return WEIGHTS
    return PICTURES if place and _path(place).is_dir() else None


def _path(place: str) -> Path:
    return Path(place).expanduser()


class Weights:
    """Pictures that trained weights make of grey photos."""

    def __init__(self, method: Method):
        """Loads the weights.

        Raises:
            RequestError: they cannot be loaded; see `Colorizer.load`.
        """
        place = method.place if shipped.ships(method.place) else _path(method.place)
        self._colorizer = Colorizer.load(place)
        self.step = self._colorizer.step

    def picture(self, key: str, truth: np.ndarray, grey: np.ndarray) -> np.ndarray:
        """Returns the colours of a photo, (H, W, 3) uint8; only `grey` is looked at."""
        return self._colorizer.colorize(grey)


class Pictures:
    """Finished pictures in a folder, found by the names of the photos."""

    def __init__(self, method: Method, keys: Sequence[str]):
        """Lists the pictures.

        Args:
            method: whose place is the folder.
            keys: names of all photos of the data, by which a stem is unique or is not.

        Raises:
            RequestError: the folder holds no picture.
        """
        self._root = _path(method.place)
        try:
            found = FolderSource.open(self._root, labels="none").keys
        except RequestError:
            raise RequestError(
                f"{method.place!r} holds no pictures, and no config.json of a run either"
            ) from None
        self._name = method.name
        self._exact = frozenset(found)
        self._by_place: dict[str, list[str]] = defaultdict(list)  # without suffix
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for name in found:
            self._by_place[_without_suffix(name)].append(name)
            self._by_stem[PurePosixPath(_without_suffix(name)).name].append(name)
        self._same_stem = Counter(PurePosixPath(_without_suffix(key)).name for key in keys)

    def find(self, key: str) -> str:
        """Returns the name of the picture of a photo.

        In this order: of the same place NAME.color.*, the very name, NAME.*; then, of a photo whose
        stem no other photo has, anywhere NAME.color.*, NAME.*. A coloured copy goes before a
        picture of the photo's own name, as that may be the photo itself.

        Raises:
            RequestError: there is none, or more than one.
        """
        place = _without_suffix(key)
        stem = PurePosixPath(place).name
        choices = [
            self._by_place.get(place + MARK, []),
            [key] if key in self._exact else [],
            self._by_place.get(place, []),
        ]
        if self._same_stem[stem] == 1:
            choices += [self._by_stem.get(stem + MARK, []), self._by_stem.get(stem, [])]
        names = next(filter(None, choices), [])
        if len(names) == 1:
            return names[0]
        if names:
            raise RequestError(
                f"{self._name}: {names[0]!r} and {names[1]!r} in {str(self._root)!r} could both "
                f"show {key!r}; leave one there"
            )
        raise RequestError(
            f"{self._name}: {str(self._root)!r} has no picture of {key!r}; wanted {place}.png, "
            f"{place}{MARK}.png or another suffix"
        )

    def path_of(self, key: str) -> Path:
        """Returns the file of a photo's picture; raises as `find`."""
        return self._root / self.find(key)

    def picture(self, key: str, truth: np.ndarray, grey: np.ndarray) -> np.ndarray:
        """Reads the picture of a photo, (H, W, 3) uint8.

        Raises:
            RequestError: missing, unreadable, or of another size than the photo.
        """
        path = self.path_of(key)
        try:
            found = decode_rgb(path.read_bytes())
        except (OSError, UnreadablePhoto) as error:
            raise RequestError(f"{self._name}: {str(path)!r} cannot be read: {error}") from None
        if found.shape != truth.shape:
            raise RequestError(
                f"{self._name}: {str(path)!r} has {_size(found)} pixels and the photo {key!r} "
                f"{_size(truth)}; the sizes have to be equal"
            )
        return found


def _without_suffix(key: str) -> str:
    return str(PurePosixPath(key).with_suffix("")) if PurePosixPath(key).name else key


def _size(rgb: np.ndarray) -> str:
    return f"{rgb.shape[1]}x{rgb.shape[0]}"
