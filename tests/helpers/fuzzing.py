"""Runs many damaged files in processes of their own, with limits on memory and time.

A program calls `main`, and a test calls `run` with its path. Each case is a line of a log: number
and name before it runs, its outcome after it. A new process continues after the last case.
"""

import faulthandler
import os
import resource
import subprocess
import sys
import traceback
import warnings
from pathlib import Path

import numpy as np
from helpers.program import ROOT

SECONDS = 30  # for one file
MEBIBYTES = 1024  # of address space, on top of that of the libraries
OUTCOMES = ("refused", "accepted")


def run(program, count, seed, log, folder):
    """Runs the cases and goes on after a crash.

    Returns:
        Rows (case, name, outcome), and what the processes wrote to standard error.
    """
    said = []
    while True:
        result = subprocess.run(
            [sys.executable, str(program), str(count), str(seed), str(log), str(folder)],
            capture_output=True,
            text=True,
            errors="replace",
            env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
            check=False,
        )
        said.append(result.stderr)
        if result.returncode == 0:
            break
        with log.open("a") as file:
            print(f"failed: ended with status {result.returncode}", file=file)
        if len(said) > 50:
            break
    return [line.split(" ", 2) for line in log.read_text().splitlines()], "".join(said)


def check(rows, count):
    """Asserts that all cases ran, and that all files were refused or accepted."""
    failed = [row for row in rows if row[2] not in OUTCOMES]
    assert not failed, failed[:3]
    assert [int(case) for case, *_ in rows] == list(range(count))


def main(case_of, warm_up=lambda folder: None):
    """Runs the cases of the command line: COUNT SEED LOG FOLDER.

    Args:
        case_of: takes a random generator and the folder with the files to damage; returns a name
            and a function, which returns one of `OUTCOMES`; exceptions are failures.
        warm_up: takes the folder; loads what is loaded once, before memory is limited.
    """
    faulthandler.enable()
    warnings.simplefilter("ignore")
    count, seed, log, folder = int(sys.argv[1]), int(sys.argv[2]), *map(Path, sys.argv[3:5])
    first = len(log.read_text().splitlines()) if log.exists() else 0
    warm_up(folder)
    _limit_memory()
    with log.open("a") as file:
        for case in range(first, count):
            name, act = case_of(np.random.default_rng((seed, case)), folder)
            print(case, name, end=" ", file=file, flush=True)
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            try:
                outcome = act()
            except Exception:
                outcome = "failed: " + " | ".join(traceback.format_exc()[-900:].splitlines())
            faulthandler.cancel_dump_traceback_later()
            print(outcome, file=file, flush=True)


def _limit_memory():
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEBIBYTES * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def check_line(error):
    """Asserts that a message is one short line."""
    text = str(error)
    assert text
    assert "\n" not in text
    assert len(text) < 600
