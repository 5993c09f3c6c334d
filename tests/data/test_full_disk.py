"""A full disk at any size: no cut shard under a final name, and the same command continues."""

import numpy as np
import pytest
from helpers import disk

from colorjax.data import prepare
from colorjax.data.sources.records import ArrayRecordSource, pack
from colorjax.errors import RequestError

STEP = 1024


def test_a_shard_is_whole_or_missing(tmp_path, capfd):
    rng = np.random.default_rng(0)
    records = [pack(rng.bytes(3000), 0, f"{i}.png") for i in range(12)]
    path = tmp_path / "photos-00000-of-00001.array_record"
    prepare._write_records(path, iter(records))
    whole = path.read_bytes()
    path.unlink()
    assert len(whole) > 32_000
    for size in [*range(STEP, len(whole), STEP), len(whole) - 1]:
        with (
            disk.room(size),
            pytest.raises(RequestError, match=r"File too large.*free disk space") as caught,
        ):
            prepare._write_records(path, iter(records))
        assert "\n" not in str(caught.value)
        assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    with disk.room(len(whole)):
        assert prepare._write_records(path, iter(records)) == 12
    assert path.read_bytes() == whole
    assert len(ArrayRecordSource(path)) == 12


def test_prepare_continues_at_the_missing_shards(photos, tmp_path):
    whole = tmp_path / "whole"
    prepare.prepare(photos, whole, num_shards=2, jobs=1)
    files = {path.name: path.read_bytes() for path in whole.iterdir()}
    largest = max(map(len, files.values()))
    output = tmp_path / "cut"
    for size in [*range(STEP, largest, 4 * STEP), largest - 1]:
        with disk.room(size), pytest.raises((RequestError, OSError)):
            prepare.prepare(photos, output, num_shards=2, jobs=1)
        for path in output.iterdir():
            assert path.read_bytes() == files[path.name]
    prepare.prepare(photos, output, num_shards=2, jobs=1)
    assert {path.name for path in output.iterdir()} == set(files)
