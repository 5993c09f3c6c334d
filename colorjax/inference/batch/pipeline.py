"""Work on many photos: some at a time, told in order, to the end or to a signal."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import NamedTuple, TypeAlias

from colorjax.errors import RequestError, UnreadablePhoto
from colorjax.inference.batch.plan import Job
from colorjax.photos import UnwritablePhoto

# Photos under way hold at most this many pixels together, or are one: two of 24 megapixels go side
# by side, one of 100 goes alone.
_MAX_PIXELS_UNDER_WAY = 2**26
_FULL = (errno.ENOSPC, errno.EDQUOT)

DONE, SKIPPED, FAILED, PLANNED = "done", "skipped", "failed", "planned"
NO_ROOM = "no room"


class Result(NamedTuple):
    """What the work on one photo came to.

    Attributes:
        notes: what the user should know.
        reading: seconds of reading and decoding.
        network: seconds in the network, compilation apart.
        writing: seconds of encoding and writing.
        compiling: seconds of compilation.
        painting: seconds of looking, enlarging and painting, the network apart.
    """

    notes: tuple[str, ...] = ()
    reading: float = 0.0
    network: float = 0.0
    writing: float = 0.0
    compiling: float = 0.0
    painting: float = 0.0

    @property
    def seconds(self) -> float:
        """Of the whole photo, waiting and compilation apart."""
        return self.reading + self.network + self.painting + self.writing


# Does one photo, in any thread. Raises UnreadablePhoto, UnwritablePhoto; RequestError ends the run.
Work: TypeAlias = Callable[[Job], Result]


class Outcome(NamedTuple):
    """What became of one photo.

    Attributes:
        job: the photo.
        status: "done", "skipped", "failed"; in a dry run "planned"; "no room" where the disk is
            full, so that no further photo can be written.
        result: of a photo that is done.
        error: of a photo that failed, in one line.
    """

    job: Job
    status: str
    result: Result = Result()
    error: str = ""


def known_outcome(job: Job, *, overwrite: bool) -> Outcome | None:
    """Returns what becomes of a photo without work on it; None: there is work."""
    if job.refusal:
        return Outcome(job, FAILED, error=job.refusal)
    if job.is_done and not overwrite:
        return Outcome(job, SKIPPED)
    return None


def outcomes(
    jobs: Sequence[Job],
    work: Work,
    *,
    threads: int,
    overwrite: bool = False,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Outcome]:
    """Does the work on photos, some of them at a time, and yields what became of each, in order.

    Args:
        jobs: from `plan`.
        work: on one photo; called from several threads.
        threads: photos under way at most; fewer where they are large.
        overwrite: whether existing outputs are replaced instead of skipped.
        is_stopped: asked before each photo; once it holds, the photos under way are finished and
            the work that is left is left out.

    Raises:
        RequestError: `work` raised it.
    """
    under_way: deque[_UnderWay] = deque()
    with ThreadPoolExecutor(threads, "photo") as pool:
        for job in jobs:
            known = known_outcome(job, overwrite=overwrite)
            while known is None and not _has_room(under_way, job, threads):
                wait([one.future for one in under_way if not one.is_done], None, FIRST_COMPLETED)
                yield from _finished(under_way)
            if known is None and is_stopped():
                continue  # what needs no work is told all the same
            future = pool.submit(_outcome, job, work) if known is None else _ready(known)
            under_way.append(_UnderWay(job, future))
            yield from _finished(under_way)
        while under_way:
            yield under_way.popleft().future.result()


class _UnderWay(NamedTuple):
    job: Job
    future: Future[Outcome]

    @property
    def is_done(self) -> bool:
        return self.future.done()


def _finished(under_way: deque[_UnderWay]) -> Iterator[Outcome]:
    """Takes away and yields what is finished, up to the first photo that is not."""
    while under_way and under_way[0].is_done:
        yield under_way.popleft().future.result()


def _has_room(under_way: Sequence[_UnderWay], job: Job, threads: int) -> bool:
    running = [one.job.num_pixels for one in under_way if not one.is_done]
    has_thread = len(running) < threads
    return has_thread and (not running or sum(running) + job.num_pixels <= _MAX_PIXELS_UNDER_WAY)


def _ready(outcome: Outcome) -> Future[Outcome]:
    future: Future[Outcome] = Future()
    future.set_result(outcome)
    return future


def _outcome(job: Job, work: Work) -> Outcome:
    try:
        return Outcome(job, DONE, work(job))
    except RequestError:
        raise
    except (UnreadablePhoto, UnwritablePhoto) as error:
        return _failed(job, error, str(error))
    except Exception as error:  # one photo's trouble, such as no memory, is not the others'
        return _failed(job, error, f"{type(error).__name__}: {error}".rstrip(": "))


def _failed(job: Job, error: BaseException, told: str) -> Outcome:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _FULL:
            return Outcome(job, NO_ROOM, error=cause.strerror or str(cause))
        cause = cause.__cause__ or cause.__context__
    return Outcome(job, FAILED, error=told)
