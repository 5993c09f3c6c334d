"""Photos that could not be read: counted, and each named once in the log and in a file."""

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

log = logging.getLogger(__name__)

_MOST = 256  # numbers that one host tells the others at a time


class SkippedPhotos:
    """Collects what the pipeline reports in a batch's `skipped`, from all of its workers."""

    def __init__(self, path: epath.Path | None = None):
        """Names photos in the file at `path` too, one a line; names already there stay."""
        self._path = path
        self._fresh: list[int] = []
        self._source: Source | None = None  # that the numbers of `_fresh` count
        self._known = set(path.read_text().splitlines()) if path and path.is_file() else set()

    def note(self, source: Source, skipped: np.ndarray) -> int:
        """Takes a batch's `skipped`.

        Args:
            source: what the numbers in `skipped` count.
            skipped: int32 numbers of photos, padded with -1.

        Returns:
            How many it names.
        """
        if source is not self._source:  # on all hosts at the same batch
            self.share()
            self._source = source
        numbers = numbers_of(skipped)
        self._fresh += numbers
        if jax.process_count() == 1:
            self.share()
        return len(numbers)

    def share(self) -> None:
        """Names what was noted, on all hosts; they have to call it at the same places."""
        if self._source is None:
            return
        for number in parallel.allgather_ints(self._fresh, _MOST):
            self._name(self._source.keys[number])
        self._fresh = []

    def _name(self, key: str) -> None:
        if key in self._known:
            return
        self._known.add(key)
        log.warning("passing over %s: it cannot be read as a photo", key)
        if self._path and parallel.is_first():
            with contextlib.closing(paths.GrowingFile(self._path)) as file:
                file.write(key.encode() + b"\n")
