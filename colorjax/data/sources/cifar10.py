"""CIFAR-10 as published by its authors: batches of 10,000 photos, read into memory."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pickle
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from colorjax.data.sources.labels import NO_LABEL
from colorjax.data.sources.source import Photo, digest
from colorjax.data.sources.tfds import Range
from colorjax.errors import RequestError

# The authors' order: class 0 is airplane.
CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
HOME = "https://www.cs.toronto.edu/~kriz/cifar.html"

_PHOTOS = 10_000  # in each batch
_SIDE = 32  # pixels
_VALUES = 3 * _SIDE * _SIDE  # per photo: all red values, then green, then blue
_LARGEST = (
    100_000_000  # bytes of a file inside an archive; batches have 31 million, re-pickled ones 46
)
_BATCHES = {
    "train": tuple(f"data_batch_{number}" for number in range(1, 6)),
    "test": ("test_batch",),
}
# Source: torchvision/datasets/cifar.py, for the archives also the authors' page. No sums of the
# .bin files are published: outside the archive only their size and labels can be checked.
_MD5 = {
    "cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a",
    "cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530",
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
}


class _Form(NamedTuple):
    """One of the two published forms of the data set."""

    archive: str
    folder: str  # inside the archive
    suffix: str  # of the batch files
    meta: str  # file with the names of the classes


_PYTHON = _Form("cifar-10-python.tar.gz", "cifar-10-batches-py", "", "batches.meta")
_BINARY = _Form("cifar-10-binary.tar.gz", "cifar-10-batches-bin", ".bin", "batches.meta.txt")


class Cifar10Source:
    """Photos of CIFAR-10: same photos, names and order for each form of the files."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        split: str,
        *,
        with_labels: bool = True,
        verify: bool = True,
    ):
        """Reads the batches of the split into memory: 3,072 bytes per photo.

        Args:
            path: a folder with the batches of the Python form (data_batch_1 ...) or the binary
                form (data_batch_1.bin ...), or with their folder cifar-10-batches-py or
                cifar-10-batches-bin; or a folder with cifar-10-python.tar.gz or
                cifar-10-binary.tar.gz; or such an archive, which is not unpacked to disk.
            split: "train" (50,000 photos), "test" (10,000), or a slice as in TFDS: "train[:1000]",
                "train[10%:]", "test[-500:]".
            with_labels: whether each photo has its class as label.
            verify: compare the archive, or the files of the Python form, with their published md5
                sums. The structure of all forms is always checked, including the size of the .bin
                files, 30,730,000 bytes, and the range of the labels, 0 to 9.

        Raises:
            RequestError: unknown data or split, or a file that is missing, damaged or changed.
        """
        self.range = parse_slice(split)
        self.class_names = CLASS_NAMES if with_labels else ()
        self._with_labels = with_labels
        self._photos, self._labels = _read(path, self.range, verify)
        numbers = range(self.range.start, self.range.stop)
        self.keys: Sequence[str] = [f"{self.range.split}/{number:05d}" for number in numbers]

    def labels(self) -> np.ndarray | None:
        """Returns the class id of every photo, int32; None without labels."""
        return self._labels if self._with_labels else None

    def fingerprint(self) -> str:
        """Returns a digest of the pixels and the slice; independent of form and location."""
        return digest("cifar10", *self.range, self._photos.tobytes())

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, index: int) -> Photo:
        label = int(self._labels[index]) if self._with_labels else NO_LABEL
        return Photo(self._photos[index], label)


def overlap(one: object, other: object) -> bool:
    """Returns whether both are slices of CIFAR-10 that share a photo, in any location."""
    if not (isinstance(one, Cifar10Source) and isinstance(other, Cifar10Source)):
        return False
    return one.range.split == other.range.split and max(one.range.start, other.range.start) < min(
        one.range.stop, other.range.stop
    )


