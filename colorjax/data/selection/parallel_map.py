"""Applies a function to all photos of a source, in portions, on all cores."""

from __future__ import annotations

import collections
import functools
import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sized
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, TypeVar

PhotoSource = TypeVar("PhotoSource", bound=Sized)
Result = TypeVar("Result")

_PHOTOS_AT_ONCE = 64  # per task of a worker
_WORTH_PROCESSES = 4_096  # photos; starting a process takes seconds
_PORTIONS_AHEAD = 2  # per core: pending results are held in memory, 20 MB per portion in the prior


def in_portions(
    source: PhotoSource,
    work: Callable[[PhotoSource, int, int], Result],
    progress: Callable[[int], Any] = lambda photos: None,
    *,
    jobs: int = 0,
) -> Iterator[Result]:
    """Applies a function to portions of 64 photos and yields the results in order.

    Small sources use threads, large ones processes. At most two portions per core are pending.

    Args:
        source: a source or an archive of photos; pickled if it is large.
        work: (source, first, last) -> the result for photos [first, last); picklable. Its
            exceptions are raised here.
        progress: called with the number of photos of each finished portion.
        jobs: number of threads or processes; 0: one per core.

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
    source: PhotoSource, work: Callable[[PhotoSource, int, int], Result], jobs: int
) -> tuple[Executor, Callable[[int, int], Result]]:
    """Returns a pool and its task; decoding many small photos in threads is limited by the GIL."""
    call = functools.partial(work, source)
    if len(source) < _WORTH_PROCESSES or jobs == 1:
        return ThreadPoolExecutor(jobs), call
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, spawn, initializer=_set_call, initargs=(call,)), _do


_call: Callable[[int, int], Any] | None = None  # per process: sent once, not with each portion


def _set_call(call: Callable[[int, int], Any]) -> None:
    global _call
    _call = call


def _do(first: int, last: int) -> Any:
    assert _call is not None
    return _call(first, last)
