"""Locks: one process at a time, named in the message of the other."""

import contextlib
import os
import socket
import stat
import subprocess
import sys

import portalocker
import pytest
from helpers.platforms import posix_only

from colorjax.errors import RequestError
from colorjax.parallel import mesh as parallel
from colorjax.runtime import locks
from colorjax.runtime.locks import alone, folder_of_user, lock_of, only_process
from colorjax.weights.workdir import LOCK, Workdir

HOLDER = """
import sys
from colorjax.runtime.locks import only_process
from pathlib import Path
with only_process(Path(sys.argv[1]), "is here"):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of a workdir."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / LOCK)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.wait()


@posix_only("Windows cannot read a locked file")
def test_a_second_training_names_the_first_and_changes_nothing(holder, tmp_path):
    with contextlib.ExitStack() as stack, pytest.raises(RequestError) as caught:
        Workdir(tmp_path).lock(stack)
    assert str(caught.value) == (
        f"another colorjax (process {holder.pid}) is training in this workdir; wait until it is "
        "done, or give another --workdir"
    )
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]


@posix_only("Windows cannot read a locked file")
def test_a_killed_training_leaves_no_lock(holder, tmp_path):
    holder.kill()
    holder.wait()
    assert (tmp_path / LOCK).exists()
    with contextlib.ExitStack() as stack:
        Workdir(tmp_path).lock(stack)
        assert (tmp_path / LOCK).read_text() == f"{os.getpid()} on {socket.gethostname()}"
    assert not (tmp_path / LOCK).exists()


@posix_only("Windows cannot read a locked file")
def test_a_process_of_another_machine_is_named_with_it(tmp_path):
    lock = lock_of(tmp_path / "a")
    lock.write(b"12 on node7\n\x1b[2J")
    lock.flush()
    says = r"another colorjax \(process 12 on node7\\n\\x1b\[2J\) is here; wait"
    with pytest.raises(RequestError, match=says), only_process(tmp_path / "a", "is here"):
        pass
    lock.close()


def test_only_the_first_process_of_several_locks(tmp_path, monkeypatch):
    with contextlib.ExitStack() as stack:
        monkeypatch.setattr(parallel, "is_first", lambda: False)
        Workdir(tmp_path).lock(stack)
        assert not (tmp_path / LOCK).exists()
        monkeypatch.setattr(parallel, "any_host", lambda number: 1)  # the first one was refused
        with pytest.raises(RequestError, match="the first process cannot lock"):
            Workdir(tmp_path).lock(stack)


def test_object_stores_have_no_lock():
    with contextlib.ExitStack() as stack:
        folder = Workdir("/unused")
        folder.root = "gs://bucket/run"
        folder.lock(stack)


def test_a_file_system_without_locks_does_not_stop_a_training(tmp_path, monkeypatch):
    def fail(*_):
        raise portalocker.LockException("Function not implemented")

    monkeypatch.setattr(portalocker, "lock", fail)
    with contextlib.ExitStack() as stack:
        Workdir(tmp_path).lock(stack)


@posix_only("Windows has another text for it")
def test_a_workdir_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with (
        contextlib.ExitStack() as stack,
        pytest.raises(RequestError, match="cannot be written \\(Not a directory"),
    ):
        Workdir(tmp_path / "file" / "run").lock(stack)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files, and in it the path of this user's folder."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(locks.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "tmp" / f"colorjax-{os.getuid()}"


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@posix_only("Windows has no owners and modes of folders")
def test_the_folder_of_a_user_is_private_and_stays(temporary):
    assert [folder_of_user() for _ in range(2)] == [temporary] * 2
    assert mode(temporary) == 0o700


def by_link(folder):
    (folder.parent / "elsewhere").mkdir()
    folder.symlink_to(folder.parent / "elsewhere")


def pipe(folder):
    os.mkfifo(folder)


def open_to_all(folder):
    folder.mkdir()
    folder.chmod(0o777)


@posix_only("Windows has no owners and modes of folders")
@pytest.mark.parametrize("prepare", [by_link, open_to_all, pipe])
def test_a_folder_that_others_can_write_is_left_alone(temporary, prepare):
    prepare(temporary)
    private = temporary.parents[1] / "cache" / "colorjax" / "locks"
    assert folder_of_user() == private
    assert mode(private) == 0o700


@posix_only("Windows has no owners and modes of folders")
def test_a_folder_of_another_user_is_left_alone(temporary, monkeypatch):
    user = os.getuid()
    temporary.mkdir(mode=0o700)
    temporary = temporary.rename(temporary.with_name(f"colorjax-{user + 1}"))
    monkeypatch.setattr(locks.os, "getuid", lambda: user + 1)
    with pytest.raises(RequestError) as caught:
        folder_of_user()  # of the cache folder too, this process is not the owner
    assert str(caught.value) == (
        f"{str(temporary)!r} is not a folder of this user alone; remove it, or set TMPDIR to a "
        "folder of your own"
    )


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="this system follows links")
@pytest.mark.parametrize("lock", [lock_of, lambda path: alone(path).__enter__()])
def test_a_link_in_place_of_a_lock_is_not_followed(tmp_path, lock):
    (tmp_path / "mine").write_text("text")
    (tmp_path / "a.lock").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match="symbolic link"):
        lock(tmp_path / "a.lock")
    assert (tmp_path / "mine").read_text() == "text"
