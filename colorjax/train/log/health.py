"""How a run is doing: memory for the log, and a file that says when it last made a step."""

from __future__ import annotations

import json
import resource
import socket
import sys
import time
from collections.abc import Callable, Mapping

import jax
from etils import epath

from colorjax.parallel import mesh as parallel
from colorjax.weights.workdir import write_json

_PERIOD = 5.0  # seconds between beats
_GIB = 2.0**30


class Health:
    """Measures memory, and keeps the heartbeat file of the first process."""

    def __init__(self, path: epath.Path):
        """Names the file; the first beat writes it."""
        self._path = path
        self._last = float("-inf")

    def last_saved(self) -> int:
        """Returns the newest step that an earlier start had saved, as the file says; 0: none."""
        try:
            return int(json.loads(self._path.read_text())["saved"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def measure(self) -> dict[str, float]:
        """Returns the peaks of memory so far, in GiB.

        host_memory_gib; device_memory_gib where the device keeps count.
        """
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = {"host_memory_gib": peak * (1 if sys.platform == "darwin" else 1024) / _GIB}
        stats = jax.local_devices()[0].memory_stats() or {}
        if "peak_bytes_in_use" in stats:
            found["device_memory_gib"] = stats["peak_bytes_in_use"] / _GIB
        return found

    def beat(self, step: int, values: Mapping[str, float], *, saved: Callable[[], int]) -> None:
        """Writes the file, at most every five seconds: a run whose file grows old hangs.

        Args:
            step: the newest whose loss was seen finite.
            values: its metrics.
            saved: says the newest step that is saved; asked when the file is written.
        """
        now = time.monotonic()
        if now - self._last < _PERIOD or not parallel.is_first():
            return
        self._last = now
        found = {"time": time.time(), "host": socket.gethostname(), "step": step, "saved": saved()}
        write_json(self._path, found | {"metrics": dict(values)} | self.measure())
