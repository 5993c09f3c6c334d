"""Runs a study: the trials, then the comparison and the report."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path

from colorjax.errors import Interrupted, RequestError
from colorjax.runtime import waiting
from colorjax.runtime.signals import Stop
from colorjax.tune import compare, report
from colorjax.tune.ledger import ENDED, Claim, Ledger
from colorjax.tune.request import StudyRequest
from colorjax.tune.trial import Ended, Runner

_MAX_FIRST_FAILURES = 3  # failed trials before the first success
_WAIT = 2.0  # seconds between checks of other processes' trials


def tune(
    request: StudyRequest,
    root: Path,
    trials: int,
    *,
    storage: str = "",
    name: str = "tune",
    time_limit: float | None = None,
) -> report.Report:
    """Runs trials until the study has the wanted number, and writes the report.

    Args:
        request: defines the study; it was checked.
        root: folder of the study on this machine.
        trials: total number, including those of other processes and earlier starts.
        storage: see `Ledger`.
        name: of the study.
        time_limit: seconds after which it stops.

    Returns:
        The report.

    Raises:
        RequestError: storage, config or data cannot be used, or every trial fails.
        Interrupted: a signal or the time limit stopped it; the same call continues.
    """
    ledger = Ledger(request, root, storage, name)
    with Stop(time_limit) as stop:
        try:
            _run_trials(ledger, request, trials, stop)
            if not ledger.counts()["COMPLETE"]:
                raise RequestError("no trial was completed; see log.txt in the folders of trials/")
            with waiting.phase("comparing the best trial with the default", say=None):
                compared = compare.compare(ledger, request, lambda: bool(stop))
        except Interrupted as error:
            raise Interrupted(
                f"{error} by {stop.reason}; {_progress(ledger, trials)}; the same command continues"
            ) from None
        with waiting.phase("writing the report", say=None):
            return report.write(ledger, request, compared)


def _run_trials(ledger: Ledger, request: StudyRequest, wanted: int, stop: Stop) -> None:
    is_waiting = False
    while not ledger.is_done(wanted):
        if stop:
            raise Interrupted("stopped")
        claim = ledger.next(wanted)
        if claim is None:  # other processes run the last ones
            if not is_waiting:
                print("waiting for trials of other processes", file=sys.stderr)
            is_waiting = True
            time.sleep(_WAIT)
            continue
        try:
            steps = request.trial_config(claim.values).total_steps
            with waiting.phase(f"trial {claim.number}, steps", steps, say=_say) as count:
                ended = Runner(claim, request, lambda: bool(stop), count).run()
            if ended.state == "RUNNING":
                raise Interrupted(f"trial {claim.number} at step {ended.saved} was stopped")
            _record(ledger, claim, ended)
            _print(ledger, claim, ended, wanted)
        finally:
            claim.lock.close()
        counts = ledger.counts()
        if not counts["COMPLETE"] and counts["FAIL"] >= _MAX_FIRST_FAILURES:
            raise RequestError(f"the first {counts['FAIL']} trials failed; the last: {ended.why}")


def _record(ledger: Ledger, claim: Claim, ended: Ended) -> None:
    from optuna.trial import TrialState

    claim.trial.set_user_attr(ENDED, dataclasses.asdict(ended))
    # Another machine may have taken it over and finished it.
    ledger.study.tell(
        claim.number,
        ended.value if ended.state == "COMPLETE" else None,
        state=TrialState[ended.state],
        skip_if_finished=True,
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _progress(ledger: Ledger, wanted: int) -> str:
    counts = ledger.counts()
    finished = sum(counts.values()) - counts["RUNNING"]
    return f"{finished} of {wanted} trials are finished"


def _print(ledger: Ledger, claim: Claim, ended: Ended, wanted: int) -> None:
    states = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": f"failed ({ended.why})"}
    value = "" if ended.value is None else f"{ended.value:.4f} at step {ended.step}, "
    chosen = ", ".join(f"{name.rpartition('.')[2]} {v}" for name, v in claim.values.items())
    line = f"trial {claim.number} {states[ended.state]}: {value}{ended.seconds:.0f} s; {chosen}"
    if ledger.counts()["COMPLETE"]:
        best = ledger.study.best_trial
        line += f"; best {best.value:.4f} of trial {best.number}"
    print(f"[{_progress(ledger, wanted)}] {line}", file=sys.stderr)
