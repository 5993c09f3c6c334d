"""The run over many photo files: what is left to do is done, told and summed up."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from colorjax.errors import STOPPED
from colorjax.inference.batch import contact_sheet
from colorjax.inference.batch.inputs import STANDARD
from colorjax.inference.batch.pipeline import (
    DONE,
    FAILED,
    NO_ROOM,
    PLANNED,
    SKIPPED,
    Outcome,
    Result,
    Work,
    known_outcome,
    outcomes,
)
from colorjax.inference.batch.plan import Job
from colorjax.inference.batch.report import Report
from colorjax.runtime.atomic import remove_partials
from colorjax.runtime.signals import StopAfterUnit

ALL_DONE, SOME_FAILED, CANNOT_GO_ON = 0, 1, 2  # exit status


@dataclasses.dataclass(frozen=True)
class BatchOptions:
    """How a run goes.

    Attributes:
        done_word: what is done to photos, "colorized".
        threads: photos under way at most.
        overwrite: whether existing outputs are replaced instead of skipped.
        as_json: whether scripts read standard output.
        sheet: where the contact sheet goes; None: there is none.
    """

    done_word: str = "colorized"
    threads: int = 2
    overwrite: bool = False
    as_json: bool = False
    sheet: Path | None = None

    def report(self, jobs: Sequence[Job], *, has_bar: bool = True) -> Report:
        """Starts the report on jobs."""
        is_taken = any(job.output == STANDARD for job in jobs)
        return Report(self.done_word, as_json=self.as_json, is_taken=is_taken, has_bar=has_bar)


def show_plan(jobs: Sequence[Job], manner: BatchOptions) -> int:
    """Tells what a run would do, and does nothing.

    Returns:
        0; 1: some photos would be refused.
    """
    report = manner.report(jobs, has_bar=False)
    for job in jobs:
        report.add(known_outcome(job, overwrite=manner.overwrite) or _planned(job))
    report.end()
    return SOME_FAILED if report.tally.failures else ALL_DONE


def run(jobs: Sequence[Job], start: Callable[[], Work], manner: BatchOptions) -> int:
    """Does what is left of jobs, tells of each and sums up.

    Args:
        jobs: from `plan`.
        start: makes the work; called once, if there is something to do.
        manner: how.

    Returns:
        0: all done or skipped; 1: some photos failed and the rest is done; 2: the disk is full;
        75: a signal ended it between two photos. The same command goes on in each case.

    Raises:
        RequestError: from `start`, or from the work.
    """
    pending = [job for job in jobs if not known_outcome(job, overwrite=manner.overwrite)]
    folders = _folders(jobs, manner.sheet)
    remove_partials(folders)
    report = manner.report(jobs)
    finished: list[Job] = []
    full: list[str] = []  # why no further photo can be written
    with StopAfterUnit(clean_up=lambda: remove_partials(folders)) as stop, report:
        work = start() if pending else _nothing
        report.begin(len(pending))
        for outcome in outcomes(
            jobs,
            work,
            threads=manner.threads,
            overwrite=manner.overwrite,
            is_stopped=lambda: bool(stop or full),
        ):
            if outcome.status == NO_ROOM:
                full.append(outcome.error)
                continue
            report.add(outcome)
            if outcome.status in (DONE, SKIPPED):
                finished.append(outcome.job)
    left = len(jobs) - sum(report.tally.counts.values())
    report.end(left=left)
    has_sheet = manner.sheet is None or _write_sheet(finished, manner.sheet, report)
    if full:
        report.tell(f"{full[0]}; {left} to go; the same command continues once that is mended")
        return CANNOT_GO_ON
    if left:
        report.tell(f"stopped with {left} to go; the same command continues")
        return STOPPED
    return SOME_FAILED if report.tally.failures or not has_sheet else ALL_DONE


def _planned(job: Job) -> Outcome:
    if not job.header.kind and job.source != STANDARD:
        return Outcome(job, FAILED, error="no image that can be read")
    return Outcome(job, PLANNED)


def _nothing(job: Job) -> Result:
    raise AssertionError(f"no work was expected, but {job.name} came")


def _folders(jobs: Sequence[Job], sheet: Path | None) -> set[Path]:
    folders = {job.file.parent for job in jobs if job.file is not None}
    return folders | ({sheet.parent} if sheet else set())


def _write_sheet(finished: Sequence[Job], sheet: Path, report: Report) -> bool:
    """Writes the contact sheet of what is done, now or before; returns whether it is there."""
    pairs = [(job.name, job.source, job.file) for job in finished if job.file is not None]
    if len(pairs) > contact_sheet.MAX_PAIRS:
        report.tell(f"{sheet} shows the first {contact_sheet.MAX_PAIRS} of {len(pairs)} photos")
    try:
        contact_sheet.write(sheet, pairs)
    except OSError as error:
        report.tell(f"--contact-sheet {sheet} cannot be written: {error.strerror or error}")
        return False
    return True
