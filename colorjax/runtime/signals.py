"""A signal that ends a run between two photos."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from types import FrameType

STOPPED = 75  # exit status


class Stop:
    """Notes SIGINT and SIGTERM while it is entered; the second one ends the process at once.

    Attributes:
        reason: the signal's name; "": none came.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, clean_up: Callable[[], object], unit: str = "photo"):
        """Starts with no signal seen.

        Args:
            clean_up: called before the process ends at once, with threads still at work.
            unit: of work that is finished first.
        """
        self.reason = ""
        self._clean_up = clean_up
        self._unit = unit
        self._previous: dict[signal.Signals, object] = {}

    def __bool__(self) -> bool:
        return bool(self.reason)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.reason:
            self.reason = signal.Signals(number).name
            _tell(f"{self.reason}: ends after the {self._unit} under way; again: at once")
            return
        self._clean_up()
        _tell("interrupted; the same command continues")
        os._exit(STOPPED)  # the threads would finish their photos first

    def __enter__(self) -> Stop:
        self._previous = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


def _tell(message: str) -> None:
    """Writes to standard error; not by `print`, as the signal may have come amid one."""
    with contextlib.suppress(OSError):
        os.write(2, f"\ncolorjax: {message}\n".encode())
