"""Locks: one process at a time, named in the message of the other."""

import contextlib
import os
import socket
import subprocess
import sys

import portalocker
import pytest
from helpers.platforms import posix_only

from colorjax.errors import RequestError
from colorjax.parallel import mesh as parallel
from colorjax.runtime.locks import lock_of, only_process
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
