"""Colorizers in threads, pickles, copies and forked processes."""

import copy
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.synthetic import synthetic_images

from colorjax.errors import RequestError
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.engines.programs import Programs
from colorjax.runtime import forks

FORKED = """
import multiprocessing, pickle, sys, warnings
warnings.filterwarnings("ignore")
import numpy as np
from colorjax import Colorizer

photo = np.full((24, 24), 90, np.uint8)
before = Colorizer.load(sys.argv[1])
before.colorize(photo)
pickled = pickle.dumps(before)
tries = {
    "use": lambda: before.colorize(photo),
    "load": lambda: Colorizer.load(sys.argv[1]),
    "unpickle": lambda: pickle.loads(pickled).colorize(photo),
    "digest": lambda: before.digest(),
}

def child(name, queue):
    try:
        tries[name]()
        queue.put("worked")
    except Exception as error:
        queue.put(f"{type(error).__name__}: {error}")

context = multiprocessing.get_context("fork")
for name in tries:
    queue = context.Queue()
    process = context.Process(target=child, args=(name, queue), daemon=True)
    process.start()
    print(name, queue.get(timeout=30), flush=True)
    process.join()
"""


def counted(programs, key, counts, barrier):
    def compiled():
        counts.append(key)
        time.sleep(0.05)  # long enough for every other thread to arrive
        return jax.jit(lambda x: x + 1).lower(jnp.zeros(key)).compile()

    barrier.wait()
    return programs.get(key, compiled)


def test_threads_compile_a_program_once():
    programs, counts, barrier = Programs(), [], threading.Barrier(8)
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(counted, programs, n % 2, counts, barrier) for n in range(8)]
        results = [job.result() for job in jobs]
    assert sorted(counts) == [0, 1]
    assert results[0] is results[2] is results[6]
    assert programs.compile_seconds >= 0.1  # of both programs, each once


def test_a_failed_compilation_is_tried_again():
    programs = Programs()
    with pytest.raises(ZeroDivisionError):
        programs.get("key", lambda: 1 / 0)
    assert programs.get("key", lambda: jax.jit(jnp.negative).lower(1.0).compile())(2.0) == -2.0


def test_threads_share_a_colorizer(workdir, monkeypatch):
    photos = synthetic_images(4, 24)
    shared, alone = Colorizer.load(workdir), Colorizer.load(workdir)
    wanted = [alone.colorize(photo) for photo in photos]
    lowered = []
    real = jax.stages.Lowered.compile
    monkeypatch.setattr(
        jax.stages.Lowered, "compile", lambda self: (lowered.append(1), real(self))[1]
    )
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(shared.colorize, photos))
    assert len(lowered) <= 3  # the network, and two programs that paint
    for result, truth in zip(results, wanted, strict=True):
        np.testing.assert_array_equal(result, truth)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("name", ["workdir", "zhang17_workdir", "semantic_workdir"])
def test_a_used_colorizer_can_be_copied(request, duplicate, name):
    photo = synthetic_images(1, 24)[0]
    used = Colorizer.load(request.getfixturevalue(name))
    wanted = used.colorize(photo)
    again = duplicate(used)
    assert again.compile_seconds == 0  # compiled programs stay behind
    assert (again.name, again.step, again.digest()) == (used.name, used.step, used.digest())
    np.testing.assert_array_equal(again.colorize(photo), wanted)


def test_a_forked_child_says_load_after_fork(workdir):
    result = subprocess.run(
        [sys.executable, "-c", FORKED, workdir], capture_output=True, text=True, timeout=120
    )
    lines = result.stdout.splitlines()
    assert len(lines) == 4, result.stderr
    assert all("RequestError: " in line and "load after fork" in line for line in lines)


def test_the_process_is_noted_once(monkeypatch):
    monkeypatch.setattr(forks, "_process", None)
    forks.check_same_process()
    forks.check_same_process()
    monkeypatch.setattr(forks.os, "getpid", lambda: -1)
    with pytest.raises(RequestError, match="load after fork"):
        forks.check_same_process()
