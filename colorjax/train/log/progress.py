"""How far a run is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator, Mapping

from tqdm import tqdm

log = logging.getLogger(__name__)

# Words of the log for metrics with a unit.
_WORDS = {
    "images_per_second": ("images/s", "{:.4g}"),
    "wait_share": ("waiting", "{:.0%}"),
    "skipped_photos": ("skipped", "{:.0f}"),
    "host_memory_gib": ("memory", "{:.2f}GiB"),
    "device_memory_gib": ("device", "{:.2f}GiB"),
    "saved": ("saved", "{:.0f}"),
}


def _worded(name: str, value: float) -> tuple[str, str]:
    word, form = _WORDS.get(name, (name, "{:.4g}"))
    return word, form.format(value)


class Progress:
    """Measures speed and waiting, and shows them."""

    def __init__(self, step: int, total: int, batch_size: int, *, bar: bool):
        """Starts the clock at `step` of `total`."""
        self._total = total
        self._batch_size = batch_size
        self._mark = (step, time.perf_counter())
        self._waited = 0.0
        show = bar and sys.stderr.isatty()
        self._bar = tqdm(
            total=total, initial=step, unit="img", unit_scale=batch_size, disable=not show
        )

    def timed(self, batches: Iterator) -> Iterator:
        """Yields from `batches`, timing how long each took to come."""
        while True:
            start = time.perf_counter()
            batch = next(batches)
            self._waited += time.perf_counter() - start
            yield batch

    def advance(self) -> None:
        """Moves the bar by one step."""
        self._bar.update()

    def measure(self, step: int) -> dict[str, float]:
        """Returns images_per_second and wait_share since the last call."""
        now = time.perf_counter()
        last_step, last_time = self._mark
        seconds = max(now - last_time, 1e-9)
        found = {
            "images_per_second": (step - last_step) * self._batch_size / seconds,
            "wait_share": self._waited / seconds,
        }
        self._mark, self._waited = (step, now), 0.0
        return found

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leaves the time inside out of the speed: evaluations are not training."""
        start = time.perf_counter()
        yield
        step, then = self._mark
        self._mark = (step, then + time.perf_counter() - start)

    def show(self, step: int, scalars: Mapping[str, float]) -> None:
        """Shows one log step."""
        numbers = dict(_worded(name, value) for name, value in scalars.items())
        if not self._bar.disable:
            self._bar.set_postfix(numbers, refresh=False)
            return
        speed = scalars.get("images_per_second", 0.0)
        left = (self._total - step) * self._batch_size / speed if speed else 0.0
        text = " ".join(f"{name}={value}" for name, value in numbers.items())
        log.info("step %d/%d %s, %s left", step, self._total, text, tqdm.format_interval(left))

    def close(self) -> None:
        """Leaves the terminal tidy."""
        self._bar.close()