def parse_slice(split: str) -> Range:
    """Resolves a split, or a slice of one in TFDS notation, to a range of photos.

    Args:
        split: e.g. "train", "train[:1000]", "train[10%:]", "test[-10%:]"; percentages are rounded
            to the nearest photo.

    Raises:
        RequestError: unknown split, or an empty range.

    >>> parse_slice("train[90%:]")
    Range(split='train', start=45000, stop=50000)
    """
    match = re.fullmatch(r"(train|test)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?", split)
    if not match:
        raise RequestError(
            f"cifar10 has no split {split!r}; it has train and test, and slices of one of them "
            "such as train[:1000] or train[10%:]"
        )
    name, start, stop = match.groups()
    number = _PHOTOS * len(_BATCHES[name])
    first, last = _bound(start or "0", number), _bound(stop or "100%", number)
    if not 0 <= first < last <= number:
        raise RequestError(
            f"cifar10 has no photos in {split!r}: {name} has {number}; give another slice"
        )
    return Range(name, first, last)


def _bound(text: str, number: int) -> int:
    value = round(int(text[:-1]) * number / 100) if text.endswith("%") else int(text)
    return value + number if text.startswith("-") else value


def _read(
    path: str | os.PathLike[str], wanted: Range, verify: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Returns photos (N, 32, 32, 3) uint8 and labels (N,) int32 of a range."""
    location, form = _find(path)
    first_of = {
        batch + form.suffix: number * _PHOTOS
        for number, batch in enumerate(_BATCHES[wanted.split])
        if wanted.start < (number + 1) * _PHOTOS and number * _PHOTOS < wanted.stop
    }
    photos = np.empty((wanted.stop - wanted.start, _SIDE, _SIDE, 3), np.uint8)
    labels = np.empty(len(photos), np.int32)
    for name, where, content in _files(location, form, [*first_of, form.meta], verify):
        if name == form.meta:
            _check_names(content, where, form)
            continue
        values, classes = _parse(content, where, form)
        first = max(wanted.start - first_of[name], 0)
        last = min(wanted.stop - first_of[name], _PHOTOS)
        there = slice(first + first_of[name] - wanted.start, last + first_of[name] - wanted.start)
        planes = values[first:last].reshape(-1, 3, _SIDE, _SIDE)
        photos[there], labels[there] = planes.transpose(0, 2, 3, 1), classes[first:last]
    return photos, labels


def _find(path: str | os.PathLike[str]) -> tuple[Path, _Form]:
    """Returns the folder of the batches, or the archive, and its form."""
    if not str(path):
        raise RequestError(
            f"data.path is empty; give the folder of the CIFAR-10 files, from {HOME}"
        )
    root = Path(path).expanduser()
    forms = (_PYTHON, _BINARY)
    batches = [batch for names in _BATCHES.values() for batch in names]
    for form in forms:
        if root.is_file() and root.name == form.archive:
            return root, form
        for folder in (root, root / form.folder):
            if any((folder / (batch + form.suffix)).is_file() for batch in batches):
                return folder, form
    for form in forms:
        if (root / form.archive).is_file():
            return root / form.archive, form
    what = "is not CIFAR-10" if root.exists() else "does not exist"
    raise RequestError(
        f"data.path={str(root)!r} {what}; give a folder with data_batch_1 ... or "
        f"data_batch_1.bin ..., or {_PYTHON.archive} or {_BINARY.archive}, from {HOME}"
    )


def _files(
    path: Path, form: _Form, names: Sequence[str], verify: bool
) -> Iterator[tuple[str, str, bytes]]:
    """Yields name, path for messages and content of each file; the meta file may be missing."""
    read = _read_archive if path.is_file() else _read_folder
    missing = set(names)
    try:
        if verify and path.is_file():
            with open(path, "rb") as file:
                md5 = hashlib.file_digest(file, _md5).hexdigest()
            _check_sum(md5, path.name, str(path))
        for name, content in read(path, names):
            missing.remove(name)
            where = str(path / name)
            if verify and path.is_dir() and name in _MD5:
                _check_sum(_md5(content).hexdigest(), name, where)
            yield name, where, content
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise RequestError(
            f"{str(path)!r} cannot be read ({error}); download it again from {HOME}"
        ) from error
    missing.discard(form.meta)
    if missing:
        raise RequestError(
            f"{str(path)!r} lacks {', '.join(sorted(missing))}; download and unpack "
            f"{form.archive} again from {HOME}"
        )


def _read_folder(path: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            yield name, (path / name).read_bytes()


def _read_archive(path: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    wanted = set(names)
    with tarfile.open(path, "r|gz") as archive:
        for member in archive:
            name = PurePosixPath(member.name).name
            if name not in wanted or not member.isfile() or member.size > _LARGEST:
                continue
            file = archive.extractfile(member)
            assert file is not None  # it is a regular file
            yield name, file.read()
            wanted.remove(name)
            if not wanted:
                return


def _md5(content: bytes = b"") -> Any:
    return hashlib.md5(content, usedforsecurity=False)


def _check_sum(md5: str, name: str, where: str) -> None:
    if md5 != _MD5[name]:
        raise RequestError(
            f"{where!r} has the md5 sum {md5}, not {_MD5[name]} as published; download it again "
            f"from {HOME}, or set data.verify=False if the difference is intended"
        )


def _parse(content: bytes, where: str, form: _Form) -> tuple[np.ndarray, np.ndarray]:
    """Returns values (10000, 3072) uint8 and labels (10000,) of a batch."""
    values, labels = (_from_records if form is _BINARY else _from_pickle)(content, where)
    if labels.min() < 0 or labels.max() >= len(CLASS_NAMES):
        raise _malformed(where, "a label is not in 0 to 9")
    return values, labels


def _from_records(content: bytes, where: str) -> tuple[np.ndarray, np.ndarray]:
    size = _PHOTOS * (1 + _VALUES)
    if len(content) != size:
        raise _malformed(where, f"it has {len(content)} bytes, not {size}")
    rows = np.frombuffer(content, np.uint8).reshape(_PHOTOS, 1 + _VALUES)
    return rows[:, 1:], rows[:, 0]


def _from_pickle(content: bytes, where: str) -> tuple[np.ndarray, np.ndarray]:
    batch = _unpickle(content, where)
    values: Any = batch.get("data")
    labels: Any = batch.get("labels")
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        labels = np.array(labels)
    if not _is_array(values, (_PHOTOS, _VALUES), "u") or values.dtype.itemsize != 1:
        raise _malformed(where, f"'data' is not {_PHOTOS} x {_VALUES} bytes")
    if not _is_array(labels, (_PHOTOS,), "iu"):
        raise _malformed(where, f"'labels' are not {_PHOTOS} numbers")
    return values, labels


def _is_array(value: object, shape: tuple[int, ...], kinds: str) -> bool:
    return isinstance(value, np.ndarray) and value.shape == shape and value.dtype.kind in kinds


def _check_names(content: bytes, where: str, form: _Form) -> None:
    if form is _BINARY:
        names = content.decode("latin1").split()
    else:
        names = _unpickle(content, where).get("label_names")
    if names != list(CLASS_NAMES):
        raise _malformed(where, "its class names are not those of CIFAR-10")


def _malformed(where: str, why: str) -> RequestError:
    return RequestError(f"{where!r} is not a CIFAR-10 file: {why}; download it again from {HOME}")


def _unpickle(content: bytes, where: str) -> dict[str, Any]:
    try:
        # Python 2 wrote the files: strings, of names and of pixels, are bytes.
        value = _Unpickler(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # pickle and NumPy raise errors of any type on damaged bytes
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise _malformed(where, said) from error
    if not isinstance(value, dict):
        raise _malformed(where, f"it holds {type(value).__name__}, not a dictionary")
    return value


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r}")
    return text.encode("latin1")


# The globals that NumPy 1 and 2 use to pickle arrays of numbers; no others are allowed.
_reconstruct = np.zeros(0).__reduce__()[0]
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,  # how Python 3 pickles bytes for Python 2
}


class _Unpickler(pickle.Unpickler):
    """Unpickler for plain values and NumPy arrays; rejects all other globals."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return _ALLOWED[module, name]
