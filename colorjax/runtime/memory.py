"""Memory of the machine, and the size of photos that it allows."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_CGROUPS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
_OF_PHOTOS = 32  # bytes per pixel to read, paint and write: docs/photos.md has each format
_OF_FILMS = 336  # bytes per pixel of a frame, mostly of x264, which looks ahead: docs/film.md
_LEAST_PIXELS, _MOST_PIXELS = 2**22, 2**28


def total_bytes() -> int:
    """Returns the memory that this process may use: the machine's, or a lower limit; 0: unknown.

    Limits are those of a container (cgroup) and of the address space (RLIMIT_AS).
    """
    limits = []
    with contextlib.suppress(ValueError, OSError, AttributeError):  # not on Windows
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for file in _CGROUPS:
        with contextlib.suppress(ValueError, OSError):  # no such file, or "max"
            limits.append(int(file.read_text()))
    with contextlib.suppress(ImportError):  # not on Windows
        import resource

        limits.append(resource.getrlimit(resource.RLIMIT_AS)[0])
    return min((limit for limit in limits if limit > 0), default=0)


def max_pixels(num_bytes: int, bytes_per_pixel: int) -> int:
    """Returns the largest photo by default: about half of the memory is enough to process it.

    Args:
        num_bytes: memory; 0: unknown.
        bytes_per_pixel: memory to process a pixel.

    Returns:
        From 2^22 to 2^28 pixels.
    """
    if not num_bytes:
        return _MOST_PIXELS
    return min(max(num_bytes // (2 * bytes_per_pixel), _LEAST_PIXELS), _MOST_PIXELS)


# Default limits of one photo, and of a frame of a film.
MAX_PIXELS = max_pixels(total_bytes(), _OF_PHOTOS)
MAX_FILM_PIXELS = max_pixels(total_bytes(), _OF_FILMS)
