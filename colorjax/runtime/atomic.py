"""Atomic file writes: a file is written to a temporary name, synced, then renamed."""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from etils import epath
from PIL import Image

from colorjax.runtime.paths import is_remote

_NAME = re.compile(r"\.colorjax-(\d+)-.*\.partial")  # the number is the process id of the writer


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields the path of a temporary file that replaces `path` once it is synced to disk.

    The temporary file is .colorjax-PROCESS-TOKEN.partial in the folder of `path`. If the block
    raises, the temporary file is removed and `path` is not changed. The folder must exist.

    Raises:
        OSError: the disk is full, or the folder is missing or not writable.
    """
    partial = path.with_name(f".colorjax-{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):  # it was renamed, or the folder does not exist
            partial.unlink()


def write_bytes(path: epath.Path | Path, content: bytes) -> None:
    """Writes a file atomically: readers see the old or the new content.

    Raises:
        OSError: the file cannot be written completely.
    """
    if is_remote(path):
        path.write_bytes(content)  # object stores publish complete files only
        return
    with replacing(Path(path)) as partial:
        partial.write_bytes(content)
        written = partial.stat().st_size
        if written != len(content):
            raise OSError(f"{written} of {len(content)} bytes were written")


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
    return [folder / name for name, owner in owners.items() if owner and not _lives(int(owner[1]))]


def _lives(process: int) -> bool:
    """Returns whether a process other than this one has the process id."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it belongs to another user
        return True
    return True
