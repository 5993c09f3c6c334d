"""The photos of a protocol: located in the user's data, prepared and digested."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from colorjax import color
from colorjax.data.aging import age
from colorjax.data.crops import cut_center_square
from colorjax.data.decode import decode_rgb
from colorjax.data.resampling import resized
from colorjax.data.sources import labels
from colorjax.data.sources.cifar10 import Cifar10Source
from colorjax.data.sources.source import FolderSource, file_bytes
from colorjax.errors import RequestError, UnreadablePhoto, path_given_as
from colorjax.evaluate import protocols
from colorjax.evaluate.protocols import Protocol
from colorjax.runtime.file_names import printable, to_bytes

_IMAGENET = "ILSVRC2012_val_{:08d}.JPEG"


@dataclasses.dataclass(frozen=True)
class Photos:
    """The measured photos, by number.

    Attributes:
        keys: the name of each.
        groups: the folder of each, or its class if the data has classes.
        identity: digest of names, sizes and times of the files, to detect changes.
        read: number -> (H, W, 3) uint8, upright, as stored.
        protocol: defines the preparation.
    """

    keys: Sequence[str]
    groups: Sequence[str]
    identity: str
    read: Callable[[int], np.ndarray]
    protocol: Protocol

    def prepared(self, number: int) -> np.ndarray:
        """Returns a photo prepared for colorization, (H, W, 3) uint8.

        Raises:
            UnreadablePhoto: it cannot be read.
        """
        rgb = self.read(number)
        if self.protocol.crop:
            rgb = cut_center_square(rgb)
        side = self.protocol.colorize_size
        return resized(rgb, side, self.protocol.resampling) if side else rgb

    def seen(self, number: int, prepared: np.ndarray) -> np.ndarray:
        """Returns the gray input of a colorizer, (H, W, 3) uint8 with R = G = B."""
        if not self.protocol.aged:
            return color.gray_photo(prepared, self.protocol.grey)
        name = hashlib.sha256(to_bytes(self.keys[number])).digest()
        return age(prepared, np.random.default_rng([self.protocol.aged, *name]))

    def compared(self, rgb: np.ndarray) -> np.ndarray:
        """Returns a prepared or colorized photo at the size of the comparison."""
        return resized(rgb, self.protocol.size, self.protocol.resampling)


def open_photos(protocol: Protocol, data: str, limit: int = 0, reference: bool = False) -> Photos:
    """Opens the photos of a protocol.

    Args:
        protocol: selects the photos.
        data: folder of ImageNet's validation photos (in any subfolders), CIFAR-10's files as in
            `Cifar10Source`, or a folder of photos.
        limit: use only the first photos; 0: all; at least 0.
        reference: open the reference photos of FID instead.

    Raises:
        RequestError: the data is missing, or a photo of the protocol is, which is named.
    """
    if protocol.data == "cifar10":
        source = Cifar10Source(data, protocol.numbers)
        keys, read = list(source.keys), lambda number: np.asarray(source[number].image)
        groups = [source.class_names[source[number].label] for number in range(len(keys))]
        identity = source.fingerprint()
    elif protocol.data == "imagenet_val":
        wanted = protocols.numbers(protocol.reference if reference else protocol.numbers)
        files = _find(data, [_IMAGENET.format(number) for number in wanted[: limit or None]])
        keys, read = list(files), lambda number: decode_rgb(file_bytes(files[keys[number]]))
        groups = [printable(path.parent.name) for path in files.values()]
        identity = identity_of(files.values())
    else:
        with path_given_as("--data"):
            folder = FolderSource.open(data, labels="none")
        keys, read = list(folder.keys), lambda number: decode_rgb(folder[number].image)
        keys = keys[: limit or None]
        groups = list(map(printable, labels.names_of("folder", keys)))
        identity = identity_of(Path(data).expanduser() / key for key in keys)
    some = slice(limit or None)
    return Photos(keys[some], groups[some], identity, _with_read_errors(read), protocol)


def identity_of(files: Iterable[Path]) -> str:
    """Returns a digest of the names, sizes and times of files."""
    digest = hashlib.sha256()
    for path in files:
        stat = path.stat()
        digest.update(f"{path.name}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode(errors="replace"))
    return digest.hexdigest()


def _with_read_errors(read: Callable[[int], np.ndarray]):
    """Returns `read` with an OSError turned into an UnreadablePhoto."""

    def checked(number: int) -> np.ndarray:
        try:
            return read(number)
        except OSError as error:
            raise UnreadablePhoto(error.strerror or str(error)) from error

    return checked


def _find(data: str, names: Sequence[str]) -> dict[str, Path]:
    """Returns the paths of files by their names, anywhere below a folder."""
    root = Path(data).expanduser()
    if not root.is_dir():
        raise RequestError(f"--data {data!r} is no folder; give that of ImageNet's validation set")
    files = {
        name: Path(folder, name)
        for folder, _, file_names in os.walk(root, followlinks=True)
        for name in file_names
    }
    missing = [name for name in names if name not in files]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise RequestError(
            f"{missing[0]}{more} of {len(names)} photos missing below {data!r}; give the folder of "
            "ImageNet's validation set (ILSVRC2012), or use only the first photos with --limit"
        )
    return {name: files[name] for name in names}


class Digest:
    """The SHA-256 of photos: their names and prepared pixels, in order."""

    def __init__(self):
        self._hash = hashlib.sha256()

    def add(self, key: str, pixels: str) -> None:
        """Adds one photo by its name and `pixels_digest`."""
        self._hash.update(to_bytes(f"{key}\0{pixels}\0"))

    def hex(self) -> str:
        """Returns the digest of the photos added so far."""
        return self._hash.hexdigest()


def pixels_digest(rgb: np.ndarray) -> str:
    """Returns the SHA-256 of a prepared photo's shape and pixels."""
    return hashlib.sha256(str(rgb.shape).encode() + rgb.tobytes()).hexdigest()
