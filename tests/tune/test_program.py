"""The command itself, and real trials."""

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers import program
from helpers.synthetic import tiny_config

from colorjax.cli import main as cli
from colorjax.runtime import child_process
from colorjax.runtime.signals import Stop
from colorjax.train import loop
from colorjax.train.stopping import StopSignal
from colorjax.tune import measure, space, trial
from colorjax.tune.ledger import Ledger
from colorjax.tune.request import Request

CONFIG = f"{program.ROOT}/configs/plain_cnn.py:size=32"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "the following arguments are required: --config, --workdir; see colorjax tune"),
        (["--config=no.py", "--workdir=w"], "no.py"),
        (
            [f"--config={CONFIG}", "--workdir=w", "--config.modle.x=1"],
            "config has no field 'modle'",
        ),
        ([f"--config={CONFIG}", "--workdir=w", "--nonsense"], "unrecognized arguments: --nonsense"),
        ([f"--config={CONFIG}", "--workdir=w", "--space", "seed=1,2"], "seed cannot be varied"),
        ([f"--config={CONFIG}", "--workdir=w", "--trials", "0"], "--trials is at least 1, not 0"),
        ([f"--config={CONFIG}", "--workdir=w", "--timeout", "soon"], "--timeout is a time such"),
        ([f"--config={CONFIG}", "--workdir=w", "--pruner", "best"], "unknown --pruner 'best'"),
        ([f"--config={CONFIG}", "--workdir=gs://b/w"], "has to be on a disk"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(words, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["tune", *words]) == 2
    printed = capsys.readouterr().err
    assert told in printed
    assert printed.startswith("colorjax: ")
    assert len(printed.splitlines()) == 1
    assert not list(tmp_path.iterdir())  # nothing ran


def test_the_help_has_examples(capsys):
    assert cli.run(["tune", "--help"]) == 0
    told = capsys.readouterr().out
    assert "--space optimizer.learning_rate=log:1e-4..1e-2" in told
    assert "six-knobs" in told


def test_other_commands_take_no_fields_of_a_config(capsys):
    assert cli.run(["compare", "x", "--data=d", "--output=o", "--config.seed=1"]) == 2
    assert "unrecognized arguments: --config.seed=1; see" in capsys.readouterr().err


def test_a_trial_leaves_the_reported_photos_alone_until_they_are_measured(photos, tmp_path):
    config = tiny_config(
        photos,
        **{
            "model.filters": (4, 4),
            "model.strides": (2,),
            "total_steps": 1,
            "eval_every": 1,
            "early_stopping.metric": "mae_ab",
            "evaluation.report": False,
        },
    )
    assert loop.train_and_evaluate(config, str(tmp_path)) == 0
    assert not (tmp_path / "eval.json").exists()
    lines = (tmp_path / "metrics.jsonl").read_text()
    assert "validation/mae_ab" in lines
    assert "eval/" not in lines
    with StopSignal() as stop:
        found = measure.measure(tmp_path, stop)
    validated = json.loads((tmp_path / "validation.json").read_text())
    for part in ("validation", "eval"):
        assert found[part]["num_images"] == len(found[part]["errors"]["mae_ab"]) > 0
        mean = np.mean(found[part]["errors"]["mae_ab"])
        assert mean == pytest.approx(found[part]["metrics"]["mae_ab"], rel=1e-5)
    assert found["validation"]["metrics"] == pytest.approx(validated["metrics"], rel=1e-4)
    assert "grey" in found["eval"]["baselines"]


# A child writes a line when it begins, and another when it is told to end.
CHILD = """
import signal, sys, time, pathlib
log = pathlib.Path(sys.argv[1])
def end(*_):
    log.write_text("told")
    sys.exit(75)
signal.signal(signal.SIGTERM, end)
log.write_text("begun")
time.sleep(60)
"""


def wait_for(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def child(tmp_path, monkeypatch):
    (tmp_path / "a_child.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{program.ROOT}")
    return tmp_path / "log"


def test_a_child_is_told_to_stop(child):
    begun = lambda: child.exists() and child.read_text() == "begun"  # noqa: E731
    assert child_process.run_module("a_child", [str(child)], begun, period=0.05) == 75
    assert child.read_text() == "told"


@pytest.mark.skipif(sys.platform != "linux", reason="the tie to a parent is one of Linux")
def test_a_child_ends_with_its_parent_that_is_killed(child):
    code = (
        "from colorjax.runtime import child_process\n"
        f"child_process.run_module('a_child', [{str(child)!r}], lambda: False)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    wait_for(lambda: child.exists() and child.read_text() == "begun")
    parent.kill()
    parent.wait()
    wait_for(lambda: child.read_text() == "told")


def test_a_stop_notes_signals_and_the_time():
    with Stop() as stop:
        assert not stop
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.reason == "SIGINT"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert Stop(time_limit=0.0).reason == "the time limit"


SPACE = ["model.kernel_size=1,3", "batch_size=4,8", "model.dropout=0..0.5"]
FIELDS = {
    "model.filters": "(4,8,8)",
    "model.strides": "(2,1)",
    "data.eval_fraction": "0.2",
    "data.validation_fraction": "0.2",
    "evaluation.batch_size": "4",
    "evaluation.baseline_photos": "16",
}
TRIALS, PHOTOS = 3, 160


def tune_words(photos, workdir):
    words = ["tune", f"--config={CONFIG}", f"--workdir={workdir}", f"--trials={TRIALS}"]
    words += [f"--photos={PHOTOS}", "--evaluations=8", "--pruner=none", "--patience=0"]
    words += [f"--space={each}" for each in SPACE]
    words += [f"--config.{name}={value}" for name, value in FIELDS.items()]
    return [*words, f"--config.data.path={photos}"]


def start(words):
    made = program.command()
    made["args"] = [sys.executable, "-m", "colorjax", *words]
    return subprocess.Popen(**made, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def results_of(workdir, photos):
    from colorjax import config as config_words

    fields = [word for word in tune_words(photos, workdir) if word.startswith("--config")]
    config = config_words.read_config(fields)
    knobs = space.read_space(SPACE, config)
    options = {"evaluations": 8, "pruner": "none", "patience": 0}
    ledger = Ledger(Request(config, knobs, "mae_ab", PHOTOS, **options), workdir)
    return {t.number: (t.state.name, t.value, t.params) for t in ledger.study.get_trials()}


@pytest.mark.slow
def test_a_study_that_is_killed_again_and_again_loses_nothing(photos, tmp_path):
    """Every trial ends once, with the value that it has in a study that nobody kills."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    result = start(tune_words(photos, whole))
    assert result.wait() == 0, result.stderr.read()
    kills = 0
    for number in range(TRIALS):
        process = start(tune_words(photos, killed))
        folder = killed / "trials" / f"{number:04d}"
        wait_for(functools.partial(trial.validations, folder, "mae_ab"), 300)
        process.kill()
        process.wait()
        kills += 1
    last = start(tune_words(photos, killed))
    output, errors = last.communicate()
    assert last.returncode == 0, errors
    assert "best: trial" in output
    expected, found = results_of(whole, photos), results_of(killed, photos)
    assert len(found) == TRIALS
    assert kills == TRIALS
    assert found == expected
    # The best config runs from any folder, and comes to the same value.
    best = json.loads((killed / "best.json").read_text())
    made = program.command(f"--config={killed / 'best.py'}", f"--workdir={tmp_path / 'best'}")
    made["cwd"] = tmp_path
    made["env"]["PYTHONPATH"] = str(program.ROOT)
    again = subprocess.run(**made, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    values = [json.loads(line) for line in (tmp_path / "best" / "metrics.jsonl").open()]
    values = [line["validation/mae_ab"] for line in values if "validation/mae_ab" in line]
    assert min(values) == best["value"]
    with contextlib.suppress(FileNotFoundError):
        assert json.loads((tmp_path / "best" / "eval.json").read_text())["num_images"] > 0
