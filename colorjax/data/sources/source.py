"""Photo sources: the `Source` protocol, folders, and the sample photos of scikit-image.

A source is a sequence of photos with random access: `len(source)`, `source[i]` -> Photo,
`source.keys[i]` -> the name of the photo in the data set, from which splits are drawn.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from etils import epath

from colorjax.data.decode import decode_rgb
from colorjax.data.sources import labels as label_names
from colorjax.errors import RequestError, UnreadablePhoto, unknown_name
from colorjax.runtime import paths
from colorjax.runtime.file_names import PHOTO_SUFFIXES, to_bytes


class Photo(NamedTuple):
    """One photo of a source."""

    image: bytes | np.ndarray  # an encoded file, or (H, W, 3) uint8
    label: int  # class id; -1: none


class Source(Protocol):
    """A sequence of photos with random access."""

    @property
    def keys(self) -> Sequence[str]:
        """Name of each photo within the data set."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their ids; empty without labels."""
        ...

    def labels(self) -> np.ndarray | None:
        """Returns the class id of every photo, int32; None if not known without reading."""
        ...

    def fingerprint(self) -> str:
        """Returns 64 hexadecimal digits that change with any photo or with the order."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Photo: ...


_PAUSES = (0.1, 1.0)  # seconds before each retry of a failed read


def read(source: Source, index: int) -> Photo:
    """Returns `source[index]`; retries after transient failures of disk or network.

    Raises:
        OSError: the photo still cannot be read.
    """
    for pause in _PAUSES:
        try:
            return source[index]
        except (FileNotFoundError, PermissionError, IsADirectoryError):
            raise  # permanent: no retry
        except OSError:
            time.sleep(pause)
    return source[index]


def digest(*parts: object) -> str:
    """Returns the SHA-256 of texts and bytes, as 64 hexadecimal digits.

    Args:
        *parts: bytes, or objects with an identifying `str`; boundaries between parts matter.

    >>> digest("ab", "c") == digest("a", "bc")
    False
    """
    sha256 = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else to_bytes(str(part))
        sha256.update(len(data).to_bytes(8) + data)
    return sha256.hexdigest()


def hash_name(name: str) -> int:
    """Returns a stable 64-bit hash of a photo's name: the first bits of its SHA-256."""
    return int.from_bytes(hashlib.sha256(to_bytes(name)).digest()[:8])


def source_of(key: str) -> str:
    """Returns the source of a photo: the first folder of its name.

    >>> source_of("houses/12/kitchen.jpg"), source_of("a.jpg")
    ('houses', '')
    """
    return key.partition("/")[0] if "/" in key else ""


def file_stamp(path: Path | epath.Path) -> str:
    """Returns a file's size in bytes and modification time in ns; "missing" if there is none."""
    try:
        if paths.is_remote(path):
            stored = epath.Path(path).stat()
            return f"{stored.length} {stored.mtime}"
        status = os.stat(path)
    except OSError:
        return "missing"
    return f"{status.st_size} {status.st_mtime_ns}"


MAX_BYTES = 2**29  # of one photo's file


def file_bytes(path: Path | epath.Path) -> bytes:
    """Returns the bytes of a photo's file.

    Raises:
        UnreadablePhoto: a device or pipe, which may never end, or a file above `MAX_BYTES`.
        OSError: the file cannot be read.
    """
    if not paths.is_remote(path):
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadablePhoto("not a file")
        check_num_bytes(status.st_size)
    return path.read_bytes()


def check_num_bytes(number: int) -> None:
    """Raises an UnreadablePhoto if a photo's file has more than `MAX_BYTES`."""
    if number > MAX_BYTES:
        limit = f"{MAX_BYTES / 2**20:.0f} MiB"
        raise UnreadablePhoto(f"{number / 2**20:.0f} MiB; a photo has at most {limit}")


