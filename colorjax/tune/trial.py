"""One trial: a run of `colorjax.main` that is monitored and pruned."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from colorjax.errors import DONE, STOPPED, WRONG_REQUEST, RequestError
from colorjax.runtime import atomic, child_process, foreign_files
from colorjax.tune import config_file
from colorjax.tune.ledger import Claim
from colorjax.tune.request import StudyRequest
from colorjax.tune.space import Value
from colorjax.weights.workdir import Workdir

PROGRAM = "colorjax.main"
_TRIES = 3  # maximum starts of a program that crashes
_SAVE_CLOCK_EVERY = 5.0  # seconds

State = Literal["COMPLETE", "PRUNED", "FAIL", "RUNNING"]


@dataclasses.dataclass(frozen=True)
class Ended:
    """Result of a trial.

    Attributes:
        state: RUNNING: it was stopped, and the next start continues it.
        value: best value of the metric; None if there is none.
        step: of the best value.
        steps: the last evaluated step.
        cut_at: the step at which its time limit was reached; 0: it was not.
        saved: the newest saved step.
        seconds: of training.
        why: the reason, if it failed.
    """

    state: State
    value: float | None = None
    step: int = 0
    steps: int = 0
    cut_at: int = 0
    saved: int = 0
    seconds: float = 0.0
    why: str = ""


class Clock:
    """Counts the seconds of a trial's training over all its starts, in `clock.json`.

    It starts with the first step of each start, so that compilation does not count.
    """

    def __init__(self, folder: Path):
        """Reads the time of earlier starts."""
        self._file = folder / "clock.json"
        self._heartbeat = folder / "heartbeat.json"
        self._earlier, self.last_step = 0.0, 0
        try:
            known = foreign_files.read_json(self._file)
            self._earlier, self.last_step = float(known["seconds"]), int(known["last_step"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # none yet
        self._begun: float | None = None
        self._started = time.time()
        self._written = time.monotonic()

    def start(self) -> None:
        """Prepares for a new start; the clock pauses until its first step."""
        self._earlier, self._begun = self.seconds, None
        self._started = time.time()

    @property
    def seconds(self) -> float:
        """Seconds of training until now."""
        return self._earlier + (time.monotonic() - self._begun if self._begun else 0.0)

    @property
    def newest_step(self) -> int:
        """The newest step of the run, at most five seconds old; 0: none yet."""
        try:
            return int(foreign_files.read_json(self._heartbeat)["step"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def tick(self) -> None:
        """Checks whether training has begun, and writes the time periodically."""
        if self._begun is None:
            try:
                if self._heartbeat.stat().st_mtime < self._started:
                    return
            except OSError:
                return
            self._begun = time.monotonic()
        if time.monotonic() - self._written > _SAVE_CLOCK_EVERY:
            self.write()

    def write(self) -> None:
        """Writes the time, and the step at which the trial must end; 0: as planned."""
        self._written = time.monotonic()
        content = {"seconds": self.seconds, "last_step": self.last_step}
        atomic.write_bytes(self._file, json.dumps(content).encode())


def validations(folder: Path, metric: str) -> dict[int, float]:
    """Returns the finite validation values of a run: step -> value."""
    lines = Workdir(folder).read_metrics()
    values = {line["step"]: line.get(f"validation/{metric}", math.nan) for line in lines}
    return {step: float(value) for step, value in values.items() if math.isfinite(value)}


class Training:
    """A run of `colorjax.main` in a folder, continued to its end."""

    def __init__(
        self,
        folder: Path,
        request: StudyRequest,
        values: Mapping[str, Value],
        should_stop: Callable[[], bool],
        *,
        last_step: int = 0,
        keep_open: Sequence[int] = (),
    ):
        """Writes the run's config into its folder.

        Args:
            folder: its workdir.
            request: defines the config and the time limit.
            values: field -> choice or number.
            should_stop: called every second; if True, the run saves and ends.
            last_step: at which it is known to end; 0: as planned.
            keep_open: file descriptors that its processes inherit.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.config = request.trial_config(values)
        self._file = folder / "config.py"
        config_file.write(self._file, self.config, f"A trial of colorjax tune: {dict(values)}")
        self.clock = Clock(folder)
        self.clock.last_step = self.clock.last_step or last_step
        self._limit = 60 * request.minutes
        self._should_stop, self._keep_open = should_stop, keep_open
        self._is_over = False

    def finish(self) -> int:
        """Trains to the end, or to the time limit, and evaluates there.

        Returns:
            The program's exit status; 75: `should_stop`.
        """
        status = self._start()
        if self._is_over and status == STOPPED:
            self.clock.last_step = max(1, saved_step(self.folder))
            self.clock.write()
            self._is_over = False
            if not self._should_stop():
                status = self._start()  # again, to evaluate at the last step
        return status

    def _start(self) -> int:
        arguments = [f"--config={self._file}", f"--workdir={self.folder}"]
        if self.clock.last_step:
            arguments.append(f"--config.total_steps={self.clock.last_step}")
        self.clock.start()
        with open(self.folder / "log.txt", "ab") as log:
            status = child_process.run_module(
                PROGRAM, arguments, self._watch, output=log, keep_open=self._keep_open
            )
        self.clock.tick()
        self.clock.write()
        return status

    def _watch(self) -> bool:
        self.clock.tick()
        if self._limit and self.clock.seconds > self._limit and not self.clock.last_step:
            self._is_over = True
        return self._should_stop() or self._is_over


