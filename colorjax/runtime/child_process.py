"""Programs run as processes of their own, told of the signals that this one gets.

Nothing here touches a device: the children own those. A child outlives no parent: where this
process is killed, Linux sends the child SIGTERM, and it saves and ends.
"""

from __future__ import annotations

import ctypes
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import IO

_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>


class Stop:
    """Notes SIGTERM, SIGINT and the end of the time while it is entered.

    A second SIGINT interrupts at once.
    """

    def __init__(self, time_limit: float | None = None):
        """Starts with no signal seen.

        Args:
            time_limit: seconds from now after which to stop; None: never.
        """
        self._noted = ""
        self._deadline = math.inf if time_limit is None else time.monotonic() + time_limit
        self._previous: dict[signal.Signals, object] = {}

    @property
    def reason(self) -> str:
        """Why to stop: a signal's name, or the time limit; empty: there is no reason."""
        return self._noted or ("the time limit" if time.monotonic() > self._deadline else "")

    def __bool__(self) -> bool:
        return bool(self.reason)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self._noted == "SIGINT":
            raise KeyboardInterrupt
        self._noted = signal.Signals(number).name

    def __enter__(self) -> Stop:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


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
            sys.exit(75)
    os.execv(sys.executable, [sys.executable, "-m", module, *words])


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
