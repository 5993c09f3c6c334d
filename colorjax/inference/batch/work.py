"""Processing of one photo: read, colorize or decolorize, write. Imports JAX."""

from __future__ import annotations

import dataclasses
import io
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from colorjax import color, photos
from colorjax.inference.batch import uncertainty_map
from colorjax.inference.batch.inputs import STANDARD
from colorjax.inference.batch.origin import Origin
from colorjax.inference.batch.own_colors import own_colors
from colorjax.inference.batch.pipeline import IN_COLOR, Result
from colorjax.inference.batch.plan import Job
from colorjax.inference.batch.report import close
from colorjax.inference.chroma import bands
from colorjax.photos import MAX_PIXELS, Photo, UnwritablePhoto
from colorjax.runtime import atomic

if TYPE_CHECKING:
    from colorjax.inference.colorizer import Colorizer  # imports all networks
    from colorjax.inference.hints import Hint
    from colorjax.inference.prepared import PreparedPhoto

_GRAY = 0.05  # spread up to which a photo is gray, even with the mark of a result in color
_BAND_PIXELS = 2**18  # pixels turned gray at a time


class NetworkTimes(NamedTuple):
    """Seconds of one photo.

    Attributes:
        predicting: in the network, without compilation.
        compiling: in compilation.
        painting: in the rest: color conversion and upsampling.
    """

    predicting: float = 0.0
    compiling: float = 0.0
    painting: float = 0.0


@dataclasses.dataclass(frozen=True)
class PhotoWork:
    """Reads, paints and writes photos; a `pipeline.Work`.

    Attributes:
        paint: paints a photo in place.
        max_pixels: larger photos are refused.
        origin: what the results are made with, for the mark in their metadata; None: no mark.
        keeps_color_photos: whether photos that have colors are skipped; those that come through
            standard input are passed on unchanged.
        white: the stored value that becomes white; None: the largest of the photo's depth.
        overwrite: whether a sidecar file of other content is replaced.
        more: prepares photos for samples and maps; None: jobs have neither.
    """

    paint: Callable[[Photo], NetworkTimes]
    max_pixels: int = MAX_PIXELS
    origin: Origin | None = None
    keeps_color_photos: bool = False
    white: float | None = None
    overwrite: bool = False
    more: Sampling | None = None

    def __call__(self, job: Job) -> Result:
        """Processes one photo.

        Raises:
            UnreadablePhoto: the photo cannot be read.
            UnwritablePhoto: the result cannot be written; no partial file is left.
        """
        start = time.perf_counter()
        photo = photos.read(job.source, max_pixels=self.max_pixels, white=self.white)
        notes: tuple[str, ...] = ()
        if self.keeps_color_photos:
            colors = own_colors(photo)
            was_colorized = colors.spread > _GRAY and photos.find_mark(photo.metadata.xmp)
            if colors.is_color_photo or was_colorized:
                return _skipped(job, reading=time.perf_counter() - start)
            if colors.has_colored_part:
                notes = (
                    f"{max(colors.share, 0.01):.0%} of it has colors of its own, which are "
                    "replaced; --strength below 1 keeps a part of them",
                )
        read = time.perf_counter()
        mark = None if self.origin is None else self.origin.mark(job.source)
        uncertainty = None
        if self.more is not None and (job.samples or job.map):
            others = "" if self.origin is None or self.overwrite else self.origin.other_samples(job)
            if others:
                notes += (
                    f"existing {others} are kept and do not belong to this set; "
                    "--overwrite replaces them",
                )
            uncertainty = self._write_more(job, self.more, photo, mark)
        explored = time.perf_counter()
        in_network = NetworkTimes()
        if job.output == STANDARD or job.output in job.missing(overwrite=self.overwrite):
            in_network = self.paint(photo)
            written_notes = _write(job, photo, mark, overwrite=self.overwrite)
            notes += (*photo.notes, *_renamed(job), *written_notes)
        written = time.perf_counter()
        in_paint = in_network.predicting + in_network.compiling + in_network.painting
        return Result(
            notes,
            reading=read - start,
            network=in_network.predicting,
            writing=written - explored - in_paint,
            compiling=in_network.compiling,
            painting=in_network.painting + explored - read,
            uncertainty=uncertainty,
        )

    def _write_more(
        self, job: Job, more: Sampling, photo: Photo, mark: dict[str, str] | None
    ) -> float | None:
        """Writes the missing samples and map of a photo; returns the mean uncertainty."""
        missing = job.missing(overwrite=self.overwrite)
        prepared = more.prepare(photo)
        drawn = more.draw(prepared, len(job.samples)) if set(job.samples) & set(missing) else []
        for number, (path, hints) in enumerate(zip(job.samples, drawn, strict=False), start=1):
            if path not in missing:
                continue
            other = photos.read(job.source, max_pixels=self.max_pixels, white=self.white)
            more.paint(prepared, other, hints)
            own = mark
            if mark is not None and self.origin is not None:
                own = mark | {"settings": self.origin.of_sample(number, len(job.samples))}
            _write(job._replace(output=path), other, own, overwrite=self.overwrite)
        if job.map is None:
            return None
        uncertainty = prepared.uncertainty()
        if job.map in missing:
            _make(job.map.parent)
            try:
                atomic.write_png(job.map, uncertainty_map.draw(prepared.lightness, uncertainty))
            except OSError as error:
                raise UnwritablePhoto(
                    f"{str(job.map)!r} cannot be written: {error.strerror}"
                ) from error
        return round(float(uncertainty.mean()), 4)


