"""Data and workdirs in an object store; the store is a stand-in, what reaches it is not."""

import contextlib
import io
import os
import subprocess

import numpy as np
import pytest
from helpers.object_store import serving
from helpers.program import TINY, command, read_metrics, run
from PIL import Image

from colorjax.cli import main as cli
from colorjax.errors import RequestError
from colorjax.runtime import atomic, paths


def run_on(environment, *flags):
    given = command(*flags)
    given["env"] |= environment
    return subprocess.run(**given, capture_output=True, text=True, check=False)


def losses(workdir):
    return [line for line in read_metrics(workdir) if "train/loss" in line]


@pytest.mark.slow
def test_a_run_in_a_bucket_is_the_run_on_a_disk(photos, tmp_path):
    local = [*TINY, f"--config.data.path={photos}", f"--workdir={tmp_path / 'w'}"]
    assert run(*local, "--config.total_steps=8").returncode == 0
    with serving() as (environment, objects):
        for path in photos.rglob("*.*"):
            objects.add("bucket", f"photos/{path.relative_to(photos)}", path.read_bytes())
        flags = [*TINY, "--config.data.path=gs://bucket/photos", "--workdir=gs://bucket/run"]
        for steps in (5, 8):
            result = run_on(environment, *flags, f"--config.total_steps={steps}")
            assert result.returncode == 0, result.stderr
        assert "resuming from step 5 of gs://bucket/run" in result.stderr
        (tmp_path / "copy").mkdir()
        (tmp_path / "copy/metrics.jsonl").write_bytes(objects["bucket/run/metrics.jsonl"])
        assert losses(tmp_path / "copy") == losses(tmp_path / "w")
        assert "bucket/run/checkpoints/8/SHA256SUMS" in objects
        events = [name for name in objects if name.startswith("bucket/run/tensorboard/")]
        assert len(events) == 2
        assert all(len(objects[name]) > 1000 for name in events)

        largest = max(
            (name for name in objects if name.startswith("bucket/run/checkpoints/8/weights/")),
            key=lambda name: len(objects[name]),
        )
        damaged = bytearray(objects[largest])
        damaged[len(damaged) // 2] ^= 1
        objects.add(*largest.split("/", 1), damaged)
        result = run_on(environment, *flags, "--config.total_steps=9")
        assert result.returncode == 0, result.stderr
        assert "checkpoint 8 is damaged" in result.stderr
        assert "resuming from step 6" in result.stderr


def test_paths_of_disks_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert os.fspath(paths.locate("run")) == str(tmp_path / "run")
    assert "~" not in os.fspath(paths.locate("~/run"))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [("s3://bucket/run", "pip install s3fs"), ("ftp://host/run", "gs://... or s3://...")],
)
def test_stores_that_cannot_be_reached(wrong, told):
    with pytest.raises(RequestError, match=told):
        paths.locate(wrong)


@pytest.mark.parametrize(
    "words",
    [
        ["prior", "sample_photos", "--output", "gs://bucket/prior.npz"],
        ["prepare", "PHOTOS", "--output", "gs://bucket/shards"],
        ["prepare", "gs://bucket/photos", "--output", "shards"],
        ["compare", "zhang16-small", "--data", "PHOTOS", "--output", "gs://bucket/compare"],
        ["colorize", "gs://bucket/photo.png", "--output", "out"],
    ],
)
def test_what_needs_a_disk_says_so(words, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.run([str(photos) if word == "PHOTOS" else word for word in words]) == 2
    assert "must be on a disk" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())  # no folder gs:


def test_so_does_a_sweep(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = ["--config=configs/plain_cnn.py", "--workdir=gs://bucket/s", "--vary=seed=0,1"]
    assert cli.run(["sweep", *flags]) == 2
    assert "must be on a disk" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = paths.locate(tmp_path / "a.txt")
    atomic.write_text(path, "first")

    def fail(*_):
        raise OSError("no room")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="no room"):
        atomic.write_text(path, "second")
    assert path.read_text() == "first"


def test_pictures_and_files_that_grow(tmp_path):
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    atomic.write_png(paths.locate(tmp_path / "a.png"), Image.fromarray(picture))
    found = Image.open(io.BytesIO((tmp_path / "a.png").read_bytes()))
    np.testing.assert_array_equal(np.asarray(found), picture)
    for text in (b"one\n", b"two\n"):
        with contextlib.closing(paths.GrowingFile(paths.locate(tmp_path / "log"))) as file:
            file.write(text)
    assert (tmp_path / "log").read_text() == "one\ntwo\n"


def test_a_file_grows_in_a_store(monkeypatch):
    with serving() as (environment, objects):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        path = paths.locate("gs://bucket/a/log.txt")
        for text in (b"one\n", b"two\n"):
            with contextlib.closing(paths.GrowingFile(path)) as file:
                file.write(text)
                file.flush_now_and_then(1000)
        assert objects["bucket/a/log.txt"] == b"one\ntwo\n"
        assert [os.fspath(p) for p in paths.files_below(path.parent)] == ["gs://bucket/a/log.txt"]
