"""Photos in folders, zip and tar files: names, and the bytes of each file."""

from __future__ import annotations

import os
import posixpath
import struct
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from colorjax.data.sources.source import (
    FolderSource,
    check_num_bytes,
    digest,
    file_bytes,
    file_stamp,
)
from colorjax.errors import RequestError, UnreadablePhoto
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
        """Returns the bytes of a photo.

        Raises:
            RequestError: a device or pipe, or a file that is too large.
            OSError: the file cannot be read.
        """
        path = self._root / key
        try:
            return file_bytes(path)
        except UnreadablePhoto as error:
            raise RequestError(
                f"{str(path)!r} cannot be read as a photo ({error}); remove it"
            ) from None

    def stamp(self) -> str:
        """Returns a digest of path, size and modification time of each photo."""
        return digest(*(f"{key} {file_stamp(self._root / key)}" for key in self.keys))


class ZipOfPhotos:
    """The photos in a zip file; each process opens its own handle."""

    def __init__(self, path: Path):
        """Reads the central directory.

        Raises:
            RequestError: a photo that is encrypted, too large or compressed by another method.
        """
        self._path = path
        self._file: zipfile.ZipFile | None = None
        members = {member.filename: member for member in self._opened().infolist()}
        self.keys = sorted(filter(_is_photo, members))
        for key in self.keys:
            if flaw := _flaw_of(members[key]):
                raise _bad_member(path, key, flaw)

    def __len__(self) -> int:
        return len(self.keys)

    def _opened(self) -> zipfile.ZipFile:
        if self._file is None:
            self._file = zipfile.ZipFile(self._path)
        return self._file

    def read(self, key: str) -> bytes:
        """Returns the bytes of a photo, verified with the checksum in the zip.

        Raises:
            RequestError: they are damaged.
        """
        try:
            return self._opened().read(key)
        except OSError as error:
            if error.errno is not None:  # of the disk
                raise
            raise _bad_member(self._path, key, f"is damaged ({error})") from None
        except Exception as error:  # zipfile and its decompressors raise errors of any type
            flaw = "bad CRC-32" if "CRC" in str(error) else str(error) or type(error).__name__
            raise _bad_member(self._path, key, f"is damaged ({flaw})") from None

    def stamp(self) -> str:
        """Returns path, size and modification time of the zip."""
        return f"{self._path.resolve()} {file_stamp(self._path)}"

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_file": None}


_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_ENCRYPTED = 1  # bit of a member's flags


def _flaw_of(member: zipfile.ZipInfo) -> str:
    if member.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if member.compress_type not in _METHODS:
        return f"is compressed by method {member.compress_type}, not stored or deflated"
    return _excess_of(member.file_size)


def _excess_of(num_bytes: int) -> str:
    try:
        check_num_bytes(num_bytes)
    except UnreadablePhoto as error:
        return f"has {error}"
    return ""


def _bad_member(path: Path, key: str, flaw: str) -> RequestError:
    return RequestError(f"{key!r} in {str(path)!r} {flaw}; leave it out, or make the archive again")


class TarOfPhotos:
    """The photos in an uncompressed tar file, by the offset of their bytes."""

    def __init__(self, path: Path):
        """Scans all headers once.

        Raises:
            RequestError: the file is cut off or damaged, or a photo is too large.
        """
        self._path = path
        with tarfile.open(path, "r:") as file:
            members = [member for member in file if member.isreg() and _is_photo(member.name)]
            _check_end(file)
        self._positions = {
            posixpath.normpath(member.name): (member.offset_data, member.size)
            for member in members
            if not member.issparse()
        }
        self.keys = sorted(self._positions)
        for key in self.keys:
            if flaw := _excess_of(self._positions[key][1]):
                raise _bad_member(path, key, flaw)

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, key: str) -> bytes:
        """Returns the bytes of a photo.

        Raises:
            RequestError: the file has become shorter.
        """
        offset, size = self._positions[key]
        with self._path.open("rb") as file:
            file.seek(offset)
            content = file.read(size)
        if len(content) < size:
            raise _bad_member(self._path, key, "is cut off")
        return content

    def stamp(self) -> str:
        """Returns path, size and modification time of the tar."""
        return f"{self._path.resolve()} {file_stamp(self._path)}"


def _check_end(file: tarfile.TarFile) -> None:
    """Raises a tarfile.ReadError if a scanned archive does not end with its two zero blocks.

    tarfile ends silently at a header that is cut off or damaged.
    """
    end = bytes(2 * tarfile.BLOCKSIZE)
    assert file.fileobj is not None
    file.fileobj.seek(file.offset)
    if file.fileobj.read(len(end)) != end:
        raise tarfile.ReadError("it is cut off or damaged: its end mark is missing")


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


# Errors of zipfile and tarfile on damaged files; RuntimeError: unknown versions, nested headers.
_DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, struct.error, EOFError),
    *(RuntimeError, ValueError, OverflowError),
)


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
    except RequestError:
        raise
    except _DAMAGED as error:
        raise RequestError(
            f"{str(path)!r} is not a whole zip or uncompressed tar "
            f"({error or type(error).__name__}); copy it again, or unpack it and give the folder"
        ) from None
    if not archive.keys:
        raise RequestError(
            f"no photo in {str(path)!r}; it must contain files ending in .jpg, .png, ..."
        )
    return archive


def _is_photo(name: str) -> bool:
    stem = name.rpartition("/")[2]
    return os.path.splitext(stem)[1].lower() in PHOTO_SUFFIXES and not stem.startswith(".")
