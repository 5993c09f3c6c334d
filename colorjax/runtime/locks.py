"""File locks between the processes of one machine."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import portalocker

from colorjax.errors import RequestError
from colorjax.runtime.file_names import printable


def folder_of_user() -> Path:
    """Returns the folder for locks between the processes of this user; creates it.

    It is in the folder for temporary files or, if another user has prepared it there, in the user's
    cache folder.

    Raises:
        RequestError: others can write to both.
        OSError: it cannot be created.
    """
    # The number, as a container can run as a user without a name.
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    folder = Path(tempfile.gettempdir(), f"colorjax-{user}")
    if _is_made_private(folder):
        return folder
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    other = Path(cache, "colorjax", "locks")
    if other.is_absolute() and _is_made_private(other):
        return other
    raise RequestError(
        f"{str(folder)!r} is not a folder of this user alone; remove it, or set TMPDIR to a folder "
        "of your own"
    )


def _is_made_private(folder: Path) -> bool:
    """Creates a folder if it is missing; returns whether only this user can write to it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()  # a link can lead to any folder of the user
    if not stat.S_ISDIR(status.st_mode):
        return False
    is_own = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    return is_own and (os.name == "nt" or not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def lock_of(path: Path) -> IO[bytes] | None:
    """Locks a file without waiting.

    A link is not followed, where the system can do that.

    Returns:
        The open file, which holds the lock until it is closed here and in all processes that
        inherit it; None if another process holds the lock. On a file system without locks the
        file is open but not locked.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "ab", opener=_without_links)  # noqa: SIM115 (the caller closes it)
    try:
        portalocker.lock(file, portalocker.LOCK_EX | portalocker.LOCK_NB)
    except portalocker.AlreadyLocked:
        file.close()
        return None
    except portalocker.LockException:  # the file system has no locks, such as some Lustre mounts
        pass
    return file


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def is_held(path: Path) -> bool:
    """Returns whether a process holds the lock on a file; False without the file or locks."""
    if not path.exists():
        return False
    try:
        lock = lock_of(path)
    except OSError:  # the file was removed with its folder, or belongs to another user
        return False
    if lock is not None:
        lock.close()
    return lock is None


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Context manager that waits for the lock on a file and holds it."""
    with open(path, "wb", opener=_without_links) as file:
        portalocker.lock(file, portalocker.LOCK_EX)
        yield


@contextlib.contextmanager
def only_process(path: Path, work: str, instead: str = "--output") -> Iterator[None]:
    """Context manager that holds the lock on a file, and removes the file at the end.

    Args:
        path: the file; its folder is created. While the lock is held, it names the process and its
            machine.
        work: what the process does, for the message: "is colorizing this film".
        instead: the option to change, for the message.

    Raises:
        RequestError: another process holds the lock.
        OSError: the file cannot be created.
    """
    lock = lock_of(path)
    if lock is None or not _is_same(lock, path):
        process = ""
        with contextlib.suppress(OSError):  # Windows cannot read a locked file
            process = printable(path.read_bytes()[:200].decode(errors="replace"))
        process = process.removesuffix(f" on {socket.gethostname()}")
        raise RequestError(
            f"another colorjax{f' (process {process})' if process else ''} {work}; wait until it "
            f"is done, or give another {instead}"
        )
    try:
        lock.truncate(0)
        lock.write(f"{os.getpid()} on {socket.gethostname()}".encode())
        lock.flush()
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # before others can lock it; Windows does that after it is closed only
        lock.close()
        if os.name == "nt":
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _is_same(lock: IO[bytes], path: Path) -> bool:
    """Returns whether a file still has its path: its last owner may have removed it."""
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(lock.fileno()), path.stat())
    return False
