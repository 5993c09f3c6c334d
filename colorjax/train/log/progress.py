"""Progress of a run: a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator, Mapping

from tqdm import tqdm

log = logging.getLogger(__name__)

# Labels and formats in the log.
_LABELS = {
    "images_per_second": ("images/s", "{:.4g}"),
    "wait_share": ("waiting", "{:.0%}"),
    "skipped_photos": ("skipped", "{:.0f}"),
    "host_memory_gib": ("memory", "{:.2f}GiB"),
    "device_memory_gib": ("device", "{:.2f}GiB"),
    "saved": ("saved", "{:.0f}"),
}


def _labeled(name: str, value: float) -> tuple[str, str]:
    label, form = _LABELS.get(name, (name, "{:.4g}"))
    return label, form.format(value)


class Progress:
    """Measures and displays speed and input wait time."""

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
        """Yields from `batches` and measures the wait for each."""
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
        measured = {
            "images_per_second": (step - last_step) * self._batch_size / seconds,
            "wait_share": self._waited / seconds,
        }
        self._mark, self._waited = (step, now), 0.0
        return measured

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Excludes the time inside, such as an evaluation, from the speed."""
        start = time.perf_counter()
        yield
        step, then = self._mark
        self._mark = (step, then + time.perf_counter() - start)

    def show(self, step: int, scalars: Mapping[str, float]) -> None:
        """Displays the metrics of one log step."""
        numbers = dict(_labeled(name, value) for name, value in scalars.items())
        if not self._bar.disable:
            self._bar.set_postfix(numbers, refresh=False)
            return
        speed = scalars.get("images_per_second", 0.0)
        left = (self._total - step) * self._batch_size / speed if speed else 0.0
        text = " ".join(f"{name}={value}" for name, value in numbers.items())
        log.info("step %d/%d %s, %s left", step, self._total, text, tqdm.format_interval(left))

    def close(self) -> None:
        """Closes the bar."""
        self._bar.close()
