"""Every config on several devices and processes: the same first steps; and programs for many."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
from helpers.program import ROOT
from helpers.steps_of import CONFIGS

pytestmark = pytest.mark.slow


def start(devices, *words, hosts="off"):
    env = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
        "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".pytest_cache" / "jax-steps"),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    command = [sys.executable, ROOT / "tests/helpers/steps_of.py", hosts, *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=env, **pipes)


def result_of(process):
    output, errors = process.communicate()
    assert process.returncode == 0, errors[-3000:]
    return json.loads(output.splitlines()[-1])


def steps_on(devices, *words):
    return result_of(start(devices, *words))


def agree(found, wanted, loss, norm):
    for name, rows in wanted.items():
        assert len(rows) == len(found[name])
        for step, (one, other) in enumerate(zip(rows, found[name], strict=True)):
            told = f"{name}, row {step + 1}"
            # In the order of names: grad_norm before loss, a critic's before the colorizer's.
            np.testing.assert_allclose(other[1::2], one[1::2], rtol=loss, err_msg=told)
            np.testing.assert_allclose(other[::2], one[::2], rtol=norm, err_msg=told)


@pytest.fixture(scope="module")
def alone():
    return steps_on(1, 3, "own", "round")


@pytest.mark.parametrize("devices", [2, 4, 8])
def test_the_first_steps_do_not_depend_on_the_devices(devices, alone):
    agree(steps_on(devices, 3, "own", "round"), alone, loss=1e-6, norm=1e-5)


def test_nor_on_the_processes(alone):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    words = (3, "own", "round")
    both = [start(1, *words, hosts=f"{address},2,{index}") for index in (0, 1)]
    for process in both:
        agree(result_of(process), alone, loss=1e-6, norm=1e-5)


def test_with_relu_as_it_is():
    one = steps_on(1, 3, "own", "kinked")
    assert steps_on(1, 3, "own", "kinked") == one  # bitwise
    agree(steps_on(4, 3, "own", "kinked"), one, loss=5e-6, norm=1e-2)


@pytest.mark.parametrize(("optimizer", "tolerance"), [("sgd", 1e-5), ("own", 1e-2)])
def test_over_twenty_steps(optimizer, tolerance):
    plain = [name for name in CONFIGS if name not in ("cgan", "nogan", "ddcolor")]  # no critic
    one, four = (steps_on(devices, 20, optimizer, "round", *plain) for devices in (1, 4))
    for name in plain:
        found, wanted = np.array(four[name])[:, 1], np.array(one[name])[:, 1]
        np.testing.assert_allclose(found, wanted, rtol=tolerance, err_msg=f"{name} {optimizer}")


def test_every_config_compiles_for_64_devices():
    program = """
import sys; sys.path[:0] = ["tests", "."]
import jax
jax.config.update("jax_num_cpu_devices", 64)
from helpers.steps_of import CONFIGS, config_of
from colorjax.train import compile_check
for name in CONFIGS:
    for fsdp in (1, 8):
        config = config_of(name, batch=64, **{"parallel.fsdp": fsdp})
        found = list(compile_check.compile_phases(config))
        assert all(row["devices"] == 64 for row in found)
        print(name, fsdp, [row["state_bytes"] for row in found])
"""
    env = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    lines = [line.split(" ", 2) for line in result.stdout.splitlines()]
    held = {(name, int(fsdp)): json.loads(text)[0] for name, fsdp, text in lines}
    for name in CONFIGS:
        assert held[name, 8] < held[name, 1]
