"""Runs programs as child processes and forwards stop requests to them.

This process uses no device, so that the children can. A child does not outlive its parent: if this
process is killed, Linux sends the child SIGTERM, and the child saves and exits.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import IO

_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>


def run_module(
    module: str,
    arguments: Sequence[str],
    should_stop: Callable[[], bool],
    *,
    output: IO[bytes] | None = None,
    keep_open: Sequence[int] = (),
    period: float = 1.0,
) -> int:
    """Runs `python -m MODULE ARGUMENTS` and returns its exit status; if negative, a signal number.

    Args:
        module: such as "colorjax.main".
        arguments: its command-line arguments.
        should_stop: called every period; the first True sends SIGTERM, on which our programs save
            and exit with 75.
        output: receives its stdout and stderr; None: they are inherited.
        keep_open: file descriptors that it inherits, so that a lock is held while it runs.
        period: seconds.
    """
    # Runs this file without importing the package, which would be slow.
    program = [sys.executable, "-E", "-S", __file__, str(os.getpid()), module, *arguments]
    both = None if output is None else subprocess.STDOUT
    with subprocess.Popen(program, pass_fds=tuple(keep_open), stdout=output, stderr=both) as child:
        signaled = False
        while True:
            try:
                return child.wait(timeout=period)
            except subprocess.TimeoutExpired:
                if not signaled and should_stop():
                    child.send_signal(signal.SIGTERM)
                    signaled = True


def _become(parent: int, module: str, arguments: Sequence[str]) -> None:
    """Makes Linux end this process with its parent, then replaces it by the module's program."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGTERM)
        if os.getppid() != parent:  # the parent was killed before prctl
            sys.exit(75)  # errors.STOPPED: this file runs without the package
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
