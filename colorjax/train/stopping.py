"""When a run ends before its last step: no more improvement, a signal, or the end of its time."""

from __future__ import annotations

import math
import os
import re
import signal
import time
from types import FrameType

import jax
from jax.experimental import multihost_utils

from colorjax.errors import RequestError
from colorjax.parallel import mesh as parallel


class Patience:
    """Follows one metric of the validation photos: which evaluation was best, and how long ago."""

    def __init__(self, patience: int, *, higher_is_better: bool):
        """Ends a run after `patience` evaluations without improvement; 0: never."""
        self._patience = patience
        self._sign = 1 if higher_is_better else -1
        self._best = float("-inf")
        self._since_best = 0

    def update(self, value: float) -> bool:
        """Takes one evaluation; returns whether it is the best so far. NaN never is."""
        if self._sign * value > self._best:
            self._best, self._since_best = self._sign * value, 0
            return True
        self._since_best += 1
        return False

    @property
    def is_exhausted(self) -> bool:
        """Whether the run should end."""
        return 0 < self._patience <= self._since_best


class StopSignal:
    """Notes SIGTERM, SIGINT and the end of the time while it is entered, so that a run can save.

    With one process a flag of our own is raised. With several JAX's coordination service owns
    SIGTERM, and `poll` finds out the step at which all of them stop; a handler of ours would
    silently take its notice away. A second SIGINT interrupts at once.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self, time_limit: float | None = None):
        """Starts with no signal seen.

        Args:
            time_limit: seconds from now after which to stop.
        """
        self.reason = ""  # why the run stops: a signal's name, or the time limit
        self._deadline = math.inf if time_limit is None else time.monotonic() + time_limit
        self._interrupted = False
        self._polls = 0
        self._previous: dict[signal.Signals, object] = {}

    def __bool__(self) -> bool:
        return bool(self.reason)

    def poll(self) -> bool:
        """Returns whether to stop; to be asked at the same places by all processes."""
        self._polls += 1
        is_over = time.monotonic() > self._deadline
        if jax.process_count() == 1:
            if is_over and not self.reason:
                self.reason = "the time limit"
        elif not self.reason:
            if is_over and parallel.is_first():
                self._deadline = math.inf
                os.kill(os.getpid(), signal.SIGTERM)  # the service tells the others
            if multihost_utils.reached_preemption_sync_point(self._polls):
                self.reason = signal.SIGTERM.name
        return bool(self)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._interrupted and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._interrupted |= number == signal.SIGINT
        if jax.process_count() == 1:
            self.reason = signal.Signals(number).name
        else:
            os.kill(os.getpid(), signal.SIGTERM)

    def __enter__(self) -> StopSignal:
        owned = self.SIGNALS if jax.process_count() == 1 else (signal.SIGINT,)
        self._previous = {number: signal.signal(number, self._note) for number in owned}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


def parse_duration(text: str, flag: str = "--time_limit") -> float:
    """Returns the seconds of a text such as 55m, 1h30m or 90s; a bare number is of seconds.

    Args:
        text: the time.
        flag: that it was given to, for the error.

    Raises:
        RequestError: it is no such text, or 0.

    >>> parse_duration("1h30m"), parse_duration("90")
    (5400.0, 90.0)
    """
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text.strip())
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if not total:
        raise RequestError(f"{flag} is a time such as 55m, 1h30m or 90s, not {text!r}")
    return float(total)
