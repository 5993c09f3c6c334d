"""Work outside the event loop: one thread, a bounded queue, and the latest request wins."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, NamedTuple

from colorjax.serve import errors

STOPPING = "The server is stopping."


class _Job(NamedTuple):
    key: Hashable
    work: Callable[[], Any]
    result: Future[Any]


class Jobs:
    """Runs jobs one after the other on a thread of its own.

    Attributes:
        stage: what the running job does, for the user; "": nothing.
    """

    def __init__(self, name: str, most: int):
        """Starts the thread.

        Args:
            name: of the thread.
            most: waiting jobs; further ones are refused.
        """
        self.stage = ""
        self._most = most
        self._waiting: collections.deque[_Job] = collections.deque()
        self._condition = threading.Condition()
        self._is_running = False
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def num_waiting(self) -> int:
        """Number of jobs that wait."""
        return len(self._waiting)

    @property
    def is_busy(self) -> bool:
        """Whether a job runs or waits."""
        return self._is_running or bool(self._waiting)

    async def run(self, work: Callable[[], Any], key: Hashable = None) -> Any:
        """Returns the result of a job.

        Args:
            work: the job.
            key: a waiting job of the same key is superseded; None: none is.

        Raises:
            Refused: the queue is full, a newer job of the same key came, or `stop` was called.
        """
        return await asyncio.wrap_future(self.submit(work, key))

    def submit(self, work: Callable[[], Any], key: Hashable = None) -> Future[Any]:
        """Queues a job; see `run`."""
        job = _Job(key, work, Future())
        with self._condition:
            if self._is_stopped:
                raise errors.Refused(503, STOPPING)
            older = [one for one in self._waiting if key is not None and one.key == key]
            for one in older:
                self._waiting.remove(one)
                _fail(one, errors.superseded())
            if len(self._waiting) >= self._most:
                raise errors.busy()
            self._waiting.append(job)
            self._condition.notify()
        return job.result

    def stop(self, seconds: float = 30.0) -> None:
        """Refuses the waiting jobs, and waits for the running one."""
        with self._condition:
            self._is_stopped = True
            while self._waiting:
                _fail(self._waiting.popleft(), errors.Refused(503, STOPPING))
            self._condition.notify()
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._waiting and not self._is_stopped:
                    self._condition.wait()
                if self._is_stopped:
                    return
                job = self._waiting.popleft()
                self._is_running = True
            if job.result.set_running_or_notify_cancel():  # False: nobody waits for it
                try:
                    job.result.set_result(job.work())
                except BaseException as error:
                    job.result.set_exception(error)
            del job  # its pictures are not kept until the next one
            self.stage = ""
            self._is_running = False

    @contextlib.contextmanager
    def doing(self, stage: str):
        """Context manager that names the stage of the running job."""
        before, self.stage = self.stage, stage
        try:
            yield
        finally:
            self.stage = before


def _fail(job: _Job, error: Exception) -> None:
    if job.result.set_running_or_notify_cancel():
        job.result.set_exception(error)
