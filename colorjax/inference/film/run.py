"""Colorization of films, in parts, so that an interrupted run can resume."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from colorjax.errors import Interrupted, RequestError
from colorjax.inference.film.av_package import import_av
from colorjax.inference.film.chroma import ChromaTrack, small_view
from colorjax.inference.film.read import FilmReader, Frame, UnreadableFilm
from colorjax.inference.film.trial import plan
from colorjax.inference.film.write import CONTAINERS, PartEncoder, UnwritableFilm, join, reason
from colorjax.runtime import atomic
from colorjax.runtime.locks import only_process
from colorjax.runtime.memory import MAX_FILM_PIXELS
from colorjax.runtime.notes import first_notes
from colorjax.version import __version__

_LOCK = "lock"  # file in the folder of the parts
PART_FRAMES = 120  # per part: at most this many are lost by a kill, and lie between key frames


class FilmPainter(Protocol):
    """Predicts the chroma of frames, and paints frames with chroma."""

    @property
    def settings(self) -> str:
        """Settings besides the weights that change the colors; other settings restart the film."""
        ...

    @property
    def compile_seconds(self) -> float:
        """Seconds of compilation so far."""
        ...

    def predict_ab(self, rgb: np.ndarray) -> np.ndarray:
        """Returns a and b at the working size, float32 (h, w, 2), of sRGB uint8 (H, W, 3)."""
        ...

    def paint(self, rgb: np.ndarray, ab: np.ndarray) -> np.ndarray:
        """Returns sRGB uint8 (H, W, 3) of the frame's own L and of a and b (h, w, 2)."""
        ...


class FilmReport(NamedTuple):
    """Results of a colorized film.

    Attributes:
        frames: number of frames written.
        scenes: number of scenes.
        frames_now: number of frames painted by this run.
        seconds: duration of this run, without compilation.
        network_seconds: part of it in the network.
        flicker: mean change of the painted (a, b), in Lab units, between consecutive frames of a
            scene, where L is unchanged: see `ChromaTrack.flicker`.
        raw_flicker: the same without smoothing over time.
        notes: messages for the user.
    """

    frames: int
    scenes: int
    frames_now: int
    seconds: float
    network_seconds: float
    flicker: float
    raw_flicker: float
    notes: tuple[str, ...]

    def line(self) -> str:
        """Returns the results as one line."""
        seconds = max(self.seconds, 1e-9)
        return (
            f"{self.frames} frames, scenes: {self.scenes}; {self.frames_now / seconds:.1f} "
            f"frames/s, {self.network_seconds / seconds:.0%} of the time in the network; "
            f"color flicker {self.flicker:.2f} ({self.raw_flicker:.2f} without smoothing)"
        )


def output_name(name: str) -> str:
    """Returns the output name of a film: .mkv if its container does not support H.264.

    >>> output_name("a.mov"), output_name("a.webm")
    ('a.mov', 'a.mkv')
    """
    path = Path(name)
    return name if path.suffix.lower() in CONTAINERS else f"{path.stem}.mkv"


