"""Damaged files: refused in one line, or read, painted and written whole; never anything else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.photos import damage

FUZZ = Path(__file__).parents[1] / "helpers/photos/fuzz.py"


@pytest.mark.parametrize("part", range(4))
def test_damage_is_refused_or_survived(part):
    """The cheap part: 300 damaged files in this process."""
    files = damage.originals()
    told = set()
    for case in range(75):
        rng = np.random.default_rng((part, case))
        _, data, kind = files[rng.integers(len(files))]
        told.add(damage.survives(damage.damaged(data, rng), kind))
    assert {"refused", "written"} <= told  # else the damage is too strong or too weak


@pytest.mark.slow
def test_twenty_thousand_damaged_files(tmp_path):
    """In a process of its own, where a crash in a library is seen and told with its case."""
    progress = tmp_path / "case"
    result = subprocess.run(
        [sys.executable, str(FUZZ), "20000", "7", "0", str(progress)],
        capture_output=True,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        check=False,
    )
    assert result.returncode == 0, f"crashed at {progress.read_text()}\n{result.stderr[-3000:]}"
    told = json.loads(result.stdout.splitlines()[-1])
    assert not told["failures"], told["failures"][:3]
    assert sum(told["tally"].values()) == 20000
