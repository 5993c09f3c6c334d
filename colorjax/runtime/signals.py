"""Why a program stops early: SIGINT, SIGTERM, or the end of its time."""

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
    """Notes SIGINT, SIGTERM and the end of the time while it is entered.

    The program asks for it between two units of work, finishes, and ends with status 75. A second
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
        """Why to stop: a signal's name, or "the time limit"; empty: there is no reason."""
        return self._noted or ("the time limit" if self.is_late else "")

    @property
    def is_late(self) -> bool:
        """Whether the time is over."""
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


class StopAfterUnit(Stop):
    """A stop that says so: "ends after the photo under way"; a second signal ends at once."""

    def __init__(
        self,
        unit: str = "photo",
        *,
        clean_up: Callable[[], object] = lambda: None,
        time_limit: float | None = None,
    ):
        """Starts with no signal seen.

        Args:
            unit: of work that is finished first.
            clean_up: called before the process ends at once, with threads still at work.
            time_limit: seconds from now after which to stop; None: never.
        """
        super().__init__(time_limit)
        self._unit = unit
        self._clean_up = clean_up

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self._noted:
            self._noted = signal.Signals(number).name
            _tell(f"{self._noted}: ends after the {self._unit} under way; again: at once")
            return
        self._clean_up()
        _tell("interrupted; the same command continues")
        os._exit(STOPPED)  # the threads would finish their photos first


def _tell(message: str) -> None:
    """Writes to standard error; not by `print`, as the signal may have come amid one."""
    with contextlib.suppress(OSError):
        os.write(2, f"\ncolorjax: {message}\n".encode())