def colorize_film(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    painter: FilmPainter,
    *,
    weights: str,
    settings: str = "",
    overwrite: bool = False,
    max_pixels: int = MAX_FILM_PIXELS,
    drop_streams: bool = False,
    notify: Callable[[Sequence[str]], None] = lambda lines: None,
    progress: Callable[[int, int | None], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> FilmReport | None:
    """Colorizes a film; keeps its lightness, and copies sound and other streams.

    Finished parts lie next to the output, in a folder .colorjax-NAME.parts, until the film is
    complete. After a crash the same call resumes at the first missing part and gives the same
    film. Memory does not grow with the length of the film.

    Args:
        path: the film.
        output: file to write, with a suffix as from `output_name`.
        painter: predicts and paints; `film.painter.FramePainter(colorizer)`.
        weights: name of the weights, for the mark in the film's comment.
        settings: settings besides the weights and `painter.settings` that change the colors.
        overwrite: whether an existing output is replaced.
        max_pixels: films with more pixels in a frame are refused; the default depends on the memory
            of the machine.
        drop_streams: whether streams that the output cannot store are left out, with a note.
        notify: called once with the notes that are known before the first frame is painted.
        progress: called after every frame with the number of finished frames and the approximate
            total, or None.
        stop: called after every frame; True ends the run.

    Returns:
        The results; None: the output exists and `overwrite` is False.

    Raises:
        UnreadableFilm: no frame can be decoded, the frames are too large, or the film changed
            meanwhile. If a film is damaged later on, decodable frames are kept, with a note.
        UnwritableFilm: the output cannot be written, for example on a full disk; or it cannot
            store a stream of the film, and `drop_streams` is False.
        RequestError: PyAV is not installed, the output is the film itself or has another suffix,
            or another process makes this output.
        Interrupted: `stop` returned True; the same call resumes.
    """
    path, output = Path(path), Path(output)
    if output.suffix.lower() not in CONTAINERS:
        raise RequestError(
            f"{output.name!r} cannot be written; give an output ending in .mp4, .mov or .mkv"
        )
    if output.exists() and path.exists() and output.samefile(path):
        raise RequestError(f"{output.name!r} is the film itself; give another output")
    if output.exists() and not overwrite:
        return None
    reader = FilmReader(path, max_pixels)
    mark = f"colors predicted by colorjax {__version__} with weights {weights}"
    before = identity(path)
    deciding = [mark, settings, painter.settings, *before]
    folder = output.with_name(f".colorjax-{output.name}.parts")
    try:
        with _alone(folder):
            if output.exists() and not overwrite:  # another process has just made it
                return None
            stored = plan(path, output, reader.info, mark, drop_streams=drop_streams)
            notify(first_notes((*reader.info.notes, *stored.notes)))
            parts = _Parts(folder, deciding)
            run = _FilmRun(reader, painter, parts, progress or (lambda done, total: None), stop)
            run.paint()
            if identity(path) != before:
                parts.clear()
                raise UnreadableFilm(
                    f"{path.name} changed while it was colorized; colorize it once it is complete"
                )
            join(parts.paths(), path, output, reader.info, mark, stored)
            parts.clear()
    except (OSError, import_av().FFmpegError) as error:
        raise UnwritableFilm(f"{output.name} cannot be written: {reason(error)}") from None
    return run.report(stored.notes)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds the lock on a folder of parts; removes the folder at the end if it has no parts."""
    try:
        with only_process(folder / _LOCK, "is colorizing this film"):
            yield
    finally:
        with contextlib.suppress(OSError):  # it has parts, or another process has just locked it
            folder.rmdir()


def identity(path: Path) -> tuple[str, int, int]:
    """Returns the name, the size and the time of the last change in ns, of one state of a file."""
    status = path.stat()
    return path.name, status.st_size, status.st_mtime_ns


class _Parts:
    """A folder of numbered parts, each with the state of the chroma track at its end.

    Parts are written atomically, each after its track state.
    """

    def __init__(self, folder: Path, deciding: list[Any]):
        """Reuses a folder if its parts have the same settings, else empties it."""
        self._folder = folder
        self.count = 0
        content = json.dumps([PART_FRAMES, *deciding])
        made_for = folder / "made_for.json"
        if not made_for.is_file() or made_for.read_text() != content:
            self.clear()
            atomic.write_bytes(made_for, content.encode())
        while self._part(self.count).is_file():
            self.count += 1

    def track(self) -> ChromaTrack:
        """Returns the chroma track at the end of the last part."""
        if not self.count:
            return ChromaTrack()
        return ChromaTrack.from_bytes(self._track(self.count - 1).read_bytes())

    def add(self, part: bytes, track: ChromaTrack) -> None:
        """Stores the next part."""
        atomic.write_bytes(self._track(self.count), track.to_bytes())
        atomic.write_bytes(self._part(self.count), part)
        if self.count:
            self._track(self.count - 1).unlink(missing_ok=True)
        self.count += 1

    def paths(self) -> list[Path]:
        return [self._part(number) for number in range(self.count)]

    def clear(self) -> None:
        """Removes everything but the lock."""
        for path in self._folder.iterdir():
            if path.name != _LOCK:
                path.unlink()

    def _part(self, number: int) -> Path:
        return self._folder / f"{number:06d}.nut"

    def _track(self, number: int) -> Path:
        return self._folder / f"{number:06d}.npz"


class _FilmRun:
    """Paints the frames of all missing parts."""

    def __init__(
        self,
        reader: FilmReader,
        painter: FilmPainter,
        parts: _Parts,
        progress: Callable[[int, int | None], None],
        stop: Callable[[], bool],
    ):
        self._reader, self._painter, self._parts = reader, painter, parts
        self._progress, self._stop = progress, stop
        self._track = parts.track()
        self._first = self._done = self._track.frames
        self._seconds = self._network_seconds = 0.0

    def paint(self) -> None:
        """Adds parts until the end of the film."""
        start = time.perf_counter() - self._painter.compile_seconds
        encoder = None
        for frame, view, next_view in _with_next(self._reader.frames(skip=self._first)):
            encoder = encoder or PartEncoder(self._reader.info)
            encoder.add(Frame(frame.timestamp, self._painted(frame, view, next_view)))
            self._done += 1
            self._progress(self._done, self._reader.info.frames)
            if self._done % PART_FRAMES == 0 or next_view is None:
                self._parts.add(encoder.finish(), self._track)
                encoder = None
            if self._stop() and next_view is not None:
                raise Interrupted(
                    f"stopped at frame {self._done}; the same command continues at "
                    f"{self._parts.count * PART_FRAMES}"
                )
        self._seconds = time.perf_counter() - self._painter.compile_seconds - start

    def report(self, of_streams: tuple[str, ...]) -> FilmReport:
        damaged = self._reader.damaged
        if damaged:
            of_streams = (f"{damaged} damaged packets were skipped; the rest is kept", *of_streams)
        return FilmReport(
            frames=self._done,
            scenes=self._track.scenes,
            frames_now=self._done - self._first,
            seconds=self._seconds,
            network_seconds=self._network_seconds,
            flicker=self._track.flicker,
            raw_flicker=self._track.raw_flicker,
            notes=first_notes((*self._reader.info.notes, *of_streams)),
        )

    def _painted(self, frame: Frame, view: np.ndarray, next_view: np.ndarray | None) -> np.ndarray:
        start = time.perf_counter() - self._painter.compile_seconds
        ab = self._painter.predict_ab(frame.rgb)
        self._network_seconds += time.perf_counter() - self._painter.compile_seconds - start
        seconds = float(frame.timestamp * self._reader.info.time_base)
        smooth = self._track.follow(seconds, frame.rgb, ab, view, next_view)
        return self._painter.paint(frame.rgb, smooth)


def _with_next(
    frames: Iterator[Frame],
) -> Iterator[tuple[Frame, np.ndarray, np.ndarray | None]]:
    """Yields each frame, its thumbnail and that of the next frame, None at the end."""
    before = None
    for frame in frames:
        view = small_view(frame.rgb)
        if before is not None:
            yield *before, view
        before = frame, view
    if before is not None:
        yield *before, None


__all__ = [
    "FilmReport",
    "UnreadableFilm",
    "UnwritableFilm",
    "colorize_film",
    "identity",
    "output_name",
]
