"""The program as a process of its own, for tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Metrics that no two runs share.
TIMES = (
    "train/images_per_second",
    "train/wait_share",
    "train/host_memory_gib",
    "train/device_memory_gib",
)
TINY = [
    "--config=configs/plain_cnn.py:size=32,batch=4,debug",
    "--config.model.filters=(4,8,8,8,8,8,8)",
    "--config.data.eval_fraction=0.2",
    "--config.data.validation_fraction=0.2",
    "--config.evaluation.batch_size=4",
]


def command(*flags, devices=1):
    cache = ROOT / ".pytest_cache" / "jax-main"
    env = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    return {"args": [sys.executable, "-m", "colorjax.main", *flags], "cwd": ROOT, "env": env}


def run(*flags, devices=1):
    return subprocess.run(
        **command(*flags, devices=devices), capture_output=True, text=True, check=False
    )


def read_metrics(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


def says_one_line(result, text):
    assert result.returncode == 2, result.stderr
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("I", "W", "0"))]
    assert "Traceback" not in result.stderr
    assert lines[-1].startswith("colorjax: ")
    assert len([line for line in lines if line.startswith("colorjax: ")]) == 1, result.stderr
    assert text in lines[-1]
