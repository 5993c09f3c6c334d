"""Two processes that train as one, as they would on two hosts."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import jax
import numpy as np
import pytest
from helpers.program import TINY, command, read_metrics, run
from PIL import Image

from colorjax.errors import RequestError
from colorjax.parallel import hosts
from colorjax.parallel import mesh as parallel
from colorjax.runtime.locks import only_process
from colorjax.weights.workdir import LOCK


@pytest.fixture(scope="module")
def alone(photos, tmp_path_factory):
    """One process with two devices."""
    workdir = tmp_path_factory.mktemp("hosts") / "alone"
    result = run(*flags_of(photos, workdir), devices=2)
    assert result.returncode == 0, result.stderr
    return workdir


def flags_of(photos, workdir, *more):
    return [*TINY, f"--config.data.path={photos}", f"--workdir={workdir}", *more]


def start_both(flags):
    """Starts two processes with a device each."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return [
        subprocess.Popen(**command(*flags, f"--distributed=localhost:{port},2,{index}"), **pipes)
        for index in (0, 1)
    ]


def ends(processes, seconds=120):
    """Waits; returns (status, stderr) of each."""
    deadline = time.monotonic() + seconds
    try:
        return [
            (p.returncode, text)
            for p in processes
            for text in [p.communicate(timeout=max(1, deadline - time.monotonic()))[1]]
        ]
    finally:
        for process in processes:
            process.kill()


def wait_for_step(workdir, step, processes):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert all(p.poll() is None for p in processes), [p.communicate()[1] for p in processes]
        metrics = workdir / "metrics.jsonl"
        if metrics.is_file() and any(
            json.loads(line)["step"] >= step for line in metrics.read_text().splitlines()
        ):
            return
        time.sleep(0.05)
    pytest.fail(f"step {step} never came")


def agree(found, wanted, loss=1e-6, norm=1e-5):
    found, wanted = ([x for x in lines if "train/loss" in x][:6] for lines in (found, wanted))
    assert [line["step"] for line in found] == [line["step"] for line in wanted]
    for name, tolerance in (("train/loss", loss), ("train/grad_norm", norm)):
        a, b = (np.array([line[name] for line in lines]) for lines in (found, wanted))
        np.testing.assert_allclose(a[:3], b[:3], rtol=tolerance)
        np.testing.assert_allclose(a, b, rtol=1e-2)  # Adam amplifies rounding


@pytest.mark.slow
def test_two_processes_are_as_one(alone, photos, tmp_path):
    results = ends(start_both(flags_of(photos, tmp_path / "w")))
    assert [status for status, _ in results] == [0, 0], results
    agree(read_metrics(tmp_path / "w"), read_metrics(alone))
    ours, theirs = (
        json.loads((place / "eval.json").read_text()) for place in (tmp_path / "w", alone)
    )
    assert ours["num_images"] == theirs["num_images"]
    for name, value in theirs["metrics"].items():
        assert ours["metrics"][name] == pytest.approx(value, rel=1e-2, abs=1e-3), name
    for name, value in theirs["baselines"]["grey"].items():
        assert ours["baselines"]["grey"][name] == pytest.approx(value, rel=1e-5, abs=1e-5), name
    assert "parameters" in results[0][1]
    assert "parameters" not in results[1][1]  # only the first process talks


@pytest.mark.slow
def test_a_workdir_in_use_is_refused_by_both(photos, tmp_path):
    (tmp_path / "w").mkdir()
    with only_process(tmp_path / "w" / LOCK, "is training"):
        results = ends(start_both(flags_of(photos, tmp_path / "w")))
    says = f"another colorjax (process {os.getpid()}) is training in this workdir"
    assert results[0][0] == 2, results
    assert says in results[0][1]
    assert results[1][0] in (2, 75), results  # 75: the first process ended before
    assert not any("Traceback" in text for _, text in results)


@pytest.mark.slow
def test_a_signal_stops_both_and_one_goes_on_alone(alone, photos, tmp_path):
    workdir = tmp_path / "w"
    flags = flags_of(photos, workdir, "--config.total_steps=4000", "--config.eval_every=0")
    processes = start_both(flags)
    wait_for_step(workdir, 3, processes)
    processes[1].send_signal(signal.SIGTERM)  # to one of them
    results = ends(processes)
    assert [status for status, _ in results] == [75, 75], results
    (step,) = {
        int(text.split("resumes from step ")[1].split()[0])
        for _, text in results
        if "resumes" in text
    }
    assert step >= 3
    more = flags_of(photos, workdir, f"--config.total_steps={step + 2}")
    result = run(*more, devices=2)
    assert result.returncode == 0, result.stderr
    assert f"resuming from step {step}" in result.stderr
    agree(read_metrics(workdir), read_metrics(alone))