class Colorizing:
    """Colorizes photos with a network, on one dedicated thread."""

    def __init__(self, colorizer: Colorizer, **options: Any):
        """Stores the weights and the fields of `Options`."""
        from colorjax.inference.options import Options

        self._colorizer = colorizer
        self.options = Options(**options)
        self._thread = ThreadPoolExecutor(1, "network")

    def submit(self, function: Callable[..., Any], *args: Any) -> Any:
        """Returns the result of a function that runs on the network's thread."""
        return self._thread.submit(function, *args).result()

    def prepare(self, photo: Photo) -> PreparedPhoto:
        """Returns a photo, which is not painted, with the network's prediction."""
        from colorjax.inference.prepared import PreparedPhoto

        return PreparedPhoto(self._colorizer, lambda: photo, self.options)

    def __call__(self, photo: Photo) -> NetworkTimes:
        """Colorizes one photo; photos are queued in order."""
        return self.submit(self._paint, photo)

    def _paint(self, photo: Photo) -> NetworkTimes:
        start = time.perf_counter()
        before = self._colorizer.network_seconds, self._colorizer.compile_seconds
        self._colorizer.paint(photo, self.options)
        predicting = self._colorizer.network_seconds - before[0]
        compiling = self._colorizer.compile_seconds - before[1]
        return NetworkTimes(
            predicting, compiling, time.perf_counter() - start - predicting - compiling
        )


class Sampling:
    """Samples and uncertainty of photos, on the network's thread."""

    def __init__(self, colorizing: Colorizing, seed: int = 0):
        """Shares the weights, options and thread of a `Colorizing`."""
        self._colorizing = colorizing
        self.seed = seed

    def prepare(self, photo: Photo) -> PreparedPhoto:
        """Runs the network on a photo, which is not painted."""
        return self._colorizing.submit(self._colorizing.prepare, photo)

    def draw(self, prepared: PreparedPhoto, number: int) -> list[list[Hint]]:
        """Returns the hints of each sample."""
        hints = self._colorizing.options.hints
        return self._colorizing.submit(prepared.draw, number, self.seed, hints)

    def paint(self, prepared: PreparedPhoto, photo: Photo, hints: list[Hint]) -> None:
        """Paints one sample in place."""
        self._colorizing.submit(prepared.paint, photo, hints)


