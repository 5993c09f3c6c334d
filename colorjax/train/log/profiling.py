"""Profiler traces of training steps, for TensorBoard's profile plugin and for Perfetto."""

from __future__ import annotations

import logging
import tempfile
from typing import Any

import jax
from etils import epath

from colorjax.errors import RequestError
from colorjax.parallel import mesh as parallel
from colorjax.runtime import paths
from colorjax.weights.workdir import Workdir

log = logging.getLogger(__name__)


class Profile:
    """Traces the steps from `first` to `last`, inclusive."""

    def __init__(self, span: tuple[int, int] | None):
        """Sets the span (first, last); None: no trace."""
        self._span = span
        self._is_on = False
        self._folder: epath.Path | None = None
        self._local: epath.Path | None = None

    def before(self, step: int, state: Any, workdir: Workdir) -> None:
        """Starts or ends the trace before a step is dispatched.

        Args:
            step: the next step.
            state: the state before it; waits for it, so that the trace has complete steps.
            workdir: the trace is written to its folder `profile`.
        """
        if self._span is None:
            return
        first, last = self._span
        if self._is_on and step > last:
            jax.block_until_ready(state)
            self.close()
        elif not self._is_on and first <= step <= last:
            jax.block_until_ready(state)
            self._is_on = True
            if not parallel.is_first():  # the other hosts only wait
                return
            self._folder = workdir.root / "profile"
            if paths.is_remote(self._folder):  # JAX writes only to local disks
                self._local = epath.Path(tempfile.mkdtemp())
            jax.profiler.start_trace(self._local or self._folder, create_perfetto_trace=True)

    def close(self) -> None:
        """Ends a running trace."""
        if self._is_on and self._span:
            self._is_on = False
            if self._folder is None:
                return
            jax.profiler.stop_trace()
            if self._local and self._folder:
                for file in paths.files_below(self._local):
                    target = self._folder / file.relative_to(self._local)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    file.copy(target, overwrite=True)
                self._local.rmtree()
            log.info("wrote a trace of steps %d to %d to %s", *self._span, self._folder)


def parse_steps(text: str) -> tuple[int, int] | None:
    """Parses START:STOP; empty: None.

    Raises:
        RequestError: not two steps with 1 <= START <= STOP.

    >>> parse_steps("20:25")
    (20, 25)
    """
    if not text:
        return None
    start, _, stop = text.partition(":")
    if not (start.isdecimal() and stop.isdecimal() and 1 <= int(start) <= int(stop)):
        raise RequestError(f"--profile must be START:STOP, two steps such as 20:25, not {text!r}")
    return int(start), int(stop)
