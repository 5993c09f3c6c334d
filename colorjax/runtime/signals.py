"""Stop requests: SIGINT, SIGTERM or a time limit."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Self

from colorjax.errors import STOPPED


class Stop:
    """Context manager that records SIGINT, SIGTERM and the end of a time limit.

    The program checks it between two units of work, stops, and exits with status 75. A second
    SIGINT raises KeyboardInterrupt.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, time_limit: float | None = None):
        """Starts with no signal seen.

        Args:
            time_limit: seconds from now after which to stop; None: never.
        """
        self._noted = ""
        self._interrupted = False
        self._deadline = math.inf if time_limit is None else time.monotonic() + time_limit
        self._previous: dict[signal.Signals, object] = {}

    @property
    def reason(self) -> str:
        """The reason to stop: a signal name or "the time limit"; empty: none."""
        return self._noted or ("the time limit" if self.is_late else "")

    @property
    def is_late(self) -> bool:
        """Whether the time limit has passed."""
        return time.monotonic() >= self._deadline

    def __bool__(self) -> bool:
        return bool(self.reason)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self._interrupted:
            raise KeyboardInterrupt
        self._interrupted |= number == signal.SIGINT
        self._noted = signal.Signals(number).name

    def __enter__(self) -> Self:
        self._previous = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


def exit_as_stopped() -> None:
    """Makes SIGINT and SIGTERM end a program with status 75, from now until a `Stop` takes over.

    During an import the program exits at once, as there is nothing to clean up, and libraries may
    swallow exceptions there. Otherwise KeyboardInterrupt is raised.
    """
    for number in Stop.SIGNALS:
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    name = signal.Signals(number).name
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            _print_message(f"stopped by {name}; run the same command again")
            os._exit(STOPPED)
        frame = frame.f_back
    raise KeyboardInterrupt(name)


class StopAfterUnit(Stop):
    """Stop request that prints a message; a second signal exits immediately."""

    def __init__(
        self,
        unit: str = "photo",
        *,
        clean_up: Callable[[], object] = lambda: None,
        time_limit: float | None = None,
    ):
        """Starts with no signal seen.

        Args:
            unit: name of the unit of work that is finished before the stop.
            clean_up: called before an immediate exit, while threads are still running.
            time_limit: seconds from now after which to stop; None: never.
        """
        super().__init__(time_limit)
        self._unit = unit
        self._clean_up = clean_up

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self._noted:
            self._noted = signal.Signals(number).name
            _print_message(
                f"{self._noted}: stops after the current {self._unit}; again: stops at once"
            )
            return
        self._clean_up()
        _print_message("interrupted; the same command continues")
        os._exit(STOPPED)  # a normal exit would wait for the threads


def _print_message(message: str) -> None:
    """Writes to standard error without `print`, which the signal may have interrupted."""
    with contextlib.suppress(OSError):
        os.write(2, f"\ncolorjax: {message}\n".encode())
