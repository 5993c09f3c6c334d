"""A full disk at any size: a checkpoint is whole or does not count, and the earlier one stays."""

import json
import subprocess
import sys

import pytest
from helpers.program import ROOT, command

# The save of step 2 fails at a size, that of step 3 without a limit must work.
CHILD = """
import json, logging, shutil, sys
from pathlib import Path
import jax, jax.numpy as jnp, numpy as np
from helpers import disk
from colorjax.errors import RequestError
from colorjax.runtime import jax_setup
from colorjax.weights.checkpoint import Checkpoints, find_damage, with_sharding

jax_setup.quiet_library_logs()
noise = np.random.default_rng(0).normal(size=(2, 6000)).astype(np.float32)
tree = {"params": {"a": jnp.asarray(noise[0]), "b": jnp.ones(3)}}
state = {"step": jnp.int32(1), "momentum": jnp.asarray(noise[1])}
device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
shapes = with_sharding(jax.eval_shape(lambda: tree), device)


def save(step):
    with Checkpoints("c") as checkpoints:
        checkpoints.newest()
        checkpoints.save(step, jax.tree.map(lambda x: x * step, tree), state)


def newest():
    with Checkpoints("c") as checkpoints:
        step = checkpoints.newest()
        weights = checkpoints.restore(step, weights=shapes)["weights"]
        same = jax.tree.map(lambda x, y: bool((x == y * step).all()), weights, tree)
        return step, all(jax.tree.leaves(same))


Checkpoints("c").close()
save(1)
largest = max(path.stat().st_size for path in Path("c").rglob("*") if path.is_file())
shutil.copytree("c", "first")
step_size = int(sys.argv[1])
report = {}
for size in [*range(step_size, largest, step_size), 2 * largest]:
    shutil.rmtree("c")
    shutil.copytree("first", "c")
    said = ""
    with disk.room(size):
        try:
            save(2)
        except RequestError as error:
            said = str(error)
    sealed = (Path("c") / "2/SHA256SUMS").is_file()
    found = newest()
    save(3)
    report[size] = [said, sealed, found, newest()]
print(json.dumps([largest, report]))
"""


def saves(step_size, folder):
    result = subprocess.run(
        [sys.executable, "-c", CHILD, str(step_size)],
        cwd=folder,
        env=command()["env"] | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert "Traceback" not in result.stderr
    largest, report = json.loads(result.stdout)
    assert len(report) >= 3
    for size, (said, is_sealed, found, after) in report.items():
        is_whole = not said
        assert is_sealed == is_whole
        if not 0.95 * largest < int(size) < 1.05 * largest:  # compressed sizes differ a little
            assert is_whole == (int(size) > largest)
        assert found == [2 if is_whole else 1, True]
        assert after == [3, True]
        if said:
            assert "\n" not in said
            assert said.startswith("step 2 could not be saved in ")
            assert "the newest saved state is step 1. Make room and run the" in said


def test_a_full_disk_at_some_sizes(tmp_path):
    saves(4096, tmp_path)


@pytest.mark.slow
def test_a_full_disk_at_every_size(tmp_path):
    saves(1024, tmp_path)