class Decolorizing:
    """Turns photos gray."""

    def __init__(self, gray: str):
        """Stores the kind of gray: one of `color.GRAY_KINDS`."""
        self._gray = gray

    def __call__(self, photo: Photo) -> NetworkTimes:
        """Turns one photo gray, in bands of rows."""
        start = time.perf_counter()
        for rows in bands(photo.height, photo.width, _BAND_PIXELS):
            photo.paint_gray(rows, color.gray_plane(photo.srgb(rows), self._gray))
        return NetworkTimes(painting=time.perf_counter() - start)


def _skipped(job: Job, reading: float) -> Result:
    """Skips a photo in color; what is piped through is passed on unchanged."""
    what = "skipped"
    if job.output == STANDARD:
        what = "passed on unchanged"
        _to_standard_output(job.source.read_bytes())
    note = f"already in color: {what}; --recolor replaces the colors, --strength 0.5 mixes them"
    return Result((note,), reading=reading, skipped=IN_COLOR)


def _renamed(job: Job) -> tuple[str, ...]:
    """Notes a photo whose output has another name than the usual one.

    The content may not match the name, unless the format becomes PNG; or another photo has a
    result of that name.
    """
    if job.note:
        return (job.note,)
    if job.file is None or job.name == str(STANDARD) or job.file.suffix != job.header.suffix:
        return ()
    suffix, kind = job.file.suffix, job.header.kind
    is_named = suffix.lower() == job.source.suffix.lower()
    is_changed = suffix == ".png" and kind != "PNG"
    return () if is_named or is_changed else (f"its content is {kind}: written as {job.file.name}",)


def _write(
    job: Job, photo: Photo, mark: dict[str, str] | None, *, overwrite: bool
) -> tuple[str, ...]:
    assert job.output is not None, "refused photos have no work"
    if job.output == STANDARD:
        return _write_to_standard_output(photo, job.header.suffix, mark)
    _make(job.output.parent)
    notes: tuple[str, ...] = ()
    if mark is not None and not photos.has_xmp(job.output.suffix):
        notes = (
            _write_sidecar(job.output, mark, overwrite=overwrite),
        )  # before the picture, whose existence means done
    return photos.write(job.output, photo, job.output.suffix, mark=mark) + notes


def _write_sidecar(output: Path, mark: dict[str, str], *, overwrite: bool) -> str:
    sidecar = output.with_name(f"{output.name}.xmp")
    try:
        if not overwrite and sidecar.exists() and not _has_mark_only(sidecar):
            raise UnwritablePhoto(
                f"{str(sidecar)!r} exists and has more than the mark: rename it, or give "
                "--overwrite"
            )
        atomic.write_bytes(sidecar, photos.sidecar_xmp(mark))
    except OSError as error:
        raise UnwritablePhoto(f"{str(sidecar)!r} cannot be written: {error.strerror}") from error
    return f"the mark is in {sidecar.name}"


def _has_mark_only(sidecar: Path) -> bool:
    """Returns whether a file is a sidecar file of an interrupted run."""
    content = sidecar.read_bytes()
    mark = photos.find_mark(content)
    return bool(mark) and content == photos.sidecar_xmp(mark)


def _write_to_standard_output(
    photo: Photo, suffix: str, mark: dict[str, str] | None
) -> tuple[str, ...]:
    buffer = io.BytesIO()  # TIFF needs seek, which a pipe lacks
    notes = photos.write(buffer, photo, suffix, mark=mark)
    _to_standard_output(buffer.getbuffer())
    return notes


def _to_standard_output(content: bytes | memoryview) -> None:
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except OSError as error:
        close(sys.stdout)
        raise UnwritablePhoto(f"standard output: {error.strerror}") from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnwritablePhoto(f"{str(folder)!r} cannot be created: {error.strerror}") from error
