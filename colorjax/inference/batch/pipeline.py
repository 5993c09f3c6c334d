"""Processes photos in parallel and yields the outcomes in order, until the end or a signal."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import NamedTuple, TypeAlias

from colorjax.errors import RequestError, UnreadablePhoto
from colorjax.inference.batch.origin import Origin
from colorjax.inference.batch.plan import Job
from colorjax.photos import UnwritablePhoto
from colorjax.runtime import full_disk

# Limit on the pixels of all photos in progress, unless there is only one: two of 24 megapixels run
# in parallel, one of 100 runs by itself.
_MAX_PIXELS_UNDER_WAY = 2**26

DONE, SKIPPED, FAILED, PLANNED = "done", "skipped", "failed", "planned"
NO_ROOM = "no room"
# Reasons for skipping a photo.
EXISTS, CHANGED, IN_COLOR = "exists", "made with other settings", "in color"


class Result(NamedTuple):
    """Notes and times of one processed photo.

    Attributes:
        notes: messages for the user.
        reading: seconds of reading and decoding.
        network: seconds in the network, without compilation.
        writing: seconds of encoding and writing.
        compiling: seconds of compilation.
        painting: seconds of color conversion and upsampling.
        skipped: reason why nothing was written; "": the result was written.
        uncertainty: mean of the map of the uncertainty, 0 to 1; None: no map.
    """

    notes: tuple[str, ...] = ()
    reading: float = 0.0
    network: float = 0.0
    writing: float = 0.0
    compiling: float = 0.0
    painting: float = 0.0
    skipped: str = ""
    uncertainty: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds of the whole photo, without waiting and compilation."""
        return self.reading + self.network + self.painting + self.writing


# Processes one photo; thread-safe. Raises UnreadablePhoto, UnwritablePhoto; RequestError ends all.
Work: TypeAlias = Callable[[Job], Result]


class Outcome(NamedTuple):
    """Status of one photo.

    Attributes:
        job: the photo.
        status: "done", "skipped" (see `Result.skipped`), "failed"; in a dry run "planned"; "no
            room" if the disk is full, so that no further photo can be written.
        result: notes and times, if done or skipped.
        error: one-line reason, if failed.
        may_pass: whether it failed because a file could not be read or written, as on a lost drive,
            so that a later try may succeed.
    """

    job: Job
    status: str
    result: Result = Result()
    error: str = ""
    may_pass: bool = False


def needs_work(job: Job, *, overwrite: bool) -> bool:
    """Returns whether a photo is to be processed."""
    return not job.refusal and (overwrite or not job.is_done)


def outcome_without_work(job: Job, origin: Origin | None) -> Outcome:
    """Returns the outcome of a photo that needs no work.

    Args:
        job: the photo.
        origin: what results are made with now; None: not compared with existing results.
    """
    if job.refusal:
        return Outcome(job, FAILED, error=job.refusal)
    difference = origin.difference(job) if origin else ""
    if not difference:
        return Outcome(job, SKIPPED, Result(skipped=EXISTS))
    note = f"the result was made with other settings ({difference}); --overwrite replaces it"
    return Outcome(job, SKIPPED, Result((note,), skipped=CHANGED))


def outcomes(
    jobs: Sequence[Job],
    work: Work,
    *,
    threads: int,
    overwrite: bool = False,
    origin: Origin | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Outcome]:
    """Processes photos in parallel and yields their outcomes in order.

    Args:
        jobs: from `plan`.
        work: processes one photo; called from several threads.
        threads: maximum number of photos in progress; fewer if they are large.
        overwrite: whether existing outputs are replaced instead of skipped.
        origin: what results are made with now, to compare existing ones with.
        is_stopped: called before each photo; once true, photos in progress are finished and no
            further work is started.

    Raises:
        RequestError: `work` raised it.
    """
    under_way: deque[_UnderWay] = deque()
    with ThreadPoolExecutor(threads, "photo") as pool:
        for job in jobs:
            is_work = needs_work(job, overwrite=overwrite)
            while is_work and not _has_room(under_way, job, threads):
                wait([one.future for one in under_way if not one.is_done], None, FIRST_COMPLETED)
                yield from _finished(under_way)
            if is_work and is_stopped():
                continue  # photos that need no work are still reported
            if is_work:
                future = pool.submit(_outcome, job, work)
            else:
                future = _ready(outcome_without_work(job, origin))
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
    """Pops and yields finished outcomes, up to the first photo in progress."""
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
        result = work(job)
        return Outcome(job, SKIPPED if result.skipped else DONE, result)
    except RequestError:
        raise
    except (UnreadablePhoto, UnwritablePhoto) as error:
        return _failed(job, error, str(error))
    except Exception as error:  # an error of one photo, such as no memory, must not end the run
        return _failed(job, error, f"{type(error).__name__}: {error}".rstrip(": "))


def _failed(job: Job, error: BaseException, message: str) -> Outcome:
    if (reason := full_disk.reason_of(error)) is not None:
        return Outcome(job, NO_ROOM, error=reason)
    return Outcome(job, FAILED, error=message, may_pass=_is_of_system(error))


def _is_of_system(error: BaseException | None) -> bool:
    """Returns whether the system caused an error; decoders raise an OSError without a number."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return True
        error = error.__cause__
    return False
