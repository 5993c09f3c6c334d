"""The writer for Weights & Biases, offline: nothing leaves the machine."""

import atexit
import contextlib
import json
import logging
import shlex
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.synthetic import tiny_config

from colorjax.errors import DONE, STOPPED, Interrupted, RequestError
from colorjax.train import loop, report
from colorjax.train.log import wandb as own
from colorjax.train.log import writers
from colorjax.train.log.writers import Overview, Writers
from colorjax.train.report import Reporter, open_writers
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
            whole = {"seed": first, "data": {"path": "photos"}}
            writer.write_overview(Overview({"seed": first, "model.name": "unet"}, (), {}, whole))
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
    fields = {
        (item.key or "/".join(item.nested_key)): json.loads(item.value_json)
        for record in records(files[1])
        for item in record.config.update
    }
    assert fields.items() >= {"seed": 3, "data": {"path": "photos"}}.items()
    assert "model.name" not in fields  # of TensorBoard's page HParams
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


def test_an_error_without_a_text_is_named(offline, tmp_path, monkeypatch):
    import wandb

    def init(**_):
        raise wandb.errors.CommError(" ")

    monkeypatch.setattr(wandb, "init", init)
    with pytest.raises(RequestError, match="wandb: CommError; run `wandb login`"):
        own.WeightsAndBiases(Workdir(tmp_path).root)


class Run:
    """Records what a run of W&B is told; `finish` takes some seconds."""

    def __init__(self, seconds=0.0, folder="run"):
        self.calls, self.sync_dir, self._seconds = [], folder, seconds

    def mark_preempting(self):
        self.calls.append("preempting")

    def finish(self, exit_code=None):
        self.calls.append(exit_code)
        time.sleep(self._seconds)


def writer_of(run):
    import wandb

    writer = own.WeightsAndBiases.__new__(own.WeightsAndBiases)
    writer._wandb, writer._run = wandb, run
    return writer


@pytest.mark.parametrize(
    ("error", "status", "calls"),
    [
        (None, DONE, [0]),
        (None, STOPPED, ["preempting", 75]),
        (RequestError("step 3: the loss is nan"), DONE, [1]),
        (OSError("full"), DONE, [1]),
        (Interrupted("another host is gone"), DONE, ["preempting", 75]),
        (KeyboardInterrupt(), DONE, ["preempting", 75]),
    ],
)
def test_a_run_shows_how_it_ended(offline, error, status, calls):
    run = Run()
    with contextlib.suppress(Exception, KeyboardInterrupt), Writers([writer_of(run)]) as every:
        every.status = status
        if error is not None:
            raise error
    assert run.calls == calls


def test_the_file_says_that_a_run_was_stopped(offline, tmp_path):
    writer = own.WeightsAndBiases(Workdir(tmp_path).root)
    writer.close(STOPPED)
    (file,) = Path(writer._folder).glob("run-*.wandb")
    kinds = {}
    end = time.monotonic() + 60
    while time.monotonic() < end and "exit" not in kinds:
        kinds = {record.WhichOneof("record_type"): record for record in records(file)}
        time.sleep(0.1)
    assert "preempting" in kinds
    assert kinds["exit"].exit.exit_code == STOPPED


def test_a_stopped_training_is_not_shown_as_finished(photos, tmp_path, monkeypatch):
    ends = []
    monkeypatch.setattr(writers.MetricsFile, "close", lambda self, status: ends.append(status))
    monkeypatch.setattr(Reporter, "report", lambda *_, **options: True)
    config = tiny_config(photos, writers="jsonl")
    assert loop.train_and_evaluate(config, str(tmp_path / "run"), time_limit=0.0) == STOPPED
    assert ends == [STOPPED]


