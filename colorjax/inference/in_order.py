"""Work on the bands of a photo by several threads, with results in order."""

from __future__ import annotations

import collections
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")

_MOST_THREADS = 4  # more would wait for memory


def threads() -> int:
    """Returns the number of threads: the cores that this process may use, at most 4."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        cores = os.cpu_count() or 1
    return min(_MOST_THREADS, cores)


def results(work: Callable[[Part], Result], parts: Iterable[Part]) -> Iterator[Result]:
    """Yields work(part) of each part, in order; at most one more than the threads is unfinished.

    Args:
        work: NumPy, Pillow or a compiled program, which leave other threads running. Its exceptions
            are raised here.
        parts: parts that do not depend on each other.
    """
    number = threads()
    waiting = iter(parts)
    first = list(itertools.islice(waiting, 2))
    if number == 1 or len(first) < 2:
        yield from map(work, itertools.chain(first, waiting))
        return
    with ThreadPoolExecutor(number, "band") as pool:
        every = itertools.chain(first, waiting)
        pending = collections.deque(
            pool.submit(work, part) for part in itertools.islice(every, number + 1)
        )
        try:
            while pending:
                result = pending.popleft().result()
                pending.extend(pool.submit(work, part) for part in itertools.islice(every, 1))
                yield result
        finally:
            for future in pending:
                future.cancel()
