"""Finished photos at full size, by the code of `colorjax colorize`: save, download, folder."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from colorjax import photos
from colorjax.errors import RequestError
from colorjax.inference.batch.origin import origin_of
from colorjax.inference.batch.pipeline import FAILED, NO_ROOM, SKIPPED, Outcome, Result, outcomes
from colorjax.inference.batch.plan import Job
from colorjax.inference.batch.work import Colorizing, PhotoWork
from colorjax.inference.colorizer import Colorizer
from colorjax.runtime.file_names import printable
from colorjax.serve.album import Entry
from colorjax.serve.errors import Refused

# What `colorjax colorize` uses without options, in its order: the mark of a result lists them.
_LOADING = {"temperature": None, "decode": None, "size": None, "aspect": None}
_COLORING = {"saturation": 1.0, "strength": 1.0, "quality": "normal", "upsampling": "guided"}
_WHITE = {"white": None}
CORRECTED = "corrected by hand: save it by itself"  # reason why a folder leaves a photo out


def work_of(
    colorizer: Colorizer,
    weights: str,
    coloring: dict[str, Any],
    *,
    max_pixels: int,
    keeps_color_photos: bool = False,
    overwrite: bool = False,
) -> PhotoWork:
    """Returns the work that `colorjax colorize` does with the same options.

    Args:
        colorizer: the loaded weights.
        weights: their name or workdir.
        coloring: fields of `Options`; missing ones have their defaults.
        max_pixels: larger photos are refused.
        keeps_color_photos: whether photos with colors are skipped.
        overwrite: whether a sidecar file of other content is replaced.
    """
    coloring = _COLORING | coloring
    engine = {} if colorizer.engine == "jax" else {"engine": colorizer.engine}
    return PhotoWork(
        Colorizing(colorizer, **coloring),
        max_pixels,
        origin_of(weights, _LOADING | engine | coloring | _WHITE),
        keeps_color_photos=keeps_color_photos,
        overwrite=overwrite,
    )


def save(job: Job, work: PhotoWork, *, overwrite: bool) -> tuple[str, ...]:
    """Writes the result of one photo.

    Returns:
        Notes for the user.

    Raises:
        Refused: the result exists and `overwrite` is false, or the photo cannot be read or written.
    """
    (outcome,) = outcomes([job], work, threads=1, overwrite=overwrite)
    if outcome.status == SKIPPED:
        name = printable(job.file.name if job.file else job.name)
        raise Refused(409, f"{name} exists already.", exists=True)
    if outcome.status in (FAILED, NO_ROOM):
        raise Refused(422, _sentence(outcome.error))
    return outcome.result.notes


def finished(source: Path, name: str, work: PhotoWork, folder: Path) -> tuple[bytes, str]:
    """Returns the finished file of a photo, and its suffix; writes nothing that stays.

    Args:
        source: the photo.
        name: its name, for messages.
        work: from `work_of`. A photo that it skips is returned unchanged.
        folder: private folder for the time of the work.

    Raises:
        Refused: the photo cannot be read or written.
    """
    try:
        header = photos.probe(source)
    except OSError as error:
        raise Refused(415, f"{name} cannot be read: {error.strerror}.") from None
    if not header.kind:
        raise Refused(415, f"{name} is not a photo of a known kind.")
    with tempfile.TemporaryDirectory(dir=folder) as room:
        result = Path(room) / f"result{header.suffix}"
        (outcome,) = outcomes([Job(source, result, header, name)], work, threads=1)
        if outcome.status == FAILED:
            raise Refused(415, _sentence(outcome.error))
        if outcome.status == NO_ROOM:
            raise Refused(507, _sentence(outcome.error))
        if outcome.status == SKIPPED:
            return source.read_bytes(), header.suffix
        return result.read_bytes(), header.suffix


class Batch:
    """Colorizes the photos of the strip, one after the other, on a thread of its own."""

    def __init__(
        self,
        entries: Sequence[Entry],
        work: PhotoWork,
        *,
        overwrite: bool,
        done: Callable[[Entry], None] = lambda entry: None,
    ):
        """Starts the work.

        Args:
            entries: the photos.
            work: from `work_of`.
            overwrite: whether existing results are replaced.
            done: called after each written result.
        """
        self._entries = list(entries)
        self._work, self._overwrite, self._done = work, overwrite, done
        self._lock = threading.Lock()
        self._is_stopped = False
        self._counts = {"done": 0, "skipped": 0, "failed": 0}
        self._current = ""
        self._failures: list[dict[str, str]] = []
        self._skips: list[dict[str, str]] = []
        self._thread = threading.Thread(target=self._run, name="batch", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether it is at work."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Stops after the current photo; returns at once."""
        self._is_stopped = True

    def join(self, seconds: float) -> None:
        """Waits for the current photo."""
        self._thread.join(seconds)

    def to_json(self) -> dict[str, Any]:
        """Returns the progress."""
        with self._lock:
            return {
                "running": self.is_running,
                "stopped": self._is_stopped,
                "total": len(self._entries),
                "current": self._current,
                "failures": list(self._failures),
                "skips": list(self._skips),
                **self._counts,
            }

    def _run(self) -> None:
        for entry in self._entries:
            if self._is_stopped:
                break
            with self._lock:
                self._current = entry.name
            outcome = self._outcome(entry)
            with self._lock:
                self._note(entry, outcome)
            if outcome.status == NO_ROOM:
                break
        with self._lock:
            self._current = ""

    def _outcome(self, entry: Entry) -> Outcome:
        try:
            if _is_corrected(entry):
                return Outcome(entry.job, SKIPPED, Result(skipped=CORRECTED))
            (outcome,) = outcomes([entry.job], self._work, threads=1, overwrite=self._overwrite)
        except (RequestError, Refused) as error:
            return Outcome(entry.job, FAILED, error=str(error))
        return outcome

    def _note(self, entry: Entry, outcome: Outcome) -> None:
        if outcome.status == SKIPPED:
            self._counts["skipped"] += 1
            self._skips.append({"name": entry.name, "reason": outcome.result.skipped})
        elif outcome.status in (FAILED, NO_ROOM):
            self._counts["failed"] += 1
            self._failures.append({"name": entry.name, "error": _sentence(outcome.error)})
        else:
            self._counts["done"] += 1
            self._done(entry)


def _is_corrected(entry: Entry) -> bool:
    """Returns whether the user has corrected a photo by hand; its session has its own colors."""
    if entry.job.refusal:
        return False
    stored = entry.journal.read()
    return stored is not None and bool(stored.state.strokes or stored.state.variant)


def read_reference(content: Path | bytes, max_pixels: int) -> np.ndarray:
    """Returns the sRGB of a reference photo, (H, W, 3), as `--global-image` reads it.

    Raises:
        Refused: it is no photo.
    """
    try:
        photo = photos.read(content, max_pixels=max_pixels)
    except photos.UnreadablePhoto as error:
        raise Refused(415, f"The reference cannot be opened: {error}.") from None
    return photo.srgb(slice(0, photo.height))


def _sentence(text: str) -> str:
    text = printable(text)
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
