"""The compared methods: trained weights, and folders of pictures of other programs."""

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
from colorjax.runtime.file_names import RESULT_MARK
from colorjax.weights.open import are_weights, no_such_weights

GRAY, TRUTH = "grey", "truth"  # columns of every comparison
WEIGHTS, PICTURES = "weights", "pictures"
_MAX_NAME = 100  # characters; it names a folder


class Method(NamedTuple):
    """One of the methods compared."""

    name: str  # of its column and its folder of pictures
    source: str  # a workdir, the name of shipped weights, or a folder of pictures
    kind: str  # WEIGHTS or PICTURES


def parse(texts: Sequence[str | os.PathLike[str]]) -> list[Method]:
    """Returns methods given as `[NAME=]PLACE`.

    A PLACE may contain "=": text that names weights or a folder as a whole is not split.

    Raises:
        RequestError: no methods, an invalid PLACE, or an invalid, reserved or repeated name.
    """
    if not texts:
        raise RequestError("no method given; name workdirs, shipped weights, or picture folders")
    methods: dict[str, Method] = {}
    for text in texts:
        method = _parse(os.fspath(text))
        first = methods.setdefault(method.name.casefold(), method)  # some file systems ignore case
        if first is not method:
            raise RequestError(
                f"two methods are named {method.name!r}, {first.source!r} and {method.source!r}; "
                "give NAME=PLACE"
            )
    return list(methods.values())


def _parse(text: str) -> Method:
    name, equals, source = text.partition("=")
    if not equals or "/" in name or _kind(text):
        source = text
        name = Path(os.path.abspath(_path(text))).name
    kind = _kind(source)
    if kind is None:
        raise no_such_weights(source, otherwise="a folder of pictures")
    if name.casefold() in (GRAY, TRUTH):
        raise RequestError(f"every comparison has a column {name!r}; give another NAME={source}")
    is_folder_name = name.isprintable() and not set(name) & set("/\\") and name not in (".", "..")
    if not name.strip() or not is_folder_name or len(name) > _MAX_NAME:
        raise RequestError(
            f"a method's name is used for a folder: at most {_MAX_NAME} characters without "
            f"slashes, not {name!r}; give NAME={source}"
        )
    return Method(name, source, kind)


def _kind(source: str) -> str | None:
    if source and are_weights(source):
        return WEIGHTS
    return PICTURES if source and _path(source).is_dir() else None


def _path(source: str) -> Path:
    return Path(source).expanduser()


class Weights:
    """Pictures colorized by trained weights."""

    def __init__(self, method: Method):
        """Loads the weights.

        Raises:
            RequestError: they cannot be loaded; see `Colorizer.load`.
        """
        self._colorizer = Colorizer.load(method.source)
        self.step = self._colorizer.step

    def picture(self, key: str, truth: np.ndarray, gray: np.ndarray) -> np.ndarray:
        """Returns the colorized photo, (H, W, 3) uint8; only `gray` is used."""
        return self._colorizer.colorize(gray)


class Pictures:
    """Finished pictures in a folder, matched by the names of the photos."""

    def __init__(self, method: Method, keys: Sequence[str]):
        """Lists the pictures.

        Args:
            method: its `source` is the folder.
            keys: names of all photos of the data, to determine which stems are unique.

        Raises:
            RequestError: the folder contains no pictures.
        """
        self._root = _path(method.source)
        try:
            pictures = FolderSource.open(self._root, labels="none").keys
        except RequestError:
            raise RequestError(
                f"{method.source!r} contains neither pictures nor the config.json of a run; "
                "give another folder"
            ) from None
        self._name = method.name
        self._exact = frozenset(pictures)
        self._by_path: dict[str, list[str]] = defaultdict(list)  # without suffix
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for name in pictures:
            self._by_path[_without_suffix(name)].append(name)
            self._by_stem[PurePosixPath(_without_suffix(name)).name].append(name)
        self._same_stem = Counter(PurePosixPath(_without_suffix(key)).name for key in keys)

    def find(self, key: str) -> str:
        """Returns the name of the picture of a photo.

        The order in the same subfolder: NAME.color.*, the same name, NAME.*; then, if no other
        photo has the stem, in any subfolder: NAME.color.*, NAME.*. A colored copy has priority over
        a picture with the photo's own name, because that may be the photo itself.

        Raises:
            RequestError: no picture matches, or more than one.
        """
        path = _without_suffix(key)
        stem = PurePosixPath(path).name
        choices = [
            self._by_path.get(path + RESULT_MARK, []),
            [key] if key in self._exact else [],
            self._by_path.get(path, []),
        ]
        if self._same_stem[stem] == 1:
            choices += [self._by_stem.get(stem + RESULT_MARK, []), self._by_stem.get(stem, [])]
        names = next(filter(None, choices), [])
        if len(names) == 1:
            return names[0]
        if names:
            raise RequestError(
                f"{self._name}: {names[0]!r} and {names[1]!r} in {str(self._root)!r} both match "
                f"{key!r}; keep only one of them"
            )
        raise RequestError(
            f"{self._name}: {str(self._root)!r} has no picture of {key!r}; add {path}.png, "
            f"{path}{RESULT_MARK}.png or the same with another suffix"
        )

    def path_of(self, key: str) -> Path:
        """Returns the path of a photo's picture; raises the errors of `find`."""
        return self._root / self.find(key)

    def picture(self, key: str, truth: np.ndarray, gray: np.ndarray) -> np.ndarray:
        """Returns the picture of a photo, (H, W, 3) uint8.

        Raises:
            RequestError: it is missing, unreadable, or not of the photo's size.
        """
        path = self.path_of(key)
        try:
            rgb = decode_rgb(path.read_bytes())
        except (OSError, UnreadablePhoto) as error:
            raise RequestError(f"{self._name}: {str(path)!r} cannot be read: {error}") from None
        if rgb.shape != truth.shape:
            raise RequestError(
                f"{self._name}: {str(path)!r} has {_size(rgb)} pixels and the photo {key!r} "
                f"{_size(truth)}; the sizes must be equal"
            )
        return rgb


def _without_suffix(key: str) -> str:
    return str(PurePosixPath(key).with_suffix("")) if PurePosixPath(key).name else key


def _size(rgb: np.ndarray) -> str:
    return f"{rgb.shape[1]}x{rgb.shape[0]}"
