"""JAX_PLATFORMS names devices that are missing: one line and status 2, in every command."""

import os
import subprocess
import sys

import pytest
from helpers.program import ROOT, TINY

# Those that need no devices succeed.
EVERY = """
import sys
from colorjax.cli import main
photos, photo, out = sys.argv[1:4]
arguments = {
    "colorize": [photo, "--output", out + "/1"],
    "decolorize": [photo, "--output", out + "/2"],
    "compare": ["--data", photos, "--output", out + "/3"],
    "evaluate": ["semantic-lite0", "--suite", "folder", "--data", photos, "--output", out + "/4"],
    "prepare": [photos, "--output", out + "/5"],
    "prior": [photos, "--output", out + "/6.npz"],
    "finetune": ["semantic-lite0", "--data", photos, "--output", out + "/7"],
    "calibrate": ["semantic-lite0", "--data", photos],
    "sweep": ["--config=configs/unet.py", "--workdir", out + "/8", "--vary", "batch_size=4,8",
              "--config.data.path=" + photos],
    "tune": ["--config=configs/unet.py", "--workdir", out + "/9", "--trials", "2",
             "--space", "batch_size=4,8", "--config.data.path=" + photos],
}
for name, rest in arguments.items():
    if len(sys.argv) > 4 and name not in sys.argv[4:]:
        continue
    print(name, file=sys.stderr, flush=True)
    print(name, main.run([name, *rest]), file=sys.stderr, flush=True)
"""


def started(*arguments, platform):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": platform},
        timeout=120,
    )


@pytest.mark.parametrize(
    "names", [["colorize", "decolorize"], pytest.param([], marks=pytest.mark.slow)]
)
def test_commands_say_it_in_one_line(photos, tmp_path, names):
    photo = photos / "beach" / "00.png"
    result = started("-c", EVERY, photos, photo, tmp_path, *names, platform="cuda")
    assert result.returncode == 0, result.stderr
    lines = result.stderr.splitlines()
    said = [
        line
        for line in lines
        if line.startswith("colorjax: ") and "JAX_PLATFORMS=cuda: these devices cannot" in line
    ]
    failed = [line for line in lines if line.endswith(" 2")]
    assert len(said) == len(failed) == (len(names) - 1 if names else 8), result.stderr
    assert {"decolorize 0"} < set(lines)
    assert "Traceback" not in result.stderr
    assert len(lines) <= 3 * len(failed) + 10  # nothing else but the progress of some commands


def test_training_says_it_in_one_line(tmp_path):
    result = started("-m", "colorjax.main", *TINY, f"--workdir={tmp_path / 'run'}", platform="cuda")
    assert result.returncode == 2
    line = result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert line.startswith("colorjax: JAX_PLATFORMS=cuda: these devices cannot be used")


def test_loading_says_it_in_one_line():
    program = "from colorjax import Colorizer; Colorizer.load('semantic-lite0')"
    result = started("-c", program, platform="cuda")
    last = result.stderr.splitlines()[-1]
    assert last.startswith("colorjax.errors.RequestError: JAX_PLATFORMS=cuda: these devices")
