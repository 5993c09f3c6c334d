"""Photos in folders, zip and tar files: names, and the bytes of each file."""

from __future__ import annotations

import os
import posixpath
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from colorjax.data.sources.source import FolderSource, digest, file_stamp
from colorjax.errors import RequestError
from colorjax.runtime import paths
from colorjax.runtime.file_names import PHOTO_SUFFIXES


class Archive(Protocol):
    """Photos by name, as the bytes of files."""

    @property
    def keys(self) -> Sequence[str]:
        """Names of the photos, sorted."""
        ...

    def __len__(self) -> int: ...

    def read(self, key: str) -> bytes:
        """Returns the bytes of a photo."""
        ...

    def stamp(self) -> str:
        """Returns a string that changes when the content changes."""
        ...


class FolderOfPhotos:
    """The photos below a folder."""

    def __init__(self, root: Path):
        """Lists the photos."""
        source = FolderSource.open(root, labels="none")
        self.keys: Sequence[str] = source.keys
        self._root = source.root

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, key: str) -> bytes:
        """Returns the bytes of a photo."""
        return (self._root / key).read_bytes()

    def stamp(self) -> str:
        """Returns a digest of path, size and modification time of each photo."""
        return digest(*(f"{key} {file_stamp(self._root / key)}" for key in self.keys))


class ZipOfPhotos:
    """The photos in a zip file; each process opens its own handle."""

    def __init__(self, path: Path):
        """Reads the central directory."""
        self._path = path
        self._file: zipfile.ZipFile | None = None
        self.keys = sorted(name for name in self._opened().namelist() if _is_photo(name))

    def __len__(self) -> int:
        return len(self.keys)

    def _opened(self) -> zipfile.ZipFile:
        if self._file is None:
            self._file = zipfile.ZipFile(self._path)
        return self._file

    def read(self, key: str) -> bytes:
        """Returns the bytes of a photo, verified with the checksum in the zip."""
        return self._opened().read(key)

    def stamp(self) -> str:
        """Returns path, size and modification time of the zip."""
        return f"{self._path.resolve()} {file_stamp(self._path)}"

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_file": None}


class TarOfPhotos:
    """The photos in an uncompressed tar file, by the offset of their bytes."""

    def __init__(self, path: Path):
        """Scans all headers once."""
        self._path = path
        with tarfile.open(path, "r:") as file:
            self._positions = {
                posixpath.normpath(member.name): (member.offset_data, member.size)
                for member in file
                if member.isreg() and not member.issparse() and _is_photo(member.name)
            }
        self.keys = sorted(self._positions)

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, key: str) -> bytes:
        """Returns the bytes of a photo."""
        offset, size = self._positions[key]
        with self._path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def stamp(self) -> str:
        """Returns path, size and modification time of the tar."""
        return f"{self._path.resolve()} {file_stamp(self._path)}"


class ChosenPhotos:
    """Some photos of an archive, in its order."""

    def __init__(self, archive: Archive, indices: np.ndarray):
        """Selects the photos with these indices, ascending."""
        self._archive = archive
        self.keys: Sequence[str] = [archive.keys[index] for index in indices]

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, key: str) -> bytes:
        """Returns the bytes of a photo."""
        return self._archive.read(key)

    def stamp(self) -> str:
        """Returns a digest of the archive and the selected photos."""
        return digest(self._archive.stamp(), *self.keys)


def open_archive(path: str | os.PathLike[str]) -> Archive:
    """Opens a folder, a zip or an uncompressed tar of photos.

    Raises:
        RequestError: the path is none of these, or contains no photo.
    """
    path = paths.local(path)
    if path.is_dir():
        return FolderOfPhotos(path)
    if not path.is_file():
        raise RequestError(f"{str(path)!r} does not exist; give a folder, a zip or a tar of photos")
    try:
        if zipfile.is_zipfile(path):
            archive: Archive = ZipOfPhotos(path)
        else:
            archive = TarOfPhotos(path)
    except (tarfile.TarError, zipfile.BadZipFile) as error:
        raise RequestError(
            f"{str(path)!r} is not a folder, zip or uncompressed tar ({error}); unpack a "
            "compressed tar first"
        ) from None
    if not archive.keys:
        raise RequestError(
            f"no photo in {str(path)!r}; it must contain files ending in .jpg, .png, ..."
        )
    return archive


def _is_photo(name: str) -> bool:
    stem = name.rpartition("/")[2]
    return os.path.splitext(stem)[1].lower() in PHOTO_SUFFIXES and not stem.startswith(".")
