"""A signal that ends a run between two photos."""

from __future__ import annotations

import os
import signal
from types import FrameType


class Stop:
    """Notes SIGINT and SIGTERM while it is entered; the second one raises KeyboardInterrupt.

    Attributes:
        reason: the signal's name; "": none came.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self):
        """Starts with no signal seen."""
        self.reason = ""
        self._previous: dict[signal.Signals, object] = {}

    def __bool__(self) -> bool:
        return bool(self.reason)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.reason:
            raise KeyboardInterrupt
        self.reason = signal.Signals(number).name
        # Not `print`: the signal may have come in the middle of one.
        told = f"\ncolorjax: {self.reason}: ends after the photo under way; again: at once\n"
        os.write(2, told.encode())

    def __enter__(self) -> Stop:
        self._previous = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
