"""The program as a user runs it: exit status and messages."""

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
from helpers.program import TINY, command, read_metrics, run, says_one_line

from colorjax import main
from colorjax.weights.checkpoint import find_damage


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    """A finished run of six steps on one device."""
    workdir = tmp_path_factory.mktemp("main") / "run"
    result = run(*TINY, f"--config.data.path={photos}", f"--workdir={workdir}")
    assert result.returncode == 0, result.stderr
    return workdir


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ([], "give a config, such as --config=unet; there are: cgan"),
        (["--config=configs/nothing.py"], "configs/nothing.py"),
        (["--config=configs/plain_cnn.py:sise=3"], "unknown config argument 'sise'"),
        (
            [*TINY, "--config.data.pth=x"],
            "config.data has no field 'pth' (did you mean path?)",
        ),
        pytest.param(
            [*TINY, "--config.learning_rate=1"],
            "config has no field 'learning_rate'",
            marks=pytest.mark.slow,
        ),
        ([*TINY, "--config.batch_size=many"], "batch_size"),
        pytest.param([*TINY, "--mode=test"], "mode", marks=pytest.mark.slow),
        ([*TINY, "stray"], "unexpected argument 'stray'"),
        pytest.param(
            [*TINY, "--config.data.targets=devcie"], "known: device, host", marks=pytest.mark.slow
        ),
        pytest.param(
            [*TINY, "--config.data.crop_ratio=(0,1)"],
            "data.crop_ratio must be (low, high) above 0",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            [*TINY, "--config.model.name=unet2"],
            "known: edge_fusion, iizuka, plain_cnn",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            [*TINY, "--config.loss.name=mae"],
            "known: adversarial, ce, class_cross_entropy, feature",
            marks=pytest.mark.slow,
        ),
        (
            [*TINY, "--config.loss.name=class_cross_entropy"],
            "needs the output class_logits that model plain_cnn lacks; usable losses: "
            "adversarial, feature",
        ),
        pytest.param(
            [*TINY, "--config.data.image_size=30"], "multiple of 4", marks=pytest.mark.slow
        ),
        ([*TINY, "--config.data.path=/no/such/folder"], "'/no/such/folder' does not exist"),
        pytest.param(
            [*TINY, "--config.data.path="], "--config.data.path=PHOTOS", marks=pytest.mark.slow
        ),
        pytest.param(
            [*TINY, "--config.data.name=tfds:nothing"],
            "TFDS has no data set 'nothing'",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_wrong_request_is_reported_in_one_line(flags, text, tmp_path):
    says_one_line(run(*flags, f"--workdir={tmp_path / 'w'}"), text)
    assert not (tmp_path / "w").exists()


def test_a_workdir_that_cannot_be_written(photos, tmp_path):
    (tmp_path / "file").write_text("x")
    flags = [*TINY, f"--config.data.path={photos}", f"--workdir={tmp_path / 'file' / 'w'}"]
    says_one_line(run(*flags), "cannot be written")


@pytest.mark.slow
def test_a_workdir_of_another_method(trained, photos, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    config = json.loads((copy / "config.json").read_text())
    config["model"]["name"] = "unet"
    (copy / "config.json").write_text(json.dumps(config))
    flags = [*TINY, f"--config.data.path={photos}", f"--workdir={copy}"]
    says_one_line(run(*flags), "holds a run of unet, not plain_cnn")


def damage(checkpoint):
    for path in checkpoint.rglob("*"):
        if path.is_file() and path.name != "SHA256SUMS":
            path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.slow
def test_damaged_checkpoints(trained, photos, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    flags = [*TINY, f"--config.data.path={photos}", f"--workdir={copy}"]
    damage(copy / "checkpoints" / "6")
    result = run(*flags)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("checkpoint 6 is damaged") == 1
    assert "resuming from step 3" in result.stderr
    assert read_metrics(copy) == read_metrics(trained)
    assert find_damage(copy / "checkpoints" / "6") is None  # saved again
    for step in ("3", "6"):
        damage(copy / "checkpoints" / step)
    says_one_line(run(*flags), "no intact checkpoint is left")


@pytest.mark.slow
def test_eval_mode(trained, photos, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    (copy / "eval.json").unlink()
    flags = [*TINY, f"--config.data.path={photos}", f"--workdir={copy}", "--mode=eval"]
    assert run(*flags).returncode == 0
    actual, expected = (json.loads((w / "eval.json").read_text()) for w in (copy, trained))
    assert actual["metrics"] == pytest.approx(expected["metrics"], rel=1e-6)
    says_one_line(
        run(*flags[:-2], f"--workdir={tmp_path / 'none'}", "--mode=eval"), "is not a workdir"
    )
    says_one_line(run(*flags, "--suite=folder"), "--suite needs test photos")
    flags.append(f"--config.data.eval_path={photos}")
    assert run(*flags, "--suite=folder", "--time_limit=1s").returncode == 75
    file = copy / "suites" / "folder" / "result.json"
    assert not file.exists()
    rows = []
    for devices in (1, 4):
        shutil.rmtree(file.parent)
        assert run(*flags, "--suite=folder", devices=devices).returncode == 0
        rows.append(json.loads(file.read_text())["rows"])
    assert rows[0]["copy"]["step"] == 6
    assert rows[0] == rows[1]
    says_one_line(run(*flags, "--suite=folder", "--profile=1:2"), "--suite runs on one device")
    flags.remove("--mode=eval")
    says_one_line(run(*flags, "--suite=folder"), "--suite is for --mode=eval")


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [(4, 1), (1, 4)])
def test_a_checkpoint_moves_between_device_counts(first, then, photos, tmp_path):
    flags = [*TINY, f"--config.data.path={photos}", f"--workdir={tmp_path / 'w'}"]
    assert run(*flags, devices=first).returncode == 0
    report = json.loads((tmp_path / "w" / "eval.json").read_text())
    assert run(*flags, "--mode=eval", devices=then).returncode == 0
    again = json.loads((tmp_path / "w" / "eval.json").read_text())
    assert again["metrics"] == pytest.approx(report["metrics"], rel=1e-5)
    result = run(*flags, "--config.total_steps=8", devices=then)
    assert result.returncode == 0, result.stderr
    assert "resuming from step 6" in result.stderr


@pytest.mark.slow  # tests/train/test_loop.py tests bitwise resume in one process
def test_kill_9_and_resume_is_bitwise_the_uninterrupted_run(trained, photos, tmp_path):
    workdir = tmp_path / "killed"
    flags = [*TINY, f"--config.data.path={photos}", f"--workdir={workdir}"]
    process = subprocess.Popen(
        **command(*flags), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: (workdir / "checkpoints" / "3" / "SHA256SUMS").exists(), process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    result = run(*flags)
    assert result.returncode == 0, result.stderr
    assert "resuming from step" in result.stderr
    assert read_metrics(workdir) == read_metrics(trained)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_exits_75(number, trained, photos, tmp_path):
    workdir = tmp_path / "stopped"
    flags = [
        *TINY,
        f"--config.data.path={photos}",
        f"--workdir={workdir}",
        "--config.total_steps=100000",
        "--config.eval_every=0",
        "--config.checkpoint_every=100000",
    ]
    process = subprocess.Popen(
        **command(*flags), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: "train/loss" in read_text(workdir / "metrics.jsonl"), process)
    if number == signal.SIGTERM:
        says = f"another colorjax (process {process.pid}) is training in this workdir"
        says_one_line(run(*flags), f"{says}; wait until it is done, or give another --workdir")
    process.send_signal(number)
    _, output = process.communicate(timeout=60)
    assert process.returncode == 75, output
    step = int(output.rsplit("resumes from step", 1)[1].split()[0])
    assert (workdir / "checkpoints" / str(step)).is_dir()
    assert not (workdir / "training.lock").exists()


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the run ended by itself"
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def read_text(path):
    return path.read_text() if path.is_file() else ""


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (KeyboardInterrupt(), 75, "stopped by a signal; run the same command again"),
        (
            PermissionError(13, "Permission denied", "/w/metrics.jsonl"),
            2,
            "/w/metrics.jsonl cannot",
        ),
        (OSError(28, "No space left on device"), 2, "/w cannot be written (No space left"),
    ],
)
def test_how_a_run_ends(error, status, says, monkeypatch, capsys):
    def fail(*_):
        raise error

    monkeypatch.setattr(main, "_read_flags", lambda argv: (None, "/w"))
    monkeypatch.setattr(main.jax_setup, "log_to_stderr", lambda: None)
    monkeypatch.setattr(main, "_act", fail)
    monkeypatch.setattr(main.jax_setup, "exit_now", sys.exit)
    try:
        code = main.run(["main"])
    except SystemExit as ended:
        code = ended.code
    assert code == status
    assert says in capsys.readouterr().err


def test_an_unreadable_photo_of_the_users_is_not_a_write_error():
    error = PermissionError(13, "Permission denied", "/photos/a.png")
    assert not main._is_of_writing(error, "/w")
