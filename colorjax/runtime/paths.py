"""Paths on disks and in object stores (gs://BUCKET/...), using etils.epath.

Object stores have no links, no append and no cheap rename. A file exists once it is closed.
"""

from __future__ import annotations

import codecs
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from etils import epath

from colorjax.errors import RequestError

PERIOD = 30.0  # seconds between uploads of a growing file


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Returns whether a path is in an object store.

    >>> is_remote("gs://bucket/run"), is_remote("runs/first")
    (True, False)
    """
    return "://" in os.fspath(path)


def locate(path: str | os.PathLike[str]) -> epath.Path:
    """Returns the absolute path of a local path; paths of object stores are not changed.

    Raises:
        RequestError: the package for the object store is not installed, or the scheme is unknown.
    """
    if not is_remote(path):
        return epath.Path(path).expanduser().resolve()
    scheme = os.fspath(path).partition("://")[0]
    package = {"gs": "gcsfs", "s3": "s3fs"}.get(scheme)
    if package is None:
        raise RequestError(f"{os.fspath(path)!r}: give a local path, gs://... or s3://...")
    try:
        __import__(package)
    except ImportError:
        raise RequestError(f"{os.fspath(path)!r} needs a package: pip install {package}") from None
    return epath.Path(path)


def read_lines(path: str | os.PathLike[str]) -> list[str]:
    """Returns the lines of a user's text file, without line ends and surrounding spaces.

    It reads UTF-8 and, with a byte-order mark, UTF-16, with the line ends of any system.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError: it is not text.
    """
    content = locate(path).read_bytes()
    has_mark = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if has_mark else "utf-8-sig")
    return [line.strip() for line in text.splitlines()]


def require_utf8(path: str | os.PathLike[str]) -> None:
    """Raises a RequestError if a path is not UTF-8: Orbax cannot store checkpoints there."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        raise RequestError(
            f"the path of workdir {os.fspath(path)!r} is not UTF-8; rename the folder, or give "
            "another"
        ) from None


def local(path: str | os.PathLike[str]) -> Path:
    """Returns a local path with ~ expanded, for code that cannot use object stores.

    Raises:
        RequestError: the path is in an object store.
    """
    if is_remote(path):
        raise RequestError(
            f"{os.fspath(path)!r} must be on a disk; copy it and give the local path"
        )
    return Path(path).expanduser()


def files_below(folder: epath.Path) -> Iterator[epath.Path]:
    """Yields the files below a folder, at any depth."""
    for path in folder.iterdir():  # `walk` drops the scheme of gs:// paths
        if path.is_dir():
            yield from files_below(path)
        else:
            yield path


class GrowingFile:
    """A file opened for appending.

    In an object store every flush uploads the whole file again.
    """

    def __init__(self, path: epath.Path):
        """Opens the file for appending; it need not exist."""
        self._path = path
        self._flushed = time.monotonic()
        self._file: BinaryIO
        if is_remote(path):
            self._file = io.BytesIO()
            self._file.write(path.read_bytes() if path.is_file() else b"")
        else:
            self._file = open(path, "ab")  # noqa: SIM115 (closed by close)

    def write(self, content: bytes) -> None:
        """Appends bytes."""
        self._file.write(content)

    def flush(self) -> None:
        """Makes all written bytes visible to readers."""
        self._flushed = time.monotonic()
        if isinstance(self._file, io.BytesIO):
            self._path.write_bytes(self._file.getvalue())
        else:
            self._file.flush()

    def flush_now_and_then(self, period: float = PERIOD) -> None:
        """Flushes if the last flush was more than `period` seconds ago."""
        if time.monotonic() - self._flushed > period:
            self.flush()

    def close(self) -> None:
        """Flushes and closes the file."""
        if not self._file.closed:
            self.flush()
        self._file.close()
