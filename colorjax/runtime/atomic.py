"""Files that a killed run left half-written, beside where they would have been renamed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

_NAME = re.compile(r"\.colorjax-(\d+)-.*\.partial")  # with the process that writes it


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