@pytest.mark.slow
def test_killed_one_or_two_go_on_alike(photos, tmp_path):
    workdir = tmp_path / "w"
    flags = flags_of(photos, workdir, "--config.total_steps=100000", "--config.eval_every=0")
    processes = start_both(flags)
    wait_for_step(workdir, 10, processes)
    for process in processes:
        process.kill()
    ends(processes)
    shutil.copytree(workdir, tmp_path / "copy")
    saved = max(int(path.parent.name) for path in workdir.glob("checkpoints/*/SHA256SUMS"))
    more = f"--config.total_steps={saved + 4}"
    alone = run(*flags_of(photos, workdir, more), devices=2)
    assert alone.returncode == 0, alone.stderr
    results = ends(start_both(flags_of(photos, tmp_path / "copy", more)))
    assert [status for status, _ in results] == [0, 0], results
    step = int(re.search(r"resuming from step (\d+) of", alone.stderr)[1])
    assert saved <= step < saved + 4
    one, two = (
        [x for x in read_metrics(place) if x["step"] > step]
        for place in (workdir, tmp_path / "copy")
    )
    agree(two, one)
    reports = [json.loads((p / "eval.json").read_text()) for p in (workdir, tmp_path / "copy")]
    assert reports[1]["num_images"] == reports[0]["num_images"]
    for name, value in reports[0]["metrics"].items():
        assert reports[1]["metrics"][name] == pytest.approx(value, rel=1e-3, abs=1e-4), name


@pytest.mark.slow
def test_all_phases_of_nogan(photos, tmp_path):
    flags = [
        "--config=configs/nogan.py:size=32,batch=4,width=0.0625,debug",
        f"--config.data.path={photos}",
        "--config.total_steps=10",
        "--config.nogan.generated=0.5",
        "--config.data.eval_fraction=0.2",
        "--config.data.validation_fraction=0.2",
        "--config.evaluation.batch_size=4",
    ]
    result = run(*flags, f"--workdir={tmp_path / 'one'}", devices=2)
    assert result.returncode == 0, result.stderr
    results = ends(start_both([*flags, f"--workdir={tmp_path / 'two'}"]), seconds=900)
    assert [status for status, _ in results] == [0, 0], results
    made = [sorted((tmp_path / w / "generations").glob("*.png")) for w in ("one", "two")]
    assert [path.name for path in made[0]] == [path.name for path in made[1]]
    for one, two in zip(*made, strict=True):
        pictures = [np.asarray(Image.open(path), int) for path in (one, two)]
        assert np.abs(pictures[0] - pictures[1]).max() <= 2  # of 255
    lines = [
        [x for x in read_metrics(tmp_path / w) if any(k.startswith("train/") for k in x)]
        for w in ("one", "two")
    ]
    assert [x["step"] for x in lines[0]] == [x["step"] for x in lines[1]]
    for one, two in zip(*lines, strict=True):
        for name, value in one.items():
            if name.endswith("loss"):
                assert two[name] == pytest.approx(value, rel=1e-2), (one["step"], name)
    picks = [json.loads((tmp_path / w / "pick.json").read_text()) for w in ("one", "two")]
    steps = [[row["step"] for row in found["candidates"]] for found in picks]
    assert steps[0] == steps[1]


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_dead_peer_ends_the_other(victim, photos, tmp_path):
    workdir = tmp_path / "w"
    flags = flags_of(photos, workdir, "--config.total_steps=100000", "--config.eval_every=0")
    processes = start_both(flags)
    wait_for_step(workdir, 3, processes)
    processes[victim].kill()
    start = time.monotonic()
    results = ends([processes[1 - victim]])
    assert time.monotonic() - start < 60
    (status, text) = results[0]
    assert status == 75, text
    lines = [line for line in text.splitlines() if line.startswith("colorjax: ")]
    assert len(lines) == 1
    assert "gone" in lines[0]
    assert re.search(r"the same command resumes from step \d+$", lines[0])


@pytest.mark.parametrize(
    "wrong", ["10.0.0.1", "host:1,2", "host:1,2,2", "host,2,0", "host:1,two,0"]
)
def test_addresses_that_mean_nothing(wrong):
    with pytest.raises(
        RequestError, match="--distributed must be auto, off or ADDRESS,COUNT,INDEX"
    ):
        hosts.connect(wrong)


@pytest.mark.parametrize(
    ("name", "value"),
    [("SLURM_NTASKS", "4"), ("TPU_WORKER_HOSTNAMES", "a,b"), ("JOB_COMPLETION_INDEX", "0")],
)
def test_auto_refuses_to_be_alone_among_others(name, value, monkeypatch):
    def nobody(**_):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", nobody)
    for other in ("SLURM_NTASKS", "TPU_WORKER_HOSTNAMES", "JOB_COMPLETION_INDEX"):
        monkeypatch.delenv(other, raising=False)
    hosts.connect("auto")
    monkeypatch.setenv(name, value)
    with pytest.raises(RequestError, match=f"but {name} indicates several"):
        hosts.connect("auto")


def test_hosts_that_see_other_photos_are_refused(monkeypatch):
    seen = []

    def gather(numbers, most):
        seen.extend(numbers)
        return list(seen)

    monkeypatch.setattr(parallel, "allgather_ints", gather)
    for _ in range(2):
        parallel.assert_same_on_hosts("photos", "a")
    with pytest.raises(RequestError, match="photos differ between hosts"):
        parallel.assert_same_on_hosts("photos", "b")
