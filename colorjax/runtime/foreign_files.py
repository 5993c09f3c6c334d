"""Reads files that may be damaged, or written by a stranger: bounded, and as data only."""

from __future__ import annotations

import io
import json
import os
import stat
import zipfile
from typing import Any

import numpy as np
from etils import epath

from colorjax.errors import RequestError
from colorjax.runtime import paths

MAX_BYTES = 2**30  # of any of these files
_MAX_JSON_BYTES = 2**24


def read_bytes(path: str | os.PathLike[str], most: int = MAX_BYTES) -> bytes:
    """Returns the bytes of a file.

    Args:
        path: on a disk or in an object store.
        most: largest number of bytes to read.

    Raises:
        OSError: missing, a device or pipe, which may never end, or larger than `most`.
    """
    if paths.is_remote(path):
        return epath.Path(path).read_bytes()
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError("it is not a file")
    if status.st_size > most:
        raise OSError(f"it has more than {most} bytes")
    with open(path, "rb") as file:
        return file.read(status.st_size)  # as much memory is taken as the number says


def parse_json(content: bytes) -> Any:
    """Returns the value of a JSON text.

    Raises:
        ValueError: it is not JSON, not UTF-8, or nested too deeply.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_json(path: str | os.PathLike[str]) -> Any:
    """Returns the value in a JSON file.

    Raises:
        RequestError: damaged, or not a file.
        FileNotFoundError: there is none.
    """
    try:
        return parse_json(read_bytes(path, _MAX_JSON_BYTES))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise damaged(path, str(error)) from None


def read_arrays(path: str | os.PathLike[str], most: int = MAX_BYTES) -> dict[str, np.ndarray]:
    """Returns the arrays in an NPZ file.

    Args:
        path: on a disk or in an object store.
        most: largest number of bytes to unpack.

    Raises:
        OSError: missing, or not a file.
        ValueError: damaged, too large, or with pickled objects.
    """
    content = io.BytesIO(read_bytes(path))
    try:
        with zipfile.ZipFile(content) as file:
            size = sum(member.file_size for member in file.infolist())
        if size > most:
            raise ValueError(f"it unpacks to {size} bytes")
        with np.load(content, allow_pickle=False) as file:
            return dict(file)
    except Exception as error:  # zipfile and its decompressors raise many types of errors
        raise ValueError(str(error)) from None


def damaged(path: str | os.PathLike[str], reason: str) -> RequestError:
    """Returns the error for a damaged file of a run."""
    return RequestError(f"{os.fspath(path)!r} is damaged ({reason}); restore a copy of it")
