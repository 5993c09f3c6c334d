"""A disk without room: RLIMIT_FSIZE fails writes as a full disk does, for one file at a time.

The last write is short, and the next one raises; Python ignores the signal SIGXFSZ.
"""

import contextlib
import resource


@contextlib.contextmanager
def room(size):
    """No file of this process can grow beyond `size` bytes."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
