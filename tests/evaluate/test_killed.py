"""A killed `colorjax evaluate` continues, with the same result as one that was not killed."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers.synthetic import synthetic_images, tiny_config
from helpers.workdirs import fresh_workdir
from PIL import Image

from colorjax.evaluate.parts import FOLDER


@pytest.mark.slow
def test_kill_9_loses_no_finished_part(tmp_path):
    run = fresh_workdir(tmp_path / "run", tiny_config("unused"), deviation=0.1)
    (tmp_path / "album").mkdir()
    for number, photo in enumerate(synthetic_images(200, 24, seed=1)):
        Image.fromarray(photo).save(tmp_path / "album" / f"{number:03d}.png")
    command = [sys.executable, "-m", "colorjax", "evaluate", str(run), "--suite", "folder"]
    command += ["--size", "24", "--data", str(tmp_path / "album"), "--output"]
    whole = [*command, str(tmp_path / "whole")]
    assert subprocess.run(whole, capture_output=True).returncode == 0
    killed = tmp_path / "killed"
    rng = np.random.default_rng(0)
    ages: dict[str, int] = {}
    kills = 0
    while kills < 3:
        with subprocess.Popen([*command, str(killed)], stderr=subprocess.DEVNULL) as process:
            before = len(parts(killed))
            while process.poll() is None and len(parts(killed)) < before + 2:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.2))
            process.kill()
        kills += 1
        now = parts(killed)
        assert all(now[name] == age for name, age in ages.items())  # none was written again
        ages = now
    assert subprocess.run([*command, str(killed)], capture_output=True).returncode == 0
    now = parts(killed)
    assert all(now[name] == age for name, age in ages.items())
    results = [json.loads((tmp_path / n / "result.json").read_text()) for n in ("whole", "killed")]
    assert results[0] == results[1]


def parts(folder):
    """Returns the modification time of each finished part."""
    return {str(p): p.stat().st_mtime_ns for p in (folder / FOLDER).glob("*/*.json")}
