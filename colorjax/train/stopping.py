"""When a run ends before its last step: no more improvement, or a signal."""

from __future__ import annotations

import signal
from types import FrameType


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
    """Notes SIGTERM and SIGINT while it is entered, so that the loop can save before it ends.

    A second SIGINT interrupts at once.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        """Starts with no signal seen."""
        self.received: signal.Signals | None = None
        self._previous: dict[signal.Signals, object] = {}

    def __bool__(self) -> bool:
        return self.received is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)

    def __enter__(self) -> StopSignal:
        self._previous = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
