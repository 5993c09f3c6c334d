"""The writer for Weights & Biases, offline: nothing leaves the machine."""

import contextlib
import json
import struct
import sys
import time

import numpy as np
import pytest
from helpers.synthetic import tiny_config

from colorjax.errors import RequestError
from colorjax.train.log import writers
from colorjax.train.log.writers import Overview
from colorjax.train.report import open_writers
from colorjax.weights.workdir import Workdir


@pytest.fixture
def offline(monkeypatch, tmp_path):
    pytest.importorskip("wandb")
    for name, value in {
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "WANDB_CACHE_DIR": str(tmp_path / "cache"),
        "WANDB_CONFIG_DIR": str(tmp_path / "settings"),
        "WANDB_DATA_DIR": str(tmp_path / "data"),
        "HOME": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)


def records(file):
    """Yields the records of a .wandb file: LevelDB's log format behind a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    data, position, whole = file.read_bytes(), 7, b""
    while position + 7 <= len(data):
        left = 32768 - position % 32768  # of the block
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        whole += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def history(file):
    for record in records(file):
        if record.WhichOneof("record_type") == "history":
            yield {
                (item.key or "/".join(item.nested_key)): json.loads(item.value_json)
                for item in record.history.item
            }


def config_with(names):
    config = tiny_config("unused")
    config.writers = names
    return config


def test_a_run_and_its_continuation_are_one_run(offline, tmp_path):
    config = config_with("tensorboard, jsonl,wandb")
    workdir = Workdir(tmp_path / "run")
    workdir.root.mkdir()
    for first in (1, 3):
        with contextlib.ExitStack() as stack:
            writer = open_writers(config, workdir, first, stack)
            for step in (first, first + 1):
                writer.write_scalars(step, {"train/loss": 1 / step}, {"train/detail": 2.0})
            writer.write_images(first, {"pictures/0": np.zeros((4, 6, 3), np.uint8)})
            writer.write_texts(first, {"parameters": "a <b>"})
            writer.write_overview(Overview({"seed": first, "model.name": "unet"}, (), {}))
    run_id = json.loads((tmp_path / "run" / "wandb.json").read_text())["id"]
    files = sorted((tmp_path / "run" / "wandb").glob(f"offline-run-*-{run_id}/run-{run_id}.wandb"))
    assert len(files) == 2
    end = time.monotonic() + 60  # W&B's process writes the last lines after the run has ended
    while time.monotonic() < end and not any(row["step"] == 4 for row in history(files[1])):
        time.sleep(0.1)
    rows = [row for file in files for row in history(file)]
    losses = [(row["step"], row["train/loss"]) for row in rows if "train/loss" in row]
    assert losses == [(step, pytest.approx(1 / step)) for step in (1, 2, 3, 4)]
    assert not any("train/detail" in row for row in rows)  # as in TensorBoard
    runs = [r.run for file in files for r in records(file) if r.WhichOneof("record_type") == "run"]
    assert {(run.run_id, run.project, run.display_name) for run in runs} == {
        (run_id, "colorjax", "run")
    }
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]
    assert list((tmp_path / "run" / "tensorboard").iterdir())


def test_a_damaged_id_gives_a_new_run(offline, tmp_path):
    from colorjax.train.log.wandb import _id_of

    path = Workdir(tmp_path).root / "wandb.json"
    first = _id_of(path)
    assert _id_of(path) == first
    for text in ("", "[]", '{"id": "../x"}', '{"id": 3}'):
        path.write_text(text)
        assert _id_of(path) not in (first, "../x")


def test_configs_of_earlier_versions_write_as_before():
    config = tiny_config("unused")
    assert writers.names_of(config) == ("jsonl", "tensorboard")
    with config.unlocked():
        del config.writers
    assert writers.names_of(config) == ("jsonl", "tensorboard")
    assert writers.names_of(config_with("jsonl")) == ("jsonl",)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ("jsonl,tensorbord", r"'tensorbord' \(did you mean tensorboard\?\); known: jsonl, "),
        ("tensorboard", "must have jsonl.*--config.writers=jsonl,tensorboard"),
        ("", "must have jsonl"),
    ],
)
def test_wrong_names_are_one_line(names, text):
    with pytest.raises(RequestError, match=text):
        writers.names_of(config_with(names))


def test_a_missing_package_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(RequestError, match=r"pip install 'colorjax\[wandb\]'"):
        writers.names_of(config_with("jsonl,wandb"))


def test_without_a_login_the_run_says_what_to_do(offline, tmp_path, monkeypatch):
    import wandb

    def init(**_):
        raise wandb.errors.UsageError("No API key configured.\nmore")

    monkeypatch.setattr(wandb, "init", init)
    with contextlib.ExitStack() as stack, pytest.raises(RequestError, match="wandb login"):
        open_writers(config_with("jsonl,wandb"), Workdir(tmp_path), 1, stack)
