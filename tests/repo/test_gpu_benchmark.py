"""benchmarks/gpu.sh: its parts, its table, and a trial on the CPU with tiny sizes."""

import gzip
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import gpu_parts, gpu_table

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu.sh"


def run(*arguments, **env):
    return subprocess.run(
        ["bash", SCRIPT, *arguments],
        env=os.environ | {"PYTHON": sys.executable} | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_shellcheck():
    checker = Path(sys.executable).with_name("shellcheck")
    result = subprocess.run([checker, SCRIPT], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_a_dry_run_names_every_part(tmp_path):
    lines = dict(line.split(": ", 1) for line in run("--dry-run", tmp_path).stdout.splitlines())
    networks = ("semantic", "zhang16", "unet", "ddcolor-tiny")
    for dtype in ("bfloat16", "float32"):
        for name in networks:
            for kind in ("predict", "train", "memory"):
                command = shlex.split(lines.pop(f"{kind}.{name}.{dtype}"))
                assert command[command.index("--dtype") + 1] == dtype
                assert ("--torch-compile" in command) == (kind != "memory")
                config = command[command.index("--config") + 1]
                assert (ROOT / config.partition(":")[0]).is_file()
        lines.pop(f"rate.{dtype}")
    assert set(lines) == {"waiting.device", "waiting.host"}
    assert not list(tmp_path.iterdir())


def test_without_a_folder_it_prints_its_use():
    result = run()
    assert result.returncode == 2
    assert "benchmarks/gpu.sh [--dry-run] [--tiny] [--wheels FOLDER] OUTPUT" in result.stdout


def test_parts_that_fail_or_have_no_time_are_named(tmp_path):
    result = run("--tiny", tmp_path, PARTS="rate.float32", MINUTES="0")
    assert result.returncode == 0
    assert "no time is left for rate.float32" in result.stderr
    assert result.stdout == "nothing was measured\n"
    result = run("--tiny", tmp_path, PARTS="rate.float32", PYTHONSTARTUP="", JAX_PLATFORMS="none")
    assert "gpu.sh: rate.float32 failed: " in result.stderr
    assert not list(tmp_path.glob("*.jsonl"))


def test_a_signal_ends_with_the_table_of_the_finished_parts(tmp_path):
    done = {"row": "auto", "size": 32, "batch": 2, "images_per_second": 7.0, "device": "chip"}
    done |= {"versions": {"jax": "1.0"}, "gflop_per_second": None}
    (tmp_path / "predict.unet.bfloat16.jsonl").write_text(json.dumps(done) + "\n")
    waits = tmp_path / "python"  # the first part never ends
    waits.write_text(
        f'#!/bin/bash\n[[ $2 == *gpu_table || $1 == -c ]] && exec {sys.executable} "$@"\n'
        f"touch {tmp_path}/started; exec sleep 300\n"
    )
    waits.chmod(0o755)
    script = subprocess.Popen(
        ["bash", SCRIPT, "--tiny", tmp_path],
        env=os.environ | {"PYTHON": str(waits), "PARTS": "rate.float32"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(600):
        if (tmp_path / "started").exists():
            break
        time.sleep(0.1)
    script.terminate()
    printed, _ = script.communicate(timeout=120)
    assert script.returncode == 143
    assert "unet" in printed
    assert not list(tmp_path.glob("*.part"))


def test_the_table_joins_the_parts(tmp_path):
    common = {"device": "chip", "versions": {"jax": "1.0"}}
    row = {"row": "auto", "size": 256, "batch": 64, "images_per_second": 200.0}
    peer = {"row": "torch", "size": 256, "batch": 64, "images_per_second": 100.0}
    ours = row | {"gflop_per_second": 50_000.0, "ratio_to_peer": 2.0}
    parts = {
        "rate.bfloat16": [{"flop_per_second": 200e12}],
        "train.unet.bfloat16": [ours, peer],
        "predict.unet.float32": [row | {"gflop_per_second": None}],
        "memory.unet.bfloat16": [{"measured_bytes": 3 * 2**30, "estimated_bytes": 2 * 2**30}],
        "waiting.host": [
            {
                "targets": "host",
                "size": 256,
                "batch": 64,
                "dtype": "bfloat16",
                "images_per_second": 150.0,
                "wait_share": 0.25,
                "slowest": [["gemm", 0.5]],
            }
        ],
    }
    for name, rows in parts.items():
        text = "".join(json.dumps(common | row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(text)
    lines = gpu_table.table(tmp_path)
    assert (
        "| training step | unet | bfloat16 | 256 | 64 | 200.0 | 100.0 | 2.0 | 25% | 3.00 | 2.00 |"
    ) in lines
    assert "| prediction | unet | float32 | 256 | 64 | 200.0 |  |  |  |  |  |" in lines
    assert "- rate of a large matrix product in bfloat16: 200.0 TFLOP/s" in lines
    assert any("150.0 images/s, 25% waiting for photos" in line for line in lines)
    assert "  - 50.0% of the device's time: `gemm`" in lines
    assert "- versions: jax 1.0" in lines


def test_the_slowest_kernels_of_a_trace(tmp_path):
    def named(kind, pid, name, tid=0):
        return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": {"name": name}}

    def took(name, dur, pid, tid):
        return {"ph": "X", "name": name, "dur": dur, "pid": pid, "tid": tid, "ts": 0}

    events = [
        named("process_name", 1, "/device:GPU:0"),
        named("process_name", 2, "/host:CPU"),
        named("thread_name", 1, "Stream #13(Compute)", tid=4),
        named("thread_name", 1, "XLA Modules", tid=5),
        named("thread_name", 2, "Stream of the host", tid=4),
        took("conv", 30, 1, 4),
        took("gemm", 60, 1, 4),
        took("conv", 10, 1, 4),
        took("jit_step", 100, 1, 5),
        took("python", 900, 2, 4),
    ]
    with gzip.open(tmp_path / "perfetto_trace.json.gz", "wt") as file:
        json.dump({"traceEvents": events}, file)
    assert gpu_parts.slowest_kernels(tmp_path) == [("gemm", 0.6), ("conv", 0.4)]


@pytest.mark.slow
def test_memory_is_compared_with_the_estimate(capsys):
    config = ["--config", str(ROOT / "configs/plain_cnn.py:size=16"), "--batch", "4"]
    assert gpu_parts.main(["memory", *config, "--dtype", "float32"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["estimated_bytes"] > 0
    assert row["measured_bytes"] is None  # a CPU has no counter


@pytest.mark.slow
def test_a_tiny_run_on_the_cpu(tmp_path):
    some = {"PARTS": "@(train.unet.bfloat16|waiting.device)", "JAX_PLATFORMS": "cpu"}
    result = run("--tiny", tmp_path, **some)
    assert result.returncode == 0
    assert "failed" not in result.stderr, result.stderr
    lines = result.stdout.splitlines()
    (line,) = (x for x in lines if x.startswith("| training step | unet | bfloat16 | 32 | 2 |"))
    assert float(line.split("|")[8]) > 0
    assert any("targets of the device" in line for line in lines)
    # The same command has nothing left to do.
    again = run("--tiny", tmp_path, **some)
    assert (again.stdout, again.stderr) == (result.stdout, "")
