"""Signals in the first second, while libraries are imported: status 75 and one line."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from colorjax.cli.main import COMMANDS
from colorjax.runtime import signals

ROOT = Path(__file__).parents[2]
_PROGRAMS = [["colorjax", command] for command in COMMANDS] + [["colorjax.main"]]


def catches(process, number):
    """Whether a process has a handler for a signal, or has ended."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return True
    masks = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return "SigCgt" not in masks or int(masks["SigCgt"], 16) >> (number - 1) & 1


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("program", _PROGRAMS, ids=lambda program: program[-1])
def test_a_signal_during_the_imports_gives_75(program, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", *program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not catches(process, signal.SIGTERM):  # Python has a handler of SIGINT from its start
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 75, said
    assert "Traceback" not in said
    assert said.strip().splitlines()[-1].startswith("colorjax: ")


def test_the_installed_program_starts_there():
    text = (ROOT / "pyproject.toml").read_text()
    assert 'colorjax = "colorjax.__main__:run"' in text


def test_outside_imports_it_is_an_interrupt_that_cleans_up():
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        signals._interrupt(signal.SIGTERM, sys._getframe())
