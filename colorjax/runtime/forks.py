"""JAX after a fork: one clear error instead of a deadlock."""

from __future__ import annotations

import os

from colorjax.errors import RequestError

# The process whose JAX was used first. A forked child inherits the value, but not the threads of
# JAX, so that anything it computes would wait for them forever.
_process: int | None = None


def check_same_process() -> None:
    """Notes the process that uses JAX; to be called before JAX computes for a user's object.

    Raises:
        RequestError: JAX was used before this process was forked.
    """
    global _process
    if _process is None:
        _process = os.getpid()
    if _process != os.getpid():
        raise RequestError(
            "JAX does not work in a process forked after JAX was used: load after fork, in the "
            "child only, or start the child with multiprocessing.get_context('spawn')"
        )
