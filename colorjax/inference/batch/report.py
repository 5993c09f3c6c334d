"""Output of a run over photos: a progress bar or lines for people, JSON lines for scripts."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from colorjax.inference.batch.pipeline import (
    CHANGED,
    DONE,
    EXISTS,
    FAILED,
    IN_COLOR,
    PLANNED,
    SKIPPED,
    Outcome,
)
from colorjax.inference.batch.plan import Job
from colorjax.inference.batch.shard import WHOLE, Shard
from colorjax.runtime import waiting
from colorjax.runtime.file_names import printable

_MOST_LINES = 10  # photos that each get a line beside a progress bar
_REASONS = {EXISTS: "done before", CHANGED: CHANGED, IN_COLOR: "already in color"}
_BAR = "{n_fmt}/{total_fmt} photos {bar:30} {elapsed}, {remaining} left"


@dataclasses.dataclass
class Tally:
    """Counts and times of a run so far.

    Attributes:
        counts: photos by status.
        reasons: skipped photos by reason.
        failures: (photo, reason) of failed photos.
        passing: sources of failed photos that a later try may process, see `Outcome.may_pass`.
        changed: note -> photos whose results were made with other settings.
        network: seconds in the network, without compilation.
        compiling: seconds of compilation.
    """

    counts: dict[str, int] = dataclasses.field(
        default_factory=lambda: {DONE: 0, SKIPPED: 0, FAILED: 0, PLANNED: 0}
    )
    reasons: Counter[str] = dataclasses.field(default_factory=Counter)
    failures: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    passing: set[Path] = dataclasses.field(default_factory=set)
    changed: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    network: float = 0.0
    compiling: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Adds one photo."""
        self.counts[outcome.status] = self.counts.get(outcome.status, 0) + 1
        self.network += outcome.result.network
        self.compiling += outcome.result.compiling
        if outcome.status == SKIPPED:
            self.reasons[outcome.result.skipped] += 1
        if outcome.result.skipped == CHANGED:
            for note in outcome.result.notes:
                self.changed.setdefault(note, []).append(outcome.job.name)
        if outcome.status == FAILED:
            self.failures.append((outcome.job.name, outcome.error))
            if outcome.may_pass:
                self.passing.add(outcome.job.source)

    def take_back(self, jobs: Sequence[Job]) -> set[tuple[str, str]]:
        """Removes the failures of photos that are tried again from the counts; returns them."""
        names = {job.name for job in jobs if job.source in self.passing}
        taken = {failure for failure in self.failures if failure[0] in names}
        kept = [failure for failure in self.failures if failure[0] not in names]
        self.counts[FAILED] -= len(self.failures) - len(kept)
        self.failures = kept
        self.passing -= {job.source for job in jobs}
        return taken


