"""Atomic writes: on a full disk and after power loss, a name has the old or the new content."""

import errno
import os
from pathlib import Path

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
