"""Multi-host runs: connects the processes and detects dead ones.

JAX's coordination service connects the processes. By itself, a host that dies leaves the others in
a collective that never ends, or aborts them without a message. So every process sends heartbeats
to the service. A process that misses the heartbeats of another prints a message and exits with
status 75.
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
PATIENCE = 30.0  # seconds without a heartbeat after which a process counts as dead
_PERIOD = 2.0
_FOLDER = "colorjax/alive/"
_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int)
_handlers: list[object] = []


def connect(where: str) -> None:
    """Connects the processes of a run; must be called before any other use of JAX.

    Args:
        where: "off": a single process; "auto": as configured by the cluster (Cloud TPU, GKE, SLURM,
            Open MPI), a single process without a cluster; or ADDRESS,COUNT,INDEX: the HOST:PORT of
            the first process, the number of processes, and the index of this one.

    Raises:
        RequestError: the value is invalid, or the other processes cannot be reached.
    """
    if where == OFF:
        return
    options = {} if where == AUTO else _parse(where)
    # This module reports a lost peer; otherwise the service would abort the process.
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
                f"--distributed=auto: JAX detects no cluster, but {name} indicates several "
                "processes; on a TPU install jax[tpu], else give ADDRESS,COUNT,INDEX, or off"
            ) from None
        log.info("no cluster detected: running as a single process")
    except RuntimeError as error:
        raise RequestError(
            f"--distributed={where}: {str(error).splitlines()[0]}; start all processes with the "
            "address of the first, and check that its port is open"
        ) from None


def _sign_of_others() -> str | None:
    """Returns the environment variable that indicates several processes, or None."""
    counts = ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "WORLD_SIZE")
    for name in counts:
        if os.environ.get(name, "1") not in ("", "1"):
            return name
    if "," in os.environ.get("TPU_WORKER_HOSTNAMES", ""):
        return "TPU_WORKER_HOSTNAMES"
    return "JOB_COMPLETION_INDEX" if os.environ.get("JOB_COMPLETION_INDEX") else None


def disconnect() -> None:
    """Disconnects after a barrier with all processes.

    The first process hosts the service and disconnects last; otherwise the others would be aborted.
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
            "--distributed must be auto, off or ADDRESS,COUNT,INDEX such as 10.0.0.1:1234,2,0, "
            f"with INDEX below COUNT; not {where!r}"
        ) from None
    return {"coordinator_address": address, "num_processes": count, "process_id": index}


def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None)
    library.signal.restype = ctypes.c_void_p
    library.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
    return library


class Watch:
    """Context manager whose thread watches the other processes; with one process it does nothing.

    A collective that waits for a dead process cannot be interrupted, so the thread exits the
    process.
    """

    def __init__(self, hint: Callable[[], str], patience: float = PATIENCE):
        """Stores the settings; `with` starts the thread.

        Args:
            hint: returns the end of the exit message: how to continue.
            patience: seconds without a heartbeat after which a process counts as dead.
        """
        self._hint = hint
        self._patience = patience
        self._over = threading.Event()
        self._fails = False  # this process failed: it stops its heartbeats, so that the others exit

    def __enter__(self) -> Watch:
        if jax.process_count() > 1:
            handler = _HANDLER(self._aborted)
            _handlers.append(handler)  # C code calls it by address: keep a reference
            _libc().signal(signal.SIGABRT, ctypes.cast(handler, ctypes.c_void_p))
            threading.Thread(target=self._watch, name="peers", daemon=True).start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        self._fails = error is not None
        is_users = isinstance(error, RequestError) and error.__cause__ is None
        is_users = is_users or isinstance(error, Interrupted)
        if jax.process_count() > 1 and isinstance(error, Exception) and not is_users:
            # A collective or a save may fail before the thread detects the dead peer.
            self._over.wait(self._patience + 5 * _PERIOD)
        self._over.set()

    def _watch(self) -> None:
        from jax._src import distributed  # the key-value store has no public API

        client, me = distributed.global_state.client, jax.process_index()
        assert client is not None
        heard = {other: time.monotonic() for other in range(jax.process_count()) if other != me}
        beats_seen: dict[int, str] = {}
        beats = 0
        reached = time.monotonic()
        while not self._over.wait(_PERIOD):
            beats += 1
            try:
                if not self._fails:
                    client.key_value_set(f"{_FOLDER}{me}", str(beats), allow_overwrite=True)
                entries = client.key_value_dir_get(_FOLDER)
            except Exception as error:  # error types of a lost service vary
                log.debug("coordination service: %s", error)
                if not self._over.is_set() and time.monotonic() - reached > self._patience:
                    self.end("the first process has died")
                continue
            reached = time.monotonic()
            for key, value in entries:
                other = int(key.rpartition("/")[2])
                if other in heard and beats_seen.get(other) != value:
                    beats_seen[other], heard[other] = value, reached
            for other, since in heard.items():
                if not self._over.is_set() and reached - since > self._patience:
                    self.end(f"process {other} has died")

    def _aborted(self, number: int) -> None:
        # If the first process dies, JAX's client aborts immediately from its own thread, before
        # Python's signal handlers can run.
        self.end("the first process has died, or JAX's runtime failed with the error above")

    def end(self, what: str) -> None:
        """Prints what happened and exits immediately."""
        print(f"colorjax: {what}; {self._hint()}", file=sys.stderr, flush=True)
        os._exit(STOPPED)
