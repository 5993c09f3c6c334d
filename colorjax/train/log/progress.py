"""Progress of a run: a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator, Mapping

from tqdm import tqdm

log = logging.getLogger(__name__)

_SLOW_INPUT = 0.2  # share of the time spent waiting for photos that the log shows
_BAR = "{n_fmt}/{total_fmt} {bar:20}{postfix}, {elapsed}, {remaining} left"


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
            total=total, initial=step, bar_format=_BAR, dynamic_ncols=True, disable=not show
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

    def restart(self, step: int) -> None:
        """Measures the speed from now on; `step` is dispatched."""
        self._mark, self._waited = (step, time.perf_counter()), 0.0

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Excludes the time inside, such as an evaluation, from the speed; hides the bar."""
        start = time.perf_counter()
        self._bar.clear()
        yield
        self._bar.refresh()
        step, then = self._mark
        self._mark = (step, then + time.perf_counter() - start)

    def show(self, step: int, scalars: Mapping[str, float]) -> None:
        """Displays a log step: loss, speed, time left; and unusual counts.

        Args:
            step: of the metrics.
            scalars: metrics of the step; the loss of a phase without `loss` ends in "loss".
        """
        losses = {name: x for name, x in scalars.items() if name.endswith("loss")}
        name = "loss" if "loss" in losses else next(iter(losses), "")
        speed = scalars.get("images_per_second", 0.0)
        parts = [f"{name} {losses[name]:.4g}"] if name else []
        parts += [f"{speed:.3g} images/s"] if speed else []
        if scalars.get("skipped_photos"):
            parts.append(f"{scalars['skipped_photos']:.0f} photos skipped")
        if scalars.get("wait_share", 0.0) > _SLOW_INPUT:
            parts.append(f"{scalars['wait_share']:.0%} waiting for photos")
        if not self._bar.disable:
            self._bar.set_postfix_str(", ".join(parts), refresh=False)
            return
        left = (self._total - step) * self._batch_size / speed if speed else 0.0
        parts.append(f"{tqdm.format_interval(left)} left")
        log.info("step %d/%d: %s", step, self._total, ", ".join(parts))

    def close(self) -> None:
        """Closes the bar."""
        self._bar.close()