class Runner:
    """Runs a trial of a study, and reports its evaluations to the study."""

    def __init__(
        self,
        claim: Claim,
        request: StudyRequest,
        should_stop: Callable[[], bool],
        count: Callable[[int], object] = lambda step: None,
    ):
        """Prepares the trial's folder.

        Args:
            claim: of the trial.
            request: defines the trial and its limits.
            should_stop: whether this process must end.
            count: called every second with the newest step.
        """
        self._count = count
        self._claim, self._request, self._should_stop = claim, request, should_stop
        self._training = Training(
            claim.folder,
            request,
            claim.values,
            self._watch,
            keep_open=(claim.lock.fileno(),),
        )
        stored = claim.trial.study.get_trials(deepcopy=False)
        earlier = (each.intermediate_values for each in stored if each.number == claim.number)
        self._reported = set(next(earlier))
        self._is_pruned = False

    def run(self) -> Ended:
        """Trains until the trial is complete, pruned or failed, or this process must end.

        Raises:
            RequestError: the program refuses the request; no other trial would run either.
        """
        log, status = self._claim.folder / "log.txt", DONE
        for _ in range(_TRIES):
            status = self._training.finish()
            self._report()
            if status == DONE:
                values = validations(self._claim.folder, self._request.metric)
                return self._ended("COMPLETE" if values else "FAIL", why="no finite value")
            if self._should_stop():
                return self._ended("RUNNING")
            if self._is_pruned:
                return self._ended("PRUNED")
            if status == WRONG_REQUEST and re.match(r"step \d+: ", log_tail(log)):
                return self._ended("FAIL", why=log_tail(log))  # it diverged
            if status == WRONG_REQUEST:
                raise RequestError(f"trial {self._claim.number}: {log_tail(log)}")
        why = f"ended {_TRIES} times with status {status}: {log_tail(log)}"
        return self._ended("FAIL", why=why)

    def _watch(self) -> bool:
        """Checks the training; returns whether it must end now."""
        self._claim.beat()
        self._count(self._training.clock.newest_step)
        self._report()
        return self._is_pruned or self._should_stop()

    def _report(self) -> None:
        """Reports new evaluations to the study: the k-th after k equal shares of the photos."""
        config = self._training.config
        for step, value in validations(self._claim.folder, self._request.metric).items():
            if step % config.eval_every and step != config.total_steps:
                continue  # the evaluation at the time limit
            number = math.ceil(step / config.eval_every)
            if number not in self._reported:
                self._reported.add(number)
                self._claim.trial.report(value, number)
                # The default is never pruned: it is the reference.
                if not self._claim.is_default and self._claim.trial.should_prune():
                    self._is_pruned = True

    def _ended(self, state: State, why: str = "") -> Ended:
        values = validations(self._claim.folder, self._request.metric)
        sign = 1 if self._request.higher_is_better else -1
        step = max(values, key=lambda each: sign * values[each], default=0)
        return Ended(
            state,
            value=values.get(step),
            step=step,
            steps=max(values, default=0),
            cut_at=self._training.clock.last_step,
            saved=saved_step(self._claim.folder),
            seconds=round(self._training.clock.seconds, 1),
            why=why if state == "FAIL" else "",
        )


def saved_step(folder: Path) -> int:
    """Returns the newest saved step of a run; 0: none."""
    paths = (folder / "checkpoints").glob("[0-9]*")
    return max((int(path.name) for path in paths if path.name.isdecimal()), default=0)


def log_tail(log: Path) -> str:
    """Returns the last message of a program, without its name: why it ended."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-50:]
    except OSError:
        return ""
    messages = [line for line in lines if line.startswith("colorjax: ")]
    rest = [line.strip() for line in lines if line.strip()]
    return (messages or rest or [""])[-1].removeprefix("colorjax: ")