@dataclasses.dataclass(frozen=True)
class FolderSource:
    """The photos below a folder, at any depth, in the order of their relative paths."""

    root: Path | epath.Path
    keys: Sequence[str]
    class_names: tuple[str, ...]
    ids: np.ndarray

    @classmethod
    def open(
        cls, root: str | os.PathLike[str], *, labels: str, class_names: Sequence[str] | None = None
    ) -> FolderSource:
        """Lists the photos of a folder.

        Args:
            root: the folder.
            labels: "folder", "path", "none" or a file; see `colorjax.data.sources.labels`.
            class_names: class names in the order of their ids, instead of those detected.

        Raises:
            RequestError: the path is empty, missing, not a folder, or contains no photo.
        """
        if not str(root):
            raise RequestError("data.path is empty; give a folder: --config.data.path=PHOTOS")
        root = paths.locate(root) if paths.is_remote(root) else Path(root).expanduser()
        if not root.is_dir():
            what = "is not a folder" if root.exists() else "does not exist"
            raise RequestError(f"data.path={str(root)!r} {what}; give a folder of photos")
        keys = sorted(_photos_below(root))
        if not keys:
            raise RequestError(
                f"no photos in {str(root)!r}; it must contain files ending in .jpg, .png, .webp, "
                ".tif, ..."
            )
        names = label_names.names_of(labels, keys)
        if class_names is None:
            class_names = label_names.known_classes(names)
        return cls(root, keys, tuple(class_names), label_names.to_ids(names, class_names))

    def labels(self) -> np.ndarray:
        """Returns the class id of every photo, int32; -1: none."""
        return self.ids

    def fingerprint(self) -> str:
        """Returns a digest of the folder and of each file's name, size and modification time."""
        stamps = (part for key in self.keys for part in (key, file_stamp(self.root / key)))
        root = self.root if paths.is_remote(self.root) else self.root.resolve()
        return digest("folder", root, *stamps)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Photo:
        return Photo(file_bytes(self.root / self.keys[index]), int(self.ids[index]))


def _photos_below(root: Path | epath.Path) -> list[str]:
    if paths.is_remote(root):
        files = [path.relative_to(root).as_posix() for path in paths.files_below(epath.Path(root))]
        return [key for key in files if _is_photo(os.path.basename(key))]
    keys = []
    seen = set()  # links may form cycles
    for folder, folders, files in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        below = Path(folder).relative_to(root)
        keys += [(below / name).as_posix() for name in files if _is_photo(name)]
    return keys


def _is_photo(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in PHOTO_SUFFIXES and not name.startswith(".")


# Prefixes of the names whose hashes select the photos of `data.limit` and `data.low_chroma_rate`.
LIMIT = "limit:"
LOW_CHROMA = "low_chroma:"


class ChosenKeys(Sequence):
    """A lazy selection from a sequence of names."""

    def __init__(self, keys: Sequence[str], indices: np.ndarray):
        self._keys = keys
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self._keys[number] for number in self._indices[index]]
        return self._keys[self._indices[index]]


class NumberedKeys(Sequence):
    """The names "0", "1", ... of photos without names, computed on access."""

    def __init__(self, length: int):
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index):
        return str(range(self._length)[index])


class SamplePhotos:
    """The color photos that ship inside scikit-image: nothing to download.

    Held-out photos are cut into tiles of 150 px, so that an evaluation has more than one photo.
    """

    PHOTOS = {  # noqa: RUF012
        "train": (
            "astronaut.png",
            "coffee.png",
            "motorcycle_left.png",
            "motorcycle_right.png",
            "hubble_deep_field.jpg",
        ),
        "validation": ("rocket.jpg",),
        "eval": ("chelsea.png",),
    }
    TILE = 150  # pixels

    def __init__(self, part: str):
        """Reads one part: "train", "validation" or "eval"."""
        if part not in self.PHOTOS:
            raise unknown_name("part of sample_photos", part, self.PHOTOS)
        self.class_names: tuple[str, ...] = ()
        self._part = part
        self._photos: dict[str, np.ndarray] = {}
        for name in self.PHOTOS[part]:
            rgb = read_sample(name)
            if part == "train":
                self._photos[name] = rgb
            else:
                self._photos |= {f"{name}:{at}": tile for at, tile in _tiles(rgb, self.TILE)}
        self.keys = list(self._photos)

    def labels(self) -> None:
        """Returns None: sample photos have no labels."""
        return

    def fingerprint(self) -> str:
        """Returns a digest of the part and the version of scikit-image."""
        import skimage

        return digest("sample_photos", self._part, skimage.__version__)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Photo:
        return Photo(self._photos[self.keys[index]], label_names.NO_LABEL)


def read_sample(name: str) -> np.ndarray:
    """Returns a photo that ships inside scikit-image: (H, W, 3) uint8."""
    import skimage

    return decode_rgb((Path(skimage.__file__).parent / "data" / name).read_bytes())


def _tiles(rgb: np.ndarray, side: int):
    for top in range(0, rgb.shape[0] - side + 1, side):
        for left in range(0, rgb.shape[1] - side + 1, side):
            yield f"{left},{top}", np.ascontiguousarray(rgb[top : top + side, left : left + side])
