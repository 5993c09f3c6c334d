"""`colorjax serve` as a process of its own, for tests."""

import contextlib
import os
import re
import subprocess
import sys
import time

from helpers.page_server import Page
from helpers.program import ROOT

ENVIRONMENT = os.environ | {
    "JAX_PLATFORMS": "cpu",
    "PYTHONPATH": str(ROOT),
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".pytest_cache" / "jax-serve"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
}
_URL = re.compile(r"http://127\.0\.0\.1:(\d+)/#([\w-]{43})\n")


@contextlib.contextmanager
def program(folder, *args, before=()):
    """Runs the program in a folder; yields (process, page). `before`: a command that runs it."""
    command = [*before, sys.executable, "-m", "colorjax", "serve", "--no-browser", *map(str, args)]
    process = subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        line = process.stdout.readline().decode()
        found = _URL.search(line)
        assert found, (line, process.stderr.read())
        page = Page(int(found[1]), token=found[2])
        wait_for(page)
        yield process, page
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(20)
        process.stdout.close()
        process.stderr.close()


def wait_for(page):
    """Waits until the server answers."""
    for _ in range(600):
        with contextlib.suppress(OSError):
            page.json("GET", "/api/status")
            return
        time.sleep(0.1)
    raise AssertionError("the server does not answer")
