"""Early end of a run: no more improvement, a signal, or the time limit."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Self

import jax
from jax.experimental import multihost_utils

from colorjax.parallel import mesh as parallel
from colorjax.runtime.signals import Stop


class Patience:
    """Early-stopping counter for one validation metric."""

    def __init__(self, patience: int, *, higher_is_better: bool):
        """Stops a run after `patience` evaluations without improvement; 0: never."""
        self._patience = patience
        self._sign = 1 if higher_is_better else -1
        self._best = float("-inf")
        self._since_best = 0

    def update(self, value: float) -> bool:
        """Records one evaluation; returns whether it is the best so far. NaN never is."""
        if self._sign * value > self._best:
            self._best, self._since_best = self._sign * value, 0
            return True
        self._since_best += 1
        return False

    @property
    def is_exhausted(self) -> bool:
        """Whether the run should end."""
        return 0 < self._patience <= self._since_best


class StopSignal(Stop):
    """Records why a training stops, so that it can save.

    With one process, our signal handler sets a flag. With several, JAX's coordination service owns
    SIGTERM, and `poll` determines the step at which all processes stop; a handler of ours would
    silently disable that.
    """

    def __init__(self, time_limit: float | None = None):
        """Starts without a signal.

        Args:
            time_limit: seconds from now after which to stop.
        """
        super().__init__(time_limit)
        self._polls = 0
        self._has_notified = False  # the service, of the time limit

    @property
    def reason(self) -> str:
        """Why the run stops; the time limit counts once `poll` has seen it."""
        return self._noted

    def poll(self) -> bool:
        """Returns whether to stop; a collective call."""
        self._polls += 1
        if jax.process_count() == 1:
            if self.is_late and not self._noted:
                self._noted = "the time limit"
        elif not self._noted:
            if self.is_late and parallel.is_first() and not self._has_notified:
                self._has_notified = True
                os.kill(os.getpid(), signal.SIGTERM)  # the service notifies the others
            if multihost_utils.reached_preemption_sync_point(self._polls):
                self._noted = signal.SIGTERM.name
        return bool(self)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if jax.process_count() == 1:
            return super()._note(number, frame)
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True  # only SIGINT arrives here
        os.kill(os.getpid(), signal.SIGTERM)

    def __enter__(self) -> Self:
        owned = self.SIGNALS if jax.process_count() == 1 else (signal.SIGINT,)
        self._previous = {number: signal.signal(number, self._note) for number in owned}
        return self