def test_the_config_of_a_training_is_sent_whole(photos, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(Writers, "write_overview", lambda self, overview: seen.append(overview))
    config = tiny_config(photos, writers="jsonl")
    assert loop.train_and_evaluate(config, str(tmp_path / "run"), time_limit=0.0) == STOPPED
    assert seen[0].config == json.loads((tmp_path / "run" / "config.json").read_text())
    assert "data.path" not in seen[0].hparams


def test_the_end_waits_for_a_lost_network_only_so_long(offline, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(own, "_LONGEST_END", 0.2)
    hooks = []
    monkeypatch.setattr(own, "_leave", hooks.append)
    start = time.monotonic()
    writer_of(Run(seconds=5.0, folder="a b/run-1")).close()
    assert time.monotonic() - start < 2
    assert len(hooks) == 1
    assert "`wandb sync --include-online 'a b/run-1'` does" in caplog.text


def test_w_and_b_gives_up_before_that_and_its_hook_can_be_left_out(offline, tmp_path, monkeypatch):
    import wandb

    writer = own.WeightsAndBiases(Workdir(tmp_path).root)
    settings = writer._run.settings
    if "finish_timeout" in wandb.Settings.model_fields:
        assert 0 < settings.finish_timeout < own._LONGEST_END
    assert settings.disable_git
    assert not settings.save_code
    writer.close()
    unregistered = []
    with monkeypatch.context() as patch:
        patch.setattr(atexit, "unregister", unregistered.append)
        own._leave(wandb)
    assert [hook.__name__ for hook in unregistered] == ["teardown_atexit"]


def test_the_folder_of_the_hint_is_what_sync_takes(offline, tmp_path, monkeypatch, caplog):
    writer = own.WeightsAndBiases(Workdir(tmp_path).root)
    finish = writer._run.finish

    def late(exit_code):
        finish(exit_code)
        raise TimeoutError

    monkeypatch.setattr(writer._run, "finish", late)
    writer.close()
    (command,) = [line.split("`")[1] for line in caplog.messages if "`" in line]
    folder = Path(shlex.split(command)[-1])
    (file,) = folder.glob("run-*.wandb")
    tool = [sys.executable, "-m", *shlex.split(command), "--dry-run"]
    ended = subprocess.run(tool, capture_output=True, text=True, check=True)
    assert file.name in ended.stdout + ended.stderr
    with monkeypatch.context() as patch:  # as in versions that have no `sync_dir`
        patch.delattr(type(writer._run), "sync_dir", raising=False)
        assert Path(writer._folder) == folder


def test_an_object_store_says_where_the_files_are(offline, tmp_path, monkeypatch, caplog):
    root = Workdir(tmp_path).root
    monkeypatch.setattr(own.paths, "is_remote", lambda path: True)
    monkeypatch.setattr(own, "_id_of", lambda path: "abc")
    monkeypatch.setattr(own.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    caplog.set_level(logging.INFO)
    own.WeightsAndBiases(root).close()
    assert f"W&B writes its files to {tmp_path / 'temporary' / 'wandb'}" in caplog.text


def test_an_evaluation_during_a_training_leaves_its_run_alone(tmp_path, monkeypatch, caplog):
    pytest.importorskip("wandb")
    opened = []

    def open_all(config, *_):
        opened.append(writers.names_of(config))
        raise RequestError("enough")

    monkeypatch.setattr(report, "open_writers", open_all)
    monkeypatch.setattr(report.methods, "build", lambda *_, **options: None)
    monkeypatch.setattr(report, "open_weights", lambda *_: Weights())
    monkeypatch.setattr(report.splits, "open_splits", lambda *_: None)
    monkeypatch.setattr(
        Workdir, "with_its_network", lambda self, config: config.copy_and_resolve_references()
    )
    caplog.set_level(logging.INFO)
    config = config_with("jsonl,tensorboard,wandb")
    with contextlib.ExitStack() as stack:
        Workdir(tmp_path).lock(stack)
        with pytest.raises(RequestError, match="enough"):
            report.evaluate_only(config, str(tmp_path))
        assert caplog.text.count("no W&B for this evaluation") == 1
    with pytest.raises(RequestError, match="enough"):
        report.evaluate_only(config, str(tmp_path))
    assert opened == [("jsonl", "tensorboard"), ("jsonl", "tensorboard", "wandb")]
    assert caplog.text.count("no W&B for this evaluation") == 1


class Weights:
    def load(self, *_):
        return 3, {}
