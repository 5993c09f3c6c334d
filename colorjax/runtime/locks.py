"""Locks on files, of the processes of one machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import portalocker


def lock_of(path: Path) -> IO[bytes] | None:
    """Locks a file, until it is closed here and in the processes that inherit it.

    Returns:
        The open file; None: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "ab")  # noqa: SIM115 (who locks it closes it)
    try:
        portalocker.lock(file, portalocker.LOCK_EX | portalocker.LOCK_NB)
    except portalocker.LockException:
        file.close()
        return None
    return file


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Waits for the lock on a file, and holds it while it is entered."""
    with open(path, "wb") as file:
        portalocker.lock(file, portalocker.LOCK_EX)
        yield
