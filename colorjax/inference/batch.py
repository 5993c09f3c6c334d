"""Many photo files: what goes where, and the run over them."""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tqdm import tqdm

from colorjax import paths
from colorjax.data.decode import UnreadablePhoto
from colorjax.data.sources import FolderSource
from colorjax.errors import RequestError
from colorjax.inference import photo_files
from colorjax.inference.photo_files import UnwritablePhoto
from colorjax.train.stopping import StopSignal

if TYPE_CHECKING:
    from colorjax.inference.colorizer import Colorizer  # imports JAX, which takes a second

DONE, SOME_FAILED, STOPPED = 0, 1, 75  # exit status

_MARK = ".color"  # of outputs beside their inputs: NAME.color.EXT


class Job(NamedTuple):
    """One photo and where its colours go."""

    source: Path
    output: Path


@dataclasses.dataclass
class Tally:
    """What became of the photos so far."""

    colorized: int = 0
    skipped: int = 0
    failed: int = 0
    seconds: float = 0.0  # over the colorized ones, reading and writing included


def plan(inputs: Sequence[str | os.PathLike[str]], output: str | None) -> list[Job]:
    """Decides where each photo goes; nothing is read or made yet.

    Args:
        inputs: photos, and folders that are searched to their depths.
        output: folder below which each folder's tree is kept; None: NAME.color.EXT beside each
            photo, and files named so are passed over in folders.

    Returns:
        Jobs in the order of the inputs, each output once.

    Raises:
        RequestError: an input is missing or without photos, two photos would get one output, or an
            output would replace an input.
    """
    root = None if output is None else paths.local(output)
    jobs: dict[Path, Job] = {}
    for name in inputs:
        for job in _jobs_of(paths.local(name), root):
            first = jobs.setdefault(_real(job.output), job)
            if _real(first.source) != _real(job.source):
                raise RequestError(
                    f"{str(first.source)!r} and {str(job.source)!r} would both become "
                    f"{str(job.output)!r}; colorize them into different --output folders"
                )
    sources = {_real(job.source) for job in jobs.values()}
    for place, job in jobs.items():
        if place in sources:
            raise RequestError(
                f"{str(job.output)!r} is an input and would be replaced; give another --output"
            )
    return list(jobs.values())


def colorize_files(
    jobs: Sequence[Job],
    load: Callable[[], Colorizer],
    output: str | None,
    *,
    overwrite: bool,
    **options: Any,
) -> int:
    """Colorizes photos, tells of progress and failures, and sums up.

    Args:
        jobs: from `plan`.
        load: called once, if there is something to do.
        output: folder to check, as for `plan`; made with the first picture.
        overwrite: whether existing outputs are replaced instead of skipped.
        **options: of `Colorizer.colorize`.

    Returns:
        0: all done or skipped; 1: some photos failed and the rest is done; 75: a signal ended it
        between two photos.

    Raises:
        RequestError: the output folder cannot be written, or `load` raises it.
    """
    if output is not None:
        _check_writable(Path(output).expanduser())
    pending = [job for job in jobs if overwrite or not job.output.exists()]
    tally = Tally(skipped=len(jobs) - len(pending))
    colorizer = load() if pending else None
    with StopSignal() as stop, tqdm(pending, unit="photo", disable=None) as bar:
        for job in bar:
            if stop or colorizer is None:
                break
            _run_job(job, colorizer, tally, bar, options)
        if stop:
            left = len(pending) - tally.colorized - tally.failed
            _tell(f"stopped with {left} to go; the same command continues")
    print(_summary(tally, colorizer))
    if stop:
        return STOPPED
    return SOME_FAILED if tally.failed else DONE


def _run_job(
    job: Job, colorizer: Colorizer, tally: Tally, bar: tqdm, options: dict[str, Any]
) -> None:
    start, compiled = time.perf_counter(), colorizer.compile_seconds
    try:
        notes = _colorize_file(job, colorizer, options)
    except (UnreadablePhoto, UnwritablePhoto, MemoryError) as error:
        tally.failed += 1
        _tell(f"{job.source}: {error or type(error).__name__}")
        return
    tally.colorized += 1
    tally.seconds += time.perf_counter() - start - (colorizer.compile_seconds - compiled)
    if bar.disable:  # no terminal: lines instead of a bar
        print(f"{job.source} -> {job.output}", flush=True)
    for note in notes:
        _tell(f"{job.source}: {note}")


def _colorize_file(job: Job, colorizer: Colorizer, options: dict[str, Any]) -> tuple[str, ...]:
    photo = photo_files.read(job.source)
    picture = colorizer.colorize(photo.image, **options)
    try:
        job.output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnwritablePhoto(f"{str(job.output.parent)!r} cannot be made: {error}") from error
    notes = photo.notes + photo_files.write(job.output, picture, photo.metadata)
    if job.output.suffix == job.source.suffix:
        return notes
    return (*notes, f"written as PNG, {job.source.suffix or 'a name without suffix'} holds no RGB")


def _jobs_of(given: Path, output: Path | None) -> list[Job]:
    """Returns the jobs of one input."""
    if given.is_file():
        return [_job(given, Path(given.name), output)]
    if not given.is_dir():
        what = "is neither a file nor a folder" if given.exists() else "does not exist"
        raise RequestError(f"input {str(given)!r} {what}; give photos or folders of photos")
    names = [Path(name) for name in FolderSource.open(given, labels="none").keys]
    jobs = [_job(given / name, name, output) for name in names if not _is_own(given, name, output)]
    if not jobs:
        raise RequestError(f"input {str(given)!r} holds no photo but earlier outputs; give others")
    return jobs


def _job(source: Path, name: Path, output: Path | None) -> Job:
    if output is not None:
        return Job(source, output / name.with_name(photo_files.output_name(name.name)))
    written = Path(photo_files.output_name(source.name))
    return Job(source, source.with_name(f"{written.stem}{_MARK}{written.suffix}"))


def _is_own(folder: Path, name: Path, output: Path | None) -> bool:
    """Whether a file found in a folder is the output of an earlier run over it."""
    if output is None:
        return name.stem.endswith(_MARK)
    is_inside = _real(output) != _real(folder)
    return is_inside and _real(folder / name).is_relative_to(_real(output))


def _check_writable(folder: Path) -> None:
    """Checks that a folder can be written or made; makes nothing, as a refusal may follow."""
    try:
        nearest = next(place for place in (folder, *folder.parents) if place.exists())
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise RequestError(
            f"--output {str(folder)!r} cannot be written ({error.strerror}); give another folder"
        ) from None


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _tell(message: str) -> None:
    tqdm.write(f"colorjax: {' '.join(message.split())}", file=sys.stderr)


def _summary(tally: Tally, colorizer: Colorizer | None) -> str:
    parts = f"{tally.colorized} colorized, {tally.skipped} skipped, {tally.failed} failed"
    if colorizer is None or not tally.colorized:
        return parts
    mean = tally.seconds / tally.colorized
    return f"{parts}; {mean:.2f} s a photo, and {colorizer.compile_seconds:.1f} s of compilation"
