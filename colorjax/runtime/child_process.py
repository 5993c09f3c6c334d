"""Programs run as processes of their own, told of the signals that this one gets.

Nothing here touches a device: the children own those. A child outlives no parent: where this
process is killed, Linux sends the child SIGTERM, and it saves and ends.
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
    words: Sequence[str],
    should_stop: Callable[[], bool],
    *,
    output: IO[bytes] | None = None,
    keep_open: Sequence[int] = (),
    period: float = 1.0,
) -> int:
    """Runs `python -m MODULE WORDS` and returns its exit status; below 0: the signal's number.

    Args:
        module: such as "colorjax.main".
        words: its arguments.
        should_stop: asked every period; the first True sends SIGTERM: programs here save then and
            end with 75.
        output: takes its stdout and stderr; None: those of this process.
        keep_open: file descriptors that it inherits: a lock is held for as long as it runs.
        period: seconds.
    """
    # This file alone, without the package: it takes an instant.
    program = [sys.executable, "-E", "-S", __file__, str(os.getpid()), module, *words]
    both = None if output is None else subprocess.STDOUT
    with subprocess.Popen(program, pass_fds=tuple(keep_open), stdout=output, stderr=both) as child:
        told = False
        while True:
            try:
                return child.wait(timeout=period)
            except subprocess.TimeoutExpired:
                if not told and should_stop():
                    child.send_signal(signal.SIGTERM)
                    told = True


def _become(parent: int, module: str, words: Sequence[str]) -> None:
    """Ties this process to its parent and becomes the module's program."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGTERM)
        if os.getppid() != parent:  # it was killed before the tie
            sys.exit(75)  # errors.STOPPED: this file runs without the package
    os.execv(sys.executable, [sys.executable, "-m", module, *words])


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
