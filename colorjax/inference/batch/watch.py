"""Processes the photos of a folder as they arrive, until a signal."""

from __future__ import annotations

import dataclasses
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from colorjax import errors
from colorjax.errors import RequestError
from colorjax.inference.batch.arrivals import Arrivals
from colorjax.inference.batch.inputs import InputPhoto
from colorjax.inference.batch.pipeline import Result, Work, needs_work, outcome_without_work
from colorjax.inference.batch.plan import Job
from colorjax.inference.batch.report import Report
from colorjax.inference.batch.run import BatchOptions, folders_of, process
from colorjax.runtime import waiting
from colorjax.runtime.atomic import remove_partials
from colorjax.runtime.signals import Stop, StopAfterUnit

_SLICE = 0.2  # seconds between two looks at the stop request

# Returns the jobs of the complete photos of one folder; the second argument has those that are new.
Planner = Callable[[Sequence[InputPhoto], set[Path]], list[Job]]


@dataclasses.dataclass
class Watch:
    """One run over a folder.

    A photo that fails because a file cannot be read or written, as on a lost drive, is tried again
    later. It counts as failed until it succeeds.

    Attributes:
        arrivals: the folder.
        plan: plans the jobs of the complete photos of one folder; names of results depend on all
            of them. Raises RequestError.
        start: creates the work; called once, if there is a photo to process.
        paint_films: colorizes films and returns the exit status.
        options: options of the run. `overwrite` replaces results that were made with other
            settings or from another version of the photo; without it they are noted.
        period: seconds between two polls.
    """

    arrivals: Arrivals
    plan: Planner
    start: Callable[[], Work]
    paint_films: Callable[[Sequence[InputPhoto], Stop], int]
    options: BatchOptions
    period: float

    def __post_init__(self):
        """Starts with nothing done."""
        self._work: Work | None = None
        self._cleaned: set[Path] = set()
        self._status = errors.DONE
        self._left = 0  # photos and films that arrived, but were not processed
        self._outputs: dict[Path, Path | None] = {}

    def run(self, name: str) -> int:
        """Polls, processes and waits until a signal comes.

        Args:
            name: of the folder, for messages.

        Returns:
            Exit status: 0; 1: some photos failed; 2: the disk is full; 75: the signal came before
            everything that had arrived was done. The same command continues.

        Raises:
            RequestError: from `start` or from the work.
        """
        report = self.options.report(())
        with StopAfterUnit(clean_up=lambda: remove_partials(self._cleaned)) as stop, report:
            report.log(f"watching {name}; Ctrl-C ends it")
            while not stop and self._status != errors.WRONG_REQUEST:
                arrived = self.arrivals.poll()
                for note in arrived.notes:
                    report.log(note)
                self._process(arrived.photos, report, stop)
                if stop or self._status == errors.WRONG_REQUEST:
                    self._left += len(arrived.films)
                elif arrived.films:
                    self._note(self.paint_films(arrived.films, stop))
                _sleep(self.period, stop)
        left = self._left + self.arrivals.waiting
        report.end(left=left)
        if self._status == errors.WRONG_REQUEST:
            return self._status
        more = f" with {left} to go" if left else ""
        report.log(f"stopped watching {name}{more} ({stop.reason}); the same command continues")
        if left or self._status == errors.STOPPED:
            return errors.STOPPED
        return errors.SOME_FAILED if report.tally.failures else self._status

    def _process(self, photos: Sequence[InputPhoto], report: Report, stop: Stop) -> None:
        by_folder: dict[Path, set[Path]] = defaultdict(set)
        for photo in photos:
            by_folder[photo.source.parent].add(photo.source)
        for folder, new in sorted(by_folder.items()):
            if self._status == errors.WRONG_REQUEST:
                self._left += len(new)
                continue
            try:
                jobs = self.plan(self.arrivals.complete(folder), new)
            except RequestError as error:  # other folders go on
                report.log(str(error))
                self._note(errors.SOME_FAILED)
                self._left += len(new)
                continue
            # A new photo can take the name of an earlier result: that photo gets another one.
            # A photo that was refused because of another one can be free once that is gone.
            due = [
                job
                for job in jobs
                if job.source in new
                or (not job.refusal and job.output != self._outputs.get(job.source, job.output))
            ]
            self._outputs |= {job.source: None if job.refusal else job.output for job in jobs}
            self._process_folder(due, report, stop)

    def _process_folder(self, jobs: Sequence[Job], report: Report, stop: Stop) -> None:
        options = self.options
        report.try_again(jobs)
        if options.overwrite and options.origin is not None:
            done = [job for job in jobs if job.is_done]
            same = {job.source: job for job in done if not options.origin.difference(job)}
            for job in same.values():
                report.add(outcome_without_work(job, None))
            jobs = [job for job in jobs if job.source not in same]
        if any(needs_work(job, overwrite=options.overwrite) for job in jobs) and not stop:
            folders = folders_of(jobs) - self._cleaned
            remove_partials(folders)
            self._cleaned |= folders
            with waiting.phase("loading the network", say=None):
                self._work = self._work or self.start()
        before = sum(report.tally.counts.values())
        _, full = process(jobs, self._work or _nothing, options, report, stop)
        report.log_changed()
        for job in jobs:
            if job.source in report.tally.passing:
                self.arrivals.try_again(job.source)
        self._left += len(jobs) - (sum(report.tally.counts.values()) - before)
        if full:
            report.log(f"{full}; the same command continues once that is fixed")
            self._note(errors.WRONG_REQUEST)

    def _note(self, status: int) -> None:
        """Keeps the status that counts at the end."""
        if self._status != errors.WRONG_REQUEST:
            self._status = status if status == errors.WRONG_REQUEST else max(status, self._status)


def _sleep(seconds: float, stop: Stop) -> None:
    end = time.monotonic() + seconds
    while not stop and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _SLICE))


def _nothing(job: Job) -> Result:
    raise AssertionError(f"{job.name} was expected to need no work")
