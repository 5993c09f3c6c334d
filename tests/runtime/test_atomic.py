"""Atomic writes: on a full disk and after power loss, a name has the old or the new content."""

import ctypes
import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.platforms import linux_only, posix_only

from colorjax.data import prepare
from colorjax.errors import RequestError
from colorjax.runtime import atomic


def limited(size, write):
    """Calls a function while no file may become larger than `size` bytes."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))  # Python ignores SIGXFSZ
    try:
        write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@linux_only("names of open files are in /proc")
def test_file_and_folder_are_synced_before_and_after_the_rename(tmp_path, monkeypatch):
    calls, rename = [], os.replace
    monkeypatch.setattr(
        os, "fsync", lambda number: calls.append(Path(os.readlink(f"/proc/self/fd/{number}")))
    )
    monkeypatch.setattr(os, "replace", lambda old, new: (calls.append("rename"), rename(old, new)))
    atomic.write_bytes(tmp_path / "a", b"new")
    assert [calls[0].suffix, *calls[1:]] == [".partial", "rename", tmp_path]


def test_a_short_write_is_an_error_and_the_old_content_stays(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", lambda number: os.ftruncate(number, 2))
    with pytest.raises(OSError, match="2 of 3 bytes were written") as caught:
        atomic.write_bytes(path, b"new")
    assert caught.value.errno == errno.EIO
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert path.read_bytes() == b"old"


@posix_only("Windows has neither RLIMIT_FSIZE nor array_record")
def test_a_full_disk_at_any_size_leaves_no_shard(tmp_path):
    path = tmp_path / "s.array_record"
    records = [os.urandom(3000) for _ in range(12)]
    prepare._write_records(path, iter(records))
    whole = path.stat().st_size
    path.write_bytes(b"earlier")
    for size in [*range(4096, whole, 4096), whole - 1]:
        with pytest.raises((RequestError, OSError)):
            limited(size, lambda: prepare._write_records(path, iter(records)))
        assert path.read_bytes() == b"earlier"
        assert [p.name for p in tmp_path.iterdir()] == [path.name]
    prepare._write_records(path, iter(records))
    assert path.stat().st_size == whole


def test_a_process_lives_until_it_ends():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert atomic.lives(process.pid)
    process.communicate()
    assert not atomic.lives(process.pid)
    assert not atomic.lives(os.getpid())
    assert not atomic.lives(2**80)


@pytest.mark.parametrize(
    ("handle", "error", "status", "is_alive"),
    [
        (2**40, 0, 259, True),
        (2**40, 0, 0, False),  # it ended; another process has it open
        (2**40, 0, None, True),
        (None, 87, None, False),  # ERROR_INVALID_PARAMETER: no such process
        (None, 5, None, True),  # ERROR_ACCESS_DENIED
    ],
)
def test_on_windows_no_signal_is_sent(monkeypatch, handle, error, status, is_alive):
    """Signal 0 is Ctrl-C there."""
    asked, closed = [], []

    def open_process(access, inherits, process):
        asked.append((access, process.value))
        return handle

    def exit_code(given, to):
        if status is not None:
            to._obj.value = status
        return status is not None

    kernel32 = SimpleNamespace(
        OpenProcess=open_process,
        GetExitCodeProcess=exit_code,
        CloseHandle=lambda given: closed.append(given.value),
    )
    monkeypatch.setattr(ctypes, "WinDLL", lambda *_, **__: kernel32, raising=False)
    monkeypatch.setattr(ctypes, "get_last_error", lambda: error, raising=False)
    monkeypatch.setattr(atomic, "os", SimpleNamespace(name="nt", getpid=os.getpid, kill=None))
    assert [atomic.lives(process) for process in (4321, 2**32)] == [is_alive, False]
    assert asked == [(0x1000, 4321)]
    assert closed == ([handle] if handle else [])
