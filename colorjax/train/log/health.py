"""Health of a run: memory use for the log, and a heartbeat file."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections.abc import Callable, Mapping

import jax
from etils import epath

from colorjax.parallel import mesh as parallel
from colorjax.runtime import foreign_files
from colorjax.weights.workdir import write_json

_PERIOD = 5.0  # seconds between beats
_GIB = 2.0**30


class Health:
    """Measures memory, and writes the heartbeat file on the first process."""

    def __init__(self, path: epath.Path):
        """Stores the path of the file; the first beat writes it."""
        self._path = path
        self._last = float("-inf")

    def last_saved(self) -> int:
        """Returns the newest saved step according to the file of an earlier start; 0: none."""
        try:
            return int(foreign_files.read_json(self._path)["saved"])
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return 0

    def measure(self) -> dict[str, float]:
        """Returns the peak memory use so far, in GiB.

        Keys: host_memory_gib, except on Windows; device_memory_gib if the device reports it.
        """
        peaks = {}
        with contextlib.suppress(ImportError):  # not on Windows
            import resource

            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            peaks["host_memory_gib"] = peak * (1 if sys.platform == "darwin" else 1024) / _GIB
        stats = jax.local_devices()[0].memory_stats() or {}
        if "peak_bytes_in_use" in stats:
            peaks["device_memory_gib"] = stats["peak_bytes_in_use"] / _GIB
        return peaks

    def beat(self, step: int, values: Mapping[str, float], *, saved: Callable[[], int]) -> None:
        """Writes the file, at most every five seconds; a stale file means that the run hangs.

        Args:
            step: the newest step with a finite loss.
            values: its metrics.
            saved: returns the newest saved step; called when the file is written.
        """
        now = time.monotonic()
        if now - self._last < _PERIOD or not parallel.is_first():
            return
        self._last = now
        status = {"time": time.time(), "host": socket.gethostname(), "step": step, "saved": saved()}
        write_json(self._path, status | {"metrics": dict(values)} | self.measure())
