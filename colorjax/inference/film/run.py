"""Films: colours for every frame, part by part, so that a run can go on where it was ended."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from colorjax.errors import Interrupted, RequestError
from colorjax.inference.film.chroma import ChromaTrack, small_view
from colorjax.inference.film.read import FilmReader, Frame, UnreadableFilm, import_av
from colorjax.inference.film.write import CONTAINERS, PartEncoder, UnwritableFilm, join, reason
from colorjax.runtime import atomic
from colorjax.version import __version__

PART_FRAMES = 120  # of a part: what a kill can cost, and the longest way between key frames


class Painter(Protocol):
    """Predicts the chroma of frames, and paints frames with chroma."""

    @property
    def settings(self) -> str:
        """What decides the colours beside the weights: work of other settings is not taken up."""
        ...

    @property
    def compile_seconds(self) -> float:
        """Seconds spent on compilation so far."""
        ...

    def predict_ab(self, rgb: np.ndarray) -> np.ndarray:
        """Returns a and b at the working size, float32 (h, w, 2), of sRGB uint8 (H, W, 3)."""
        ...

    def paint(self, rgb: np.ndarray, ab: np.ndarray) -> np.ndarray:
        """Returns sRGB uint8 (H, W, 3) of the frame's own L and of a and b (h, w, 2)."""
        ...


class FilmReport(NamedTuple):
    """What became of a film.

    Attributes:
        frames: of the film that was written.
        scenes: found in it.
        frames_now: of the frames, those that this run painted.
        seconds: that this run took, without compilation.
        network_seconds: of them, in the network.
        flicker: mean change of the painted (a, b), in Lab units, between consecutive frames of a
            scene, where L stays: see `ChromaTrack.flicker`.
        raw_flicker: the same without smoothing over time.
        notes: what a user should know.
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
        """Returns the figures as one line."""
        seconds = max(self.seconds, 1e-9)
        return (
            f"{self.frames} frames in {self.scenes} scenes, {self.frames_now / seconds:.1f} "
            f"frames/s, {self.network_seconds / seconds:.0%} of the time in the network; flicker "
            f"{self.flicker:.2f}, {self.raw_flicker:.2f} without smoothing (mean change of ab "
            "where L stays)"
        )


def output_name(name: str) -> str:
    """Returns the name of a film's output: .mkv where the container does not suit H.264.

    >>> output_name("a.mov"), output_name("a.webm")
    ('a.mov', 'a.mkv')
    """
    path = Path(name)
    return name if path.suffix.lower() in CONTAINERS else f"{path.stem}.mkv"


def colorize_film(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    painter: Painter,
    *,
    weights: str,
    settings: str = "",
    overwrite: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> FilmReport | None:
    """Colorizes a film: its lightness stays, its sound and all else are copied.

    The work lies beside the output, in a folder .colorjax-NAME.parts, until the film is whole.
    After a crash the same call goes on with the first part that is missing, and comes to the same
    film. Memory does not grow with the length of the film.

    Args:
        path: the film.
        output: file to write; its suffix is one of those that `output_name` gives.
        painter: predicts and paints; `film_paint.FramePainter(colorizer)`.
        weights: their name, for the mark in the film's comment.
        settings: what decides the colours beside the weights and the painter's own settings.
        overwrite: whether an existing output is replaced.
        progress: called after every frame with the number of frames done, and of all, about, or
            None.
        stop: asked after every frame; True ends the run.

    Returns:
        What was done; None: the output exists and is not to be replaced.

    Raises:
        UnreadableFilm: no frame of it can be decoded. Of a film that is damaged further on, what
            can be decoded is kept, and a note says so.
        UnwritableFilm: no space is left, or such.
        RequestError: PyAV is not installed, or the output is the film itself or of another suffix.
        Interrupted: `stop` said so; the same call goes on.
    """
    path, output = Path(path), Path(output)
    if output.suffix.lower() not in CONTAINERS:
        raise RequestError(f"{output.name!r} cannot be written; films become .mp4, .mov or .mkv")
    if output.exists() and path.exists() and output.samefile(path):
        raise RequestError(f"{output.name!r} is the film itself; give another output")
    if output.exists() and not overwrite:
        return None
    reader = FilmReader(path)
    mark = f"colours predicted by colorjax {__version__} with weights {weights}"
    deciding = [mark, settings, painter.settings, *_identity(path)]
    try:
        parts = _Parts(output.with_name(f".colorjax-{output.name}.parts"), deciding)
        run = _Run(reader, painter, parts, progress or (lambda done, total: None), stop)
        run.paint()
        notes = join(parts.paths(), path, output, reader.info, mark)
        parts.remove()
    except (OSError, import_av().FFmpegError) as error:
        raise UnwritableFilm(f"{output.name} cannot be written: {reason(error)}") from None
    return run.report(notes)


def _identity(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return path.name, status.st_size, status.st_mtime_ns


class _Parts:
    """A folder of numbered parts, each with what was remembered of the film at its end.

    A part is there once it is whole; what was remembered is written before it.
    """

    def __init__(self, folder: Path, deciding: list[Any]):
        """Takes the folder up again if the same things decided its parts, else begins anew."""
        self._folder = folder
        self.count = 0
        content = json.dumps([PART_FRAMES, *deciding])
        made_for = folder / "made_for.json"
        if not made_for.is_file() or made_for.read_text() != content:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            atomic.write_bytes(made_for, content.encode())
        while self._part(self.count).is_file():
            self.count += 1

    def track(self) -> ChromaTrack:
        """Returns what was remembered at the end of the last part."""
        if not self.count:
            return ChromaTrack()
        return ChromaTrack.from_bytes(self._track(self.count - 1).read_bytes())

    def add(self, part: bytes, track: ChromaTrack) -> None:
        """Keeps the next part."""
        atomic.write_bytes(self._track(self.count), track.to_bytes())
        atomic.write_bytes(self._part(self.count), part)
        if self.count:
            self._track(self.count - 1).unlink(missing_ok=True)
        self.count += 1

    def paths(self) -> list[Path]:
        return [self._part(number) for number in range(self.count)]

    def remove(self) -> None:
        shutil.rmtree(self._folder)

    def _part(self, number: int) -> Path:
        return self._folder / f"{number:06d}.nut"

    def _track(self, number: int) -> Path:
        return self._folder / f"{number:06d}.npz"


class _Run:
    """Paints the frames that no part holds yet."""

    def __init__(
        self,
        reader: FilmReader,
        painter: Painter,
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
        """Adds parts until the film ends."""
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

    def report(self, notes: tuple[str, ...]) -> FilmReport:
        damaged = self._reader.damaged
        if damaged:
            notes = (f"{damaged} damaged packets were passed over; the rest is kept", *notes)
        return FilmReport(
            frames=self._done,
            scenes=self._track.scenes,
            frames_now=self._done - self._first,
            seconds=self._seconds,
            network_seconds=self._network_seconds,
            flicker=self._track.flicker,
            raw_flicker=self._track.raw_flicker,
            notes=(*self._reader.info.notes, *notes),
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
    """Yields each frame, its small view and that of the frame after it, None at the end."""
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
    "output_name",
]
