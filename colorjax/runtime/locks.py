"""File locks between the processes of one machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import portalocker


def lock_of(path: Path) -> IO[bytes] | None:
    """Locks a file without waiting.

    Returns:
        The open file, which holds the lock until it is closed here and in all processes that
        inherit it; None if another process holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "ab")  # noqa: SIM115 (the caller closes it)
    try:
        portalocker.lock(file, portalocker.LOCK_EX | portalocker.LOCK_NB)
    except portalocker.LockException:
        file.close()
        return None
    return file


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Context manager that waits for the lock on a file and holds it."""
    with open(path, "wb") as file:
        portalocker.lock(file, portalocker.LOCK_EX)
        yield
