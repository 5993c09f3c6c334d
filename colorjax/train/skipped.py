"""Unreadable photos: counts them, and lists each one once in the log and in a file."""

from __future__ import annotations

import contextlib
import logging

import jax
import numpy as np
from etils import epath

from colorjax.data.pipeline import numbers_of
from colorjax.data.sources.source import Source
from colorjax.parallel import mesh as parallel
from colorjax.runtime import paths
from colorjax.runtime.file_names import printable

log = logging.getLogger(__name__)

_MOST = 256  # numbers that one host sends at a time


class SkippedPhotos:
    """Collects the `skipped` fields of batches, from all hosts."""

    def __init__(self, path: epath.Path | None = None):
        """Also writes the names to the file at `path`, one per line; keeps existing names."""
        self._path = path
        self._fresh: list[int] = []
        self._source: Source | None = None  # of the numbers in `_fresh`
        self._known = (
            set(path.read_bytes().decode("utf-8", "replace").splitlines())
            if path and path.is_file()
            else set()
        )

    def note(self, source: Source, skipped: np.ndarray) -> int:
        """Records a batch's `skipped`.

        Args:
            source: of the photos.
            skipped: int32 indices of photos in the source, padded with -1.

        Returns:
            The number of skipped photos in the batch.
        """
        if source is not self._source:  # at the same batch on all hosts
            self.share()
            self._source = source
        numbers = numbers_of(skipped)
        self._fresh += numbers
        if jax.process_count() == 1:
            self.share()
        return len(numbers)

    def share(self) -> None:
        """Reports the recorded photos of all hosts; a collective call."""
        if self._source is None:
            return
        for number in parallel.allgather_ints(self._fresh, _MOST):
            self._name(self._source.keys[number])
        self._fresh = []

    def _name(self, key: str) -> None:
        name = printable(key)  # one line, whatever the file is called
        if name in self._known:
            return
        self._known.add(name)
        log.warning("skipped %s: it cannot be read as a photo", name)
        if self._path and parallel.is_first():
            with contextlib.closing(paths.GrowingFile(self._path)) as file:
                file.write(name.encode() + b"\n")
