"""Shows what a program does during long phases that print nothing else."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm import tqdm

log = logging.getLogger(__name__)

_BEAT = 1.0  # seconds between updates on a terminal
_PERIOD = 30.0  # seconds between lines elsewhere
_LONG = 5.0  # a phase longer than this gets a line at its end


@contextlib.contextmanager
def ticking(bar: tqdm) -> Iterator[None]:
    """Redraws a progress bar every second, so that its elapsed time never stands still."""

    def tick() -> None:
        while not ended.wait(_BEAT):
            bar.refresh()

    ended = threading.Event()
    thread = threading.Thread(target=tick, daemon=True)
    if not bar.disable:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if thread.is_alive():
            thread.join()


@contextlib.contextmanager
def phase(
    what: str, total: int = 0, say: Callable[[str], object] | None = log.info
) -> Iterator[Callable[[int], None]]:
    """Shows a phase and its elapsed time while it runs.

    On a terminal, a line at the bottom counts the seconds. Elsewhere, one line is logged at the
    start and one every 30 seconds. A phase of more than 5 seconds logs its duration at the end.

    Args:
        what: is being done, such as "compiling the training step".
        total: number of items, if they are counted.
        say: prints a line; None: the phase is shown on a terminal only.

    Yields:
        A function of the number of items that are done.
    """
    from tqdm import tqdm

    say = say or (lambda line: None)
    start = time.monotonic()
    done = 0
    shows = sys.stderr is not None and sys.stderr.isatty()  # None: 2>&-
    form = "{desc}: {n}/{total}, {elapsed}" if total else "{desc}: {elapsed}"
    bar = tqdm(total=total or None, desc=what, bar_format=form, leave=False, disable=not shows)

    def count(number: int) -> None:
        nonlocal done
        done = number
        bar.n = number

    def counted() -> str:
        return f"{what}: {done}/{total}" if total else what

    def beat() -> None:
        while not ended.wait(_BEAT if shows else _PERIOD):
            if shows:
                bar.refresh()
            else:
                say(f"{counted()}, {time.monotonic() - start:.0f} s")

    ended = threading.Event()
    thread = threading.Thread(target=beat, daemon=True)
    if not shows:
        say(f"{what}: {total}" if total else what)
    thread.start()
    try:
        yield count
    finally:
        ended.set()
        thread.join()
        bar.close()
    seconds = time.monotonic() - start
    if seconds > _LONG:
        say(f"{what} took {seconds:.0f} s")
