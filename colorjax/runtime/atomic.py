"""Atomic file writes: a file is written to a temporary name, synced, then renamed.

Every file of the program is written here, through a Python file, which writes all bytes or raises.
Encoders get memory, not a file: Pillow's JPEG encoder takes a short last write on a full disk for a
whole one.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import hashlib
import io
import os
import re
import secrets
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from etils import epath
from PIL import Image

from colorjax.runtime.paths import is_remote

# Machine (files of earlier versions have none) and process id of the writer.
_NAME = re.compile(r"\.colorjax-(?:([0-9a-f]{8})-)?(\d+)-.*\.partial")
_DAY = 86400.0  # seconds

# Of the Windows API.
_QUERY_LIMITED_INFORMATION = 0x1000
_ACCESS_DENIED = 5
_STILL_ACTIVE = 259
_MOST_PROCESS = 2**32 - 1


@contextlib.contextmanager
def replacing(path: Path, num_bytes: int | None = None) -> Iterator[Path]:
    """Yields the path of a temporary file that replaces `path` once it is synced to disk.

    For films and shards, which do not fit into memory; `write_bytes` for all other files. The
    temporary file is .colorjax-MACHINE-PROCESS-TOKEN.partial in the folder of `path`. If the block
    raises, the temporary file is removed and `path` is not changed. The folder must exist.

    Args:
        path: the file.
        num_bytes: its size, to be checked; None: not known.

    Raises:
        OSError: the disk is full, the file has another size, or the folder is missing or not
            writable.
    """
    owner = f"{machine()}-{os.getpid()}"
    partial = path.with_name(f".colorjax-{owner}-{secrets.token_hex(4)}.partial")
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
            written = os.fstat(file.fileno()).st_size
        if num_bytes not in (None, written):
            raise OSError(errno.EIO, f"{written} of {num_bytes} bytes were written")
        os.replace(partial, path)
        sync(path.parent)
    finally:
        with contextlib.suppress(OSError):  # it was renamed, or the folder does not exist
            partial.unlink()


def sync(path: Path) -> None:
    """Syncs a file, or the names in a folder, to disk; not all file systems can sync folders."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_bytes(path: epath.Path | Path, content: bytes | memoryview) -> None:
    """Writes a file atomically: readers see the old or the new content, even after power loss.

    Raises:
        OSError: the file cannot be written completely.
    """
    if is_remote(path):
        path.write_bytes(bytes(content))  # object stores publish complete files only
        return
    with replacing(Path(path), len(content)) as partial, open(partial, "xb") as file:
        file.write(content)


def write_text(path: epath.Path | Path, text: str) -> None:
    """Writes a text file in UTF-8 atomically."""
    write_bytes(path, text.encode())


def write_png(path: epath.Path | Path, picture: Image.Image) -> None:
    """Writes a picture as PNG atomically."""
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    write_bytes(path, buffer.getvalue())


def remove_partials(folders: Iterable[Path]) -> int:
    """Removes the temporary files of dead processes and of this one.

    Those of other machines, which may share the folder, are removed once they are a day old.

    Args:
        folders: searched without subfolders; missing or unreadable ones are skipped.

    Returns:
        How many were removed.
    """
    removed = 0
    for folder in folders:
        for path in _partials(folder):
            try:
                path.unlink()
                removed += 1
            except OSError:
                continue
    return removed


def _partials(folder: Path) -> list[Path]:
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    owners = {name: _NAME.fullmatch(name) for name in names}
    return [folder / name for name, owner in owners.items() if owner and _is_left(folder, owner)]


def _is_left(folder: Path, owner: re.Match[str]) -> bool:
    """Returns whether no process writes to a temporary file any more."""
    if owner[1] in (None, machine()):
        return not lives(int(owner[2]))
    try:
        return time.time() - (folder / owner[0]).stat().st_mtime > _DAY
    except OSError:  # renamed or removed meanwhile
        return False


@functools.cache
def machine() -> str:
    """Returns 8 hexadecimal digits for the machine, or container, whose process ids we see."""
    space = ""
    with contextlib.suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")  # containers may share a host name
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:8]


def lives(process: int) -> bool:
    """Returns whether a process other than this one has the process id."""
    if process == os.getpid():
        return False
    if os.name == "nt":
        return _lives_on_windows(process)
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it belongs to another user
        return True
    return True


def _lives_on_windows(process: int) -> bool:
    """Returns whether a process id is in use; `os.kill` would interrupt or end that process."""
    if process > _MOST_PROCESS:
        return False
    windows: Any = ctypes  # these names are missing on other systems
    kernel32 = windows.WinDLL("kernel32", use_last_error=True)
    kernel32.OpenProcess.restype = ctypes.c_void_p
    handle = kernel32.OpenProcess(_QUERY_LIMITED_INFORMATION, False, ctypes.c_uint32(process))
    if not handle:  # if access is denied, it belongs to another user
        return windows.get_last_error() == _ACCESS_DENIED
    try:
        status = ctypes.c_uint32()
        is_known = kernel32.GetExitCodeProcess(ctypes.c_void_p(handle), ctypes.byref(status))
        return not is_known or status.value == _STILL_ACTIVE
    finally:
        kernel32.CloseHandle(ctypes.c_void_p(handle))