class Report:
    """Prints each finished photo and a summary.

    Lines for people go to standard output, notes and failures to standard error. With JSON, or if
    the picture itself goes to standard output, all lines for people go to standard error.
    """

    def __init__(
        self,
        done_word: str,
        *,
        as_json: bool,
        is_taken: bool,
        has_bar: bool = True,
        passed_over: Mapping[str, int] | None = None,
        remarks: Sequence[str] = (),
        shard: Shard = WHOLE,
    ):
        """Starts a report.

        Args:
            done_word: verb of the summary, "colorized".
            as_json: whether to print JSON to standard output.
            is_taken: whether the picture goes to standard output.
            has_bar: whether to show a progress bar on a terminal.
            passed_over: number of files that are not photos, by kind, for the summary.
            remarks: lines to print before the summary.
            shard: the part of the photos, for the summary.
        """
        self.tally = Tally()
        self._done_word = done_word
        self._as_json = as_json
        self._is_quiet = as_json or is_taken
        self._has_bar = has_bar
        self._passed_over = dict(passed_over or {})
        self._remarks = remarks
        self._shard = shard
        self._seconds = 0.0
        self._bar: tqdm | None = None
        self._open = contextlib.ExitStack()
        self._has_lines = True
        self._printed: set[tuple[str, str]] = set()

    def begin(self, number: int) -> None:
        """Starts, on a terminal, a progress bar of `number` photos."""
        if self._has_bar and sys.stderr is not None:  # 2>&-
            self._bar = tqdm(
                total=number, unit="photo", bar_format=_BAR, dynamic_ncols=True, disable=None
            )
            self._open.enter_context(waiting.ticking(self._bar))
        self._has_lines = number <= _MOST_LINES or not self._shows_bar()

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Context manager whose time counts in the summary."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._seconds += time.perf_counter() - began

    def add(self, outcome: Outcome) -> None:
        """Prints one photo."""
        self.tally.add(outcome)
        was_work = outcome.status in (DONE, FAILED) and not outcome.job.refusal
        if self._bar is not None and (was_work or outcome.result.skipped == IN_COLOR):
            self._bar.update()
        if self._as_json:
            _print(json.dumps(_as_object(outcome)), sys.stdout)
        elif outcome.status in (DONE, PLANNED) and self._has_lines and not self._is_quiet:
            _print(f"{printable(outcome.job.name)} -> {printable(outcome.job.output)}", sys.stdout)
        elif outcome.status == SKIPPED and not self._has_bar:
            _print(
                f"skipped {printable(outcome.job.name)}: {printable(outcome.job.output)} exists",
                sys.stdout,
            )
        for note in outcome.result.notes:
            if outcome.result.skipped != CHANGED:  # often a whole folder: together at the end
                self.log(f"{outcome.job.name}: {note}")
        if outcome.error and (outcome.job.name, outcome.error) not in self._printed:
            self.log(f"{outcome.job.name}: {outcome.error}")

    def try_again(self, jobs: Sequence[Job]) -> None:
        """Takes back failures of photos that are tried again; the same ones are not printed again.

        Only those that may pass, see `Outcome.may_pass`.
        """
        self._printed |= self.tally.take_back(jobs)

    def log(self, message: str) -> None:
        """Prints one line to standard error."""
        _print(f"colorjax: {printable(message)}", sys.stderr)

    def log_changed(self) -> None:
        """Prints the photos whose results were made with other settings, once."""
        for note, (first, *others) in self.tally.changed.items():
            self.log(f"{first}{f' and {len(others)} more' if others else ''}: {note}")
        self.tally.changed.clear()

    def __enter__(self) -> Report:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        if self._bar is not None:
            self._bar.close()

    def end(self, *, left: int = 0) -> None:
        """Lists all failures again and results of other settings, and prints the summary.

        Args:
            left: number of photos not processed.
        """
        tally, counts = self.tally, self.tally.counts
        if self._has_bar and tally.failures and sum(counts.values()) > 1:
            self.log(
                f"{len(tally.failures)} of {sum(counts.values())} photos could not be processed:"
            )
            for name, error in tally.failures:
                self.log(f"  {name}: {error}")
        self.log_changed()
        for remark in self._remarks:
            self.log(remark)
        summary = _summary(tally, self._seconds) | {"to_go": left, "passed_over": self._passed_over}
        if self._shard.number > 1:
            summary["shard"] = str(self._shard)
        if self._as_json:
            _print(json.dumps({"summary": summary}), sys.stdout)
        part = f"part {self._shard}: " if self._shard.number > 1 else ""
        text = part + self._summary_line(summary)
        _print(text, sys.stderr if self._is_quiet else sys.stdout)

    def _summary_line(self, summary: dict[str, Any]) -> str:
        counts, reasons = self.tally.counts, self.tally.reasons
        skipped = f"{counts[SKIPPED]} skipped"
        special = [
            f"{reasons[reason]} {title}" for reason, title in _REASONS.items() if reasons[reason]
        ]
        if special:
            skipped += f" ({', '.join(special)})"
        if not self._has_bar:
            return f"{counts[PLANNED]} to do, {skipped}, {counts[FAILED]} refused"
        line = f"{counts[DONE]} {self._done_word}, {skipped}, {counts[FAILED]} failed"
        if not counts[DONE]:
            has_existing = reasons[EXISTS] or reasons[CHANGED]
            line += "; --overwrite makes existing results again" if has_existing else ""
            return line + ("; --recolor colorizes color photos" if reasons[IN_COLOR] else "")
        line += f"; {summary['seconds_per_photo']:.2f} s per photo"
        preparing = summary["compile_seconds"]
        return line + (f", plus {preparing:.1f} s of preparation" if preparing else "")

    def _shows_bar(self) -> bool:
        return self._bar is not None and not self._bar.disable


def close(stream: TextIO) -> None:
    """Redirects a broken pipe to the null device, so that no later write fails, even at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _print(text: str, stream: TextIO | None) -> None:
    """Prints a line above a progress bar; ignores closed and broken streams."""
    if stream is None:  # >&-
        return
    coding = stream.encoding or "utf-8"
    try:
        tqdm.write(text.encode(coding, "backslashreplace").decode(coding), file=stream)
        stream.flush()
    except BrokenPipeError:
        close(stream)


def _as_object(outcome: Outcome) -> dict[str, Any]:
    job, result = outcome.job, outcome.result
    row: dict[str, Any] = {
        "input": job.name,
        "output": None if job.output is None else str(job.output),
        "status": outcome.status,
        "notes": list(result.notes),
        "seconds": round(result.seconds, 4),
        "network_seconds": round(result.network, 4),
    }
    if job.samples:
        row["samples"] = [str(path) for path in job.samples]
    if job.map:
        row |= {"uncertainty_map": str(job.map), "uncertainty": result.uncertainty}
    if result.skipped:
        row["reason"] = result.skipped
    return row | ({"error": outcome.error} if outcome.error else {})


def _summary(tally: Tally, seconds: float) -> dict[str, Any]:
    running = max(seconds - tally.compiling, 0.0)
    done = tally.counts[DONE]
    return tally.counts | {
        "skipped_by_reason": dict(tally.reasons),
        "seconds": round(seconds, 3),
        "compile_seconds": round(tally.compiling, 3),
        "seconds_per_photo": round(running / done, 4) if done else None,
        "network_share": round(min(tally.network / running, 1), 4) if running else 0.0,
    }
