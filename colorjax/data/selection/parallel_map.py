"""Work on every photo of a source, in portions, on all cores."""

from __future__ import annotations

import collections
import functools
import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sized
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, TypeVar

Photos = TypeVar("Photos", bound=Sized)
Result = TypeVar("Result")

_PHOTOS_AT_ONCE = 64  # done by one worker
_WORTH_PROCESSES = 4_096  # photos; starting a process takes seconds
_PORTIONS_AHEAD = 2  # of each core: results wait in memory, in the prior 20 MB a portion


def in_portions(
    source: Photos,
    work: Callable[[Photos, int, int], Result],
    progress: Callable[[int], Any] = lambda photos: None,
    *,
    jobs: int = 0,
) -> Iterator[Result]:
    """Applies a function to portions of 64 photos, in the source's order.

    Few photos are done by threads, many by processes; results wait for at most two portions a core.

    Args:
        source: the photos, of a source or an archive; it is pickled where there are many.
        work: (source, first, last) -> the result for photos [first, last); picklable. What it
            raises is raised here.
        progress: is told how many photos each portion had, when it is done.
        jobs: threads or processes; 0: one a core.

    Yields:
        The result of each portion.
    """
    firsts = range(0, len(source), _PHOTOS_AT_ONCE)
    spans = [(first, min(first + _PHOTOS_AT_ONCE, len(source))) for first in firsts]
    jobs = jobs or os.cpu_count() or 1
    ahead = _PORTIONS_AHEAD * jobs
    pool, call = _pool(source, work, jobs)
    with pool:
        waiting = iter(spans)
        pending = collections.deque(
            pool.submit(call, *span) for span in itertools.islice(waiting, ahead)
        )
        for first, last in spans:
            result = pending.popleft().result()
            pending.extend(pool.submit(call, *span) for span in itertools.islice(waiting, 1))
            progress(last - first)
            yield result


def _pool(
    source: Photos, work: Callable[[Photos, int, int], Result], jobs: int
) -> tuple[Executor, Callable[[int, int], Result]]:
    """Decoding small photos is mostly Python's own work: threads would wait for one another."""
    call = functools.partial(work, source)
    if len(source) < _WORTH_PROCESSES or jobs == 1:
        return ThreadPoolExecutor(jobs), call
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, spawn, initializer=_take_up, initargs=(call,)), _do


_call: Callable[[int, int], Any] | None = None  # of this process: sent once, not with each portion


def _take_up(call: Callable[[int, int], Any]) -> None:
    global _call
    _call = call


def _do(first: int, last: int) -> Any:
    assert _call is not None
    return _call(first, last)
