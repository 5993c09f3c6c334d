"""Processes many photo files: skips finished ones, reports, returns the exit status."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from colorjax import errors
from colorjax.inference.batch import contact_sheet
from colorjax.inference.batch.inputs import STANDARD
from colorjax.inference.batch.origin import Origin
from colorjax.inference.batch.pipeline import (
    DONE,
    FAILED,
    IN_COLOR,
    NO_ROOM,
    PLANNED,
    SKIPPED,
    Outcome,
    Result,
    Work,
    needs_work,
    outcome_without_work,
    outcomes,
)
from colorjax.inference.batch.plan import Job
from colorjax.inference.batch.report import Report
from colorjax.inference.batch.shard import WHOLE, Shard
from colorjax.runtime import waiting
from colorjax.runtime.atomic import remove_partials
from colorjax.runtime.locks import folder_of_user, only_process
from colorjax.runtime.signals import Stop, StopAfterUnit


@dataclasses.dataclass(frozen=True)
class BatchOptions:
    """Options of a run.

    Attributes:
        done_word: verb of the summary, "colorized".
        threads: maximum number of photos in progress.
        overwrite: whether existing outputs are replaced instead of skipped.
        as_json: whether to print JSON to standard output.
        sheet: path of the contact sheet; None: no contact sheet.
        shard: the part of the photos that is processed, for the summary.
        origin: what results are made with, to compare existing ones with; None: not compared.
        passed_over: number of files in input folders that are not photos, by kind.
        remarks: lines for the end of the run.
    """

    done_word: str = "colorized"
    threads: int = 2
    overwrite: bool = False
    as_json: bool = False
    sheet: Path | None = None
    shard: Shard = WHOLE
    origin: Origin | None = None
    passed_over: dict[str, int] = dataclasses.field(default_factory=dict)
    remarks: Sequence[str] = ()

    def with_origin(self, origin: Origin) -> BatchOptions:
        """Returns the options with what results are made with."""
        return dataclasses.replace(self, origin=origin)

    def report(self, jobs: Sequence[Job], *, has_bar: bool = True) -> Report:
        """Returns a new report on jobs."""
        is_taken = any(job.output == STANDARD for job in jobs)
        return Report(
            self.done_word,
            as_json=self.as_json,
            is_taken=is_taken,
            has_bar=has_bar,
            passed_over=self.passed_over,
            remarks=self.remarks,
            shard=self.shard,
        )


def show_plan(jobs: Sequence[Job], options: BatchOptions) -> int:
    """Prints what a run would do, and processes nothing.

    Returns:
        Exit status: 0; 1: some photos would be refused.
    """
    report = options.report(jobs, has_bar=False)
    for job in jobs:
        is_work = needs_work(job, overwrite=options.overwrite)
        report.add(_planned(job) if is_work else outcome_without_work(job, options.origin))
    report.end()
    return errors.SOME_FAILED if report.tally.failures else errors.DONE


def run(jobs: Sequence[Job], start: Callable[[], Work], options: BatchOptions) -> int:
    """Processes the remaining jobs, prints each and a summary.

    Args:
        jobs: from `plan`.
        start: creates the work; called once, if there are jobs to do.
        options: options of the run.

    Returns:
        Exit status: 0: all done or skipped; 1: some photos failed and the rest is done; 2: the
        disk is full; 75: a signal ended the run between two photos. The same command continues in
        each case.

    Raises:
        RequestError: from `start`, or from the work.
    """
    pending = [job for job in jobs if needs_work(job, overwrite=options.overwrite)]
    folders = folders_of(jobs) | ({options.sheet.parent} if options.sheet else set())
    remove_partials(folders)
    report = options.report(jobs)
    with (
        StopAfterUnit(clean_up=lambda: remove_partials(folders)) as stop,
        report,
        contextlib.ExitStack() as stack,
    ):
        with waiting.phase("loading the network", say=None):
            work = start() if pending else _nothing
        if pending:
            files = sorted(str(job.file) for job in jobs if job.file is not None)
            stack.enter_context(only_run(list(map(os.path.abspath, files))))
        report.begin(len(pending))
        finished, full = process(jobs, work, options, report, stop)
    left = len(jobs) - sum(report.tally.counts.values())
    report.end(left=left)
    has_sheet = options.sheet is None or not jobs or _write_sheet(finished, options.sheet, report)
    if full:
        report.log(f"{full}; {left} to go; the same command continues once that is fixed")
        return errors.WRONG_REQUEST
    if left:
        report.log(f"stopped with {left} to go; the same command continues")
        return errors.STOPPED
    return errors.SOME_FAILED if report.tally.failures or not has_sheet else errors.DONE


def process(
    jobs: Sequence[Job], work: Work, options: BatchOptions, report: Report, stop: Stop
) -> tuple[list[Job], str]:
    """Processes jobs until the end, a signal or a full disk, and reports each.

    Args:
        jobs: from `plan`.
        work: processes one photo.
        options: options of the run.
        report: prints each photo.
        stop: true once a signal came.

    Returns:
        The jobs whose results exist now; and the reason why no further photo can be written, or "".

    Raises:
        RequestError: from the work.
    """
    finished: list[Job] = []
    full: list[str] = []
    with report.timed():
        for outcome in outcomes(
            jobs,
            work,
            threads=options.threads,
            overwrite=options.overwrite,
            origin=options.origin,
            is_stopped=lambda: bool(stop or full),
        ):
            if outcome.status == NO_ROOM:
                full.append(outcome.error)
                continue
            report.add(outcome)
            if outcome.status in (DONE, SKIPPED) and outcome.result.skipped != IN_COLOR:
                finished.append(outcome.job)
    return finished, full[0] if full else ""


def _planned(job: Job) -> Outcome:
    if not job.header.kind and job.source != STANDARD:
        return Outcome(job, FAILED, error="cannot be read as a photo")
    return Outcome(job, PLANNED)


def _nothing(job: Job) -> Result:
    raise AssertionError(f"{job.name} was expected to need no work")


def folders_of(jobs: Sequence[Job]) -> set[Path]:
    """Returns the folders of the results."""
    return {job.file.parent for job in jobs if job.file is not None}


@contextlib.contextmanager
def only_run(names: Sequence[str], work: str = "is processing the same files") -> Iterator[None]:
    """Context manager that lets one process at a time do some work.

    Args:
        names: what identifies the work, such as the absolute paths of its outputs: other sets may
            go to the same folder; no names, no lock.
        work: what the other process does, for the message.

    Raises:
        RequestError: another process does it, or others can write to the folder of the locks.
    """
    digest = hashlib.sha256("\n".join(names).encode(errors="surrogateescape"))
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # no temporary folder, no lock
            if names:
                # Not in the output folder: a request that is refused later creates no folder.
                path = folder_of_user() / f"{digest.hexdigest()[:16]}.lock"
                stack.enter_context(only_process(path, work))
        yield


def _write_sheet(finished: Sequence[Job], sheet: Path, report: Report) -> bool:
    """Writes the contact sheet of all finished photos; returns whether that succeeded."""
    pairs = [
        (job.name, job.source, job.file, *job.samples) for job in finished if job.file is not None
    ]
    if len(pairs) > contact_sheet.MAX_PAIRS:
        report.log(f"{sheet} shows the first {contact_sheet.MAX_PAIRS} of {len(pairs)} photos")
    try:
        contact_sheet.write(sheet, pairs)
    except OSError as error:
        report.log(f"--contact-sheet {sheet} cannot be written: {error.strerror or error}")
        return False
    return True
