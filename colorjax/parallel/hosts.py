"""Several hosts: how they find each other, and what happens when one is gone.

JAX's coordination service connects them. On its own a host that dies leaves the others in a
collective that never ends, or aborts them without a word; so every process keeps telling the
service that it is alive, and one that misses another says so and ends, with status 75.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import jax

from colorjax.errors import STOPPED, Interrupted, RequestError
from colorjax.parallel import mesh as parallel

log = logging.getLogger(__name__)

AUTO, OFF = "auto", "off"
PATIENCE = 30.0  # seconds without a word after which a process counts as gone
_PERIOD = 2.0
_FOLDER = "colorjax/alive/"
_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int)
_handlers: list[object] = []


def connect(where: str) -> None:
    """Connects the processes of a run; before anything else of JAX is used.

    Args:
        where: "off": one process alone; "auto": as the cluster says (Cloud TPU, GKE, SLURM,
            Open MPI), alone where there is none; or ADDRESS,COUNT,INDEX: the HOST:PORT of the first
            process, how many there are, and which this is.

    Raises:
        RequestError: not one of these, or they cannot be reached.
    """
    if where == OFF:
        return
    options = {} if where == AUTO else _parse(where)
    # A lost peer is this module's to tell; the service would abort the process.
    jax.config.update("jax_enable_recoverability", True)
    try:
        jax.distributed.initialize(
            **options, heartbeat_timeout_seconds=int(PATIENCE), shutdown_timeout_seconds=60
        )
    except ValueError:
        if where != AUTO:
            raise
        if (name := _sign_of_others()) is not None:
            raise RequestError(
                f"--distributed=auto found no cluster that JAX knows, and {name} tells of others; "
                "on a TPU install jax[tpu], else give ADDRESS,COUNT,INDEX, or off"
            ) from None
        log.info("no cluster found: one process alone")
    except RuntimeError as error:
        raise RequestError(
            f"--distributed={where}: {str(error).splitlines()[0]}; start all processes with the "
            "address of the first, and check that its port is open"
        ) from None


def _sign_of_others() -> str | None:
    """Names a variable by which a cluster says that this process is one of several."""
    counts = ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "WORLD_SIZE")
    for name in counts:
        if os.environ.get(name, "1") not in ("", "1"):
            return name
    if "," in os.environ.get("TPU_WORKER_HOSTNAMES", ""):
        return "TPU_WORKER_HOSTNAMES"
    return "JOB_COMPLETION_INDEX" if os.environ.get("JOB_COMPLETION_INDEX") else None


def disconnect() -> None:
    """Leaves the others in order, once all of them have come to the end.

    The first process, which the service runs in, goes last: the others would be aborted.
    """
    if jax.process_count() == 1:
        return
    parallel.barrier("disconnect")
    if parallel.is_first():
        time.sleep(1)
    jax.distributed.shutdown()


def _parse(where: str) -> dict[str, Any]:
    address, *numbers = where.split(",")
    try:
        count, index = (int(number) for number in numbers)
        if ":" not in address or not 0 <= index < count:
            raise ValueError
    except ValueError:
        raise RequestError(
            "--distributed is auto, off or ADDRESS,COUNT,INDEX such as 10.0.0.1:1234,2,0, with "
            f"INDEX below COUNT; not {where!r}"
        ) from None
    return {"coordinator_address": address, "num_processes": count, "process_id": index}


def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None)
    library.signal.restype = ctypes.c_void_p
    library.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
    return library


class Watch:
    """Watches the other processes from a thread while it is entered; with one process nothing.

    A collective that waits for a dead process cannot be interrupted, so the process is ended from
    the thread.
    """

    def __init__(self, last_words: Callable[[], str], patience: float = PATIENCE):
        """Prepares to watch.

        Args:
            last_words: what to say at the end: how to go on.
            patience: seconds without a word of another process.
        """
        self._last_words = last_words
        self._patience = patience
        self._over = threading.Event()
        self._fails = False  # here: then it falls silent, for the others to end

    def __enter__(self) -> Watch:
        if jax.process_count() > 1:
            handler = _HANDLER(self._aborted)
            _handlers.append(handler)  # it is called by its address, to the end of the process
            _libc().signal(signal.SIGABRT, ctypes.cast(handler, ctypes.c_void_p))
            threading.Thread(target=self._watch, name="peers", daemon=True).start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        self._fails = error is not None
        is_users = isinstance(error, RequestError) and error.__cause__ is None
        is_users = is_users or isinstance(error, Interrupted)
        if jax.process_count() > 1 and isinstance(error, Exception) and not is_users:
            # A collective or a save may fail before the peer is missed: the thread tells which.
            self._over.wait(self._patience + 5 * _PERIOD)
        self._over.set()

    def _watch(self) -> None:
        from jax._src import distributed  # its key-value store has no public name

        client, me = distributed.global_state.client, jax.process_index()
        assert client is not None
        heard = {other: time.monotonic() for other in range(jax.process_count()) if other != me}
        words: dict[int, str] = {}
        beats = 0
        reached = time.monotonic()
        while not self._over.wait(_PERIOD):
            beats += 1
            try:
                if not self._fails:
                    client.key_value_set(f"{_FOLDER}{me}", str(beats), allow_overwrite=True)
                found = client.key_value_dir_get(_FOLDER)
            except Exception as error:  # whatever the service's end looks like from here
                log.debug("coordination service: %s", error)
                if not self._over.is_set() and time.monotonic() - reached > self._patience:
                    self.end("the first process is gone")
                continue
            reached = time.monotonic()
            for key, value in found:
                other = int(key.rpartition("/")[2])
                if other in heard and words.get(other) != value:
                    words[other], heard[other] = value, reached
            for other, since in heard.items():
                if not self._over.is_set() and reached - since > self._patience:
                    self.end(f"process {other} is gone")

    def _aborted(self, number: int) -> None:
        # Where the first process is gone JAX's client aborts at once, from a thread of its own;
        # Python's signal handlers come too late for that.
        self.end("the first process is gone, or JAX's runtime failed as said above")

    def end(self, what: str) -> None:
        """Says what happened, and ends this process at once."""
        print(f"colorjax: {what}; {self._last_words()}", file=sys.stderr, flush=True)
        os._exit(STOPPED)
