"""Files that are there whole or not at all: written beside their place, synced, then renamed."""

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

_NAME = re.compile(r"\.colorjax-(\d+)-.*\.partial")  # with the process that writes it


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives the path of a file to write, which takes the place of `path` once it is on the disk.

    Its name is .colorjax-PROCESS-TOKEN.partial, beside `path`. Where the block raises, the file
    goes, and what was at `path` stays. A folder has to be there.

    Raises:
        OSError: the disk is full, the folder is missing or may not be written.
    """
    partial = path.with_name(f".colorjax-{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):  # it was renamed, or the folder is none
            partial.unlink()


def write_bytes(path: epath.Path | Path, content: bytes) -> None:
    """Writes a file in one step: readers see the old one or the new one.

    Raises:
        OSError: it cannot be written whole.
    """
    if is_remote(path):
        path.write_bytes(content)  # there once it is whole
        return
    with replacing(Path(path)) as partial:
        partial.write_bytes(content)
        written = partial.stat().st_size
        if written != len(content):
            raise OSError(f"{written} of {len(content)} bytes were written")


def write_text(path: epath.Path | Path, text: str) -> None:
    """Writes a text file in UTF-8 in one step."""
    write_bytes(path, text.encode())


def write_png(path: epath.Path | Path, picture: Image.Image) -> None:
    """Writes a picture as PNG in one step."""
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    write_bytes(path, buffer.getvalue())


def remove_partials(folders: Iterable[Path]) -> int:
    """Removes the partial files of dead processes and of this one.

    Args:
        folders: to look in, not below; those that are missing or locked are passed over.

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
    """Whether another process than this one has the number."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it is another user's
        return True
    return True
