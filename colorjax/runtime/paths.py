"""Files on disks and in object stores (gs://BUCKET/...), by etils.epath.

Object stores have no links, no append and no cheap rename, and a file is there once it is closed.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from etils import epath

from colorjax.errors import RequestError

PERIOD = 30.0  # seconds between the uploads of a file that grows


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether a path is one of an object store.

    >>> is_remote("gs://bucket/run"), is_remote("runs/first")
    (True, False)
    """
    return "://" in os.fspath(path)


def locate(path: str | os.PathLike[str]) -> epath.Path:
    """Returns an absolute path on a disk, or the path in an object store as it is.

    Raises:
        RequestError: the package that reaches the object store is not installed.
    """
    if not is_remote(path):
        return epath.Path(path).expanduser().resolve()
    scheme = os.fspath(path).partition("://")[0]
    package = {"gs": "gcsfs", "s3": "s3fs"}.get(scheme)
    if package is None:
        raise RequestError(f"{os.fspath(path)!r}: paths are local, gs://... or s3://...")
    try:
        __import__(package)
    except ImportError:
        raise RequestError(f"{os.fspath(path)!r} needs a package: pip install {package}") from None
    return epath.Path(path)


def local(path: str | os.PathLike[str]) -> Path:
    """Returns a path of a disk, ~ expanded, for what cannot write to object stores.

    Raises:
        RequestError: it is one of an object store.
    """
    if is_remote(path):
        raise RequestError(
            f"{os.fspath(path)!r} has to be on a disk; give a local path and copy it"
        )
    return Path(path).expanduser()


def files_below(folder: epath.Path) -> Iterator[epath.Path]:
    """Yields the files below a folder, at any depth."""
    for path in folder.iterdir():  # `walk` forgets the scheme of gs://
        if path.is_dir():
            yield from files_below(path)
        else:
            yield path


class GrowingFile:
    """A file that is written to its end.

    In an object store every flush uploads the whole file anew.
    """

    def __init__(self, path: epath.Path):
        """Opens the file at its end; it need not exist."""
        self._path = path
        self._flushed = time.monotonic()
        self._file: BinaryIO
        if is_remote(path):
            self._file = io.BytesIO()
            self._file.write(path.read_bytes() if path.is_file() else b"")
        else:
            self._file = open(path, "ab")  # noqa: SIM115 (closed by close)

    def write(self, content: bytes) -> None:
        """Adds bytes."""
        self._file.write(content)

    def flush(self) -> None:
        """Lets readers see what was written."""
        self._flushed = time.monotonic()
        if isinstance(self._file, io.BytesIO):
            self._path.write_bytes(self._file.getvalue())
        else:
            self._file.flush()

    def flush_now_and_then(self, period: float = PERIOD) -> None:
        """Flushes if the last time was `period` seconds ago."""
        if time.monotonic() - self._flushed > period:
            self.flush()

    def close(self) -> None:
        """Flushes and lets go."""
        if not self._file.closed:
            self.flush()
        self._file.close()
