"""The command `colorjax tune`, and real trials."""

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
from colorjax.tune.request import StudyRequest

CONFIG = f"{program.ROOT}/configs/plain_cnn.py:size=32"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: --config, --workdir; see colorjax tune"),
        (["--config=no.py", "--workdir=w"], "no.py"),
        (
            [f"--config={CONFIG}", "--workdir=w", "--config.modle.x=1"],
            "config has no field 'modle'",
        ),
        ([f"--config={CONFIG}", "--workdir=w", "--nonsense"], "unrecognized arguments: --nonsense"),
        ([f"--config={CONFIG}", "--workdir=w", "--space", "seed=1,2"], "seed cannot be varied"),
        (
            [f"--config={CONFIG}", "--workdir=w", "--trials", "0"],
            "--trials must be at least 1, not 0",
        ),
        (
            [f"--config={CONFIG}", "--workdir=w", "--timeout", "soon"],
            "--timeout must be a time such",
        ),
        ([f"--config={CONFIG}", "--workdir=w", "--pruner", "best"], "unknown --pruner 'best'"),
        ([f"--config={CONFIG}", "--workdir=gs://b/w"], "must be on a disk"),
    ],
)
def test_errors_are_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["tune", *arguments]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.startswith("colorjax: ")
    assert len(printed.splitlines()) == 1
    assert not list(tmp_path.iterdir())  # nothing ran


def test_the_help_has_examples(capsys):
    assert cli.run(["tune", "--help"]) == 0
    printed = capsys.readouterr().out
    assert "--space optimizer.learning_rate=log:1e-4..1e-2" in printed
    assert "six-knobs" in printed


def test_other_commands_take_no_fields_of_a_config(capsys):
    assert cli.run(["compare", "x", "--data=d", "--output=o", "--config.seed=1"]) == 2
    assert "unrecognized arguments: --config.seed=1; see" in capsys.readouterr().err


def test_a_trial_does_not_use_the_test_photos(photos, tmp_path):
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
        measured = measure.measure(tmp_path, stop)
    validated = json.loads((tmp_path / "validation.json").read_text())
    for part in ("validation", "eval"):
        assert measured[part]["num_images"] == len(measured[part]["errors"]["mae_ab"]) > 0
        mean = np.mean(measured[part]["errors"]["mae_ab"])
        assert mean == pytest.approx(measured[part]["metrics"]["mae_ab"], rel=1e-5)
    assert measured["validation"]["metrics"] == pytest.approx(validated["metrics"], rel=1e-4)
    assert "grey" in measured["eval"]["baselines"]


# A child writes a word when it begins, and another when it gets SIGTERM.
CHILD = """
import signal, sys, time, pathlib
log = pathlib.Path(sys.argv[1])
def end(*_):
    log.write_text("ended")
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


def test_a_child_gets_the_signal_to_stop(child):
    begun = lambda: child.exists() and child.read_text() == "begun"  # noqa: E731
    assert child_process.run_module("a_child", [str(child)], begun, period=0.05) == 75
    assert child.read_text() == "ended"


@pytest.mark.skipif(sys.platform != "linux", reason="the parent death signal exists only on Linux")
def test_a_child_ends_with_its_parent_that_is_killed(child):
    code = (
        "from colorjax.runtime import child_process\n"
        f"child_process.run_module('a_child', [{str(child)!r}], lambda: False)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    wait_for(lambda: child.exists() and child.read_text() == "begun")
    parent.kill()
    parent.wait()
    wait_for(lambda: child.read_text() == "ended")


def test_a_stop_records_signals_and_the_time():
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


def tune_arguments(photos, workdir):
    arguments = ["tune", f"--config={CONFIG}", f"--workdir={workdir}", f"--trials={TRIALS}"]
    arguments += [f"--photos={PHOTOS}", "--evaluations=8", "--pruner=none", "--patience=0"]
    arguments += [f"--space={each}" for each in SPACE]
    arguments += [f"--config.{name}={value}" for name, value in FIELDS.items()]
    return [*arguments, f"--config.data.path={photos}"]


def start(arguments):
    made = program.command()
    made["args"] = [sys.executable, "-m", "colorjax", *arguments]
    return subprocess.Popen(**made, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def results_of(workdir, photos):
    from colorjax import config as config_files

    arguments = tune_arguments(photos, workdir)
    fields = [argument for argument in arguments if argument.startswith("--config")]
    config = config_files.read_config(fields)
    knobs = space.read_space(SPACE, config)
    options = {"evaluations": 8, "pruner": "none", "patience": 0}
    ledger = Ledger(StudyRequest(config, knobs, "mae_ab", PHOTOS, **options), workdir)
    return {t.number: (t.state.name, t.value, t.params) for t in ledger.study.get_trials()}


@pytest.mark.slow
def test_a_study_that_is_killed_repeatedly_loses_nothing(photos, tmp_path):
    """Every trial ends once, with the same value as in a study that is not killed."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    result = start(tune_arguments(photos, whole))
    assert result.wait() == 0, result.stderr.read()
    kills = 0
    for number in range(TRIALS):
        process = start(tune_arguments(photos, killed))
        folder = killed / "trials" / f"{number:04d}"
        wait_for(functools.partial(trial.validations, folder, "mae_ab"), 300)
        process.kill()
        process.wait()
        kills += 1
    last = start(tune_arguments(photos, killed))
    output, errors = last.communicate()
    assert last.returncode == 0, errors
    assert "best: trial" in output
    expected, actual = results_of(whole, photos), results_of(killed, photos)
    assert len(actual) == TRIALS
    assert kills == TRIALS
    assert actual == expected
    # The best config runs from any folder, and reaches the same value.
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
