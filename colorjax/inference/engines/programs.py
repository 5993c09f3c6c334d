"""Compiled programs: one per key, compiled once by whichever thread needs it first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any

import jax

from colorjax.runtime import forks


class Programs:
    """Programs compiled for a few input shapes; safe for threads.

    Pickles and copies have no programs: they compile again when used.

    Attributes:
        compile_seconds: seconds of compilation so far.
    """

    def __init__(self):
        self.compile_seconds = 0.0
        self._programs: dict[Hashable, jax.stages.Compiled] = {}
        self._locks: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Drops the programs, which belong to this process and its devices."""
        return Programs, ()

    def get(
        self, key: Hashable, compiled: Callable[[], jax.stages.Compiled]
    ) -> jax.stages.Compiled:
        """Returns the program of a key; compiles it if it is missing.

        Other threads that need the same program wait; those that need another one do not.

        Args:
            key: identifies the function and the shapes of its arguments.
            compiled: compiles the program.

        Raises:
            RequestError: JAX was used before this process was forked.
        """
        forks.check_same_process()
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._programs:
                start = time.perf_counter()
                self._programs[key] = compiled()
                with self._lock:
                    self.compile_seconds += time.perf_counter() - start
            return self._programs[key]
