"""The command `colorjax watch`: colorizes what arrives in a folder."""

from __future__ import annotations

import argparse
import contextlib
import copy
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from colorjax.cli import batch_options, colorize, options
from colorjax.errors import DONE, SOME_FAILED, STOPPED, RequestError
from colorjax.runtime import paths
from colorjax.runtime.file_names import canonical, printable
from colorjax.runtime.memory import MAX_PIXELS

if TYPE_CHECKING:
    from colorjax.inference.batch.inputs import InputPhoto
    from colorjax.inference.batch.plan import Job
    from colorjax.inference.batch.shard import Shard
    from colorjax.runtime.signals import Stop

DESCRIPTION = (
    "Colorizes the photos and films of a folder, and those that arrive later, until Ctrl-C. A file "
    "is read once it is complete."
)
EPILOG = """\
examples:
  colorjax watch scans --output colored
  colorjax watch /mnt/upload --output /mnt/colored --quiet 30    for slow or broken uploads
"""
_MOST_QUIET = 86400  # seconds

_State: TypeAlias = tuple[str, int, int] | None  # of a file, see `film.run.identity`; None: missing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.set_defaults(hint=[], hints=None, dry_run=False)
    parser.add_argument("folder", metavar="FOLDER", help="folder to watch, with its subfolders")
    batch_options.add_processing(
        parser,
        output="folder for the results; default: NAME.color.EXT next to each photo",
        overwrite="replace results that were made with other settings or from another version of "
        "the photo",
    )
    parser.add_argument(
        "--quiet",
        action=options.Once,
        type=float,
        default=2.0,
        metavar="S",
        help="a file is complete once its size and time have not changed for S seconds "
        "(default: %(default)s); the folder is looked at twice in that time",
    )
    colorize.add_coloring(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    if not 0 < args.quiet <= _MOST_QUIET:
        raise RequestError(
            f"--quiet must be above 0 and at most {_MOST_QUIET} seconds, not {args.quiet:g}"
        )
    args.inputs = [args.folder]
    folder = paths.local(args.folder)
    if not folder.is_dir():
        raise RequestError(f"{args.folder!r} is not a folder; give the folder to watch")
    request = colorize.Request(args)
    from colorjax.inference.batch import run as batch
    from colorjax.inference.batch.arrivals import Arrivals
    from colorjax.inference.batch.inputs import Results
    from colorjax.inference.batch.plan import check_writable
    from colorjax.inference.batch.watch import Watch

    output = _output(folder, args.output)
    check_writable(output or folder, "--output")
    batch_settings = batch_options.batch_options(args, "colorized")
    batch_settings = batch_settings.with_origin(request.origin)
    names = [str(batch_settings.shard), *(os.path.realpath(p) for p in (folder, output) if p)]
    watch = Watch(
        Arrivals(folder, Results.at(output, ()), args.quiet),
        _Planner(args, output, batch_settings.shard).jobs,
        request.work,
        _Films(args, request, output, batch_settings.shard).paint,
        batch_settings,
        args.quiet / 2,
    )
    with batch.only_run(["watch", *names], "is watching this folder"):
        return watch.run(args.folder)


def _output(folder: Path, output: str | None) -> Path | None:
    """Returns the folder for the results; None: next to the photos.

    Raises:
        RequestError: results would arrive in the watched folder as photos, or one file is given.
    """
    if output is None:
        return None
    from colorjax.inference.batch.plan import output_file

    if output_file(output):
        raise RequestError(f"--output {output!r} names a picture; give a folder")
    target, watched = Path(os.path.realpath(paths.local(output))), Path(os.path.realpath(folder))
    if watched == target or target in watched.parents:
        raise RequestError(
            f"--output {output!r} holds the watched folder, so that results would arrive in it; "
            "give another folder"
        )
    return paths.local(output)


class _Planner:
    """Plans the photos of a folder; reads the header of each once."""

    def __init__(self, args: argparse.Namespace, output: Path | None, shard: Shard):
        self._args = args
        self._output = output
        self._shard = shard
        self._known: dict[Path, Job] = {}

    def jobs(self, photos: Sequence[InputPhoto], new: set[Path]) -> list[Job]:
        """Returns the jobs of one folder, without those of other parts."""
        from colorjax.inference.batch.plan import read_job, with_more_files, with_own_outputs

        args = self._args
        for photo in photos:
            if photo.source in new or photo.source not in self._known:
                self._known[photo.source] = read_job(
                    photo,
                    self._output,
                    max_pixels=args.max_pixels or MAX_PIXELS,
                    takes_films=True,
                )
        jobs = with_own_outputs([self._known[photo.source] for photo in photos], self._output)
        if args.samples or args.uncertainty:
            jobs = with_more_files(jobs, args.samples, with_map=args.uncertainty, refuses_jobs=True)
        return [job for job in jobs if self._shard.holds(job.below)]


class _Films:
    """Colorizes films, with the weights loaded once.

    A film that changed since this run colorized it, such as an upload that went on after a stall,
    is colorized again. Only a result that this run wrote, and that is unchanged, is replaced.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        request: colorize.Request,
        output: Path | None,
        shard: Shard,
    ):
        self._args = copy.copy(args)
        self._args.overwrite = False  # films have no digest that would say what has changed
        self._args.contact_sheet = None
        self._request = request
        self._output = output
        self._shard = shard
        self._load: Callable | None = None
        # By film: the states of the film and of its result when this run wrote that.
        self._written: dict[Path, tuple[_State, _State]] = {}
        self._owners: dict[str, Path] = {}  # film of each output

    def paint(self, films: Sequence[InputPhoto], stop: Stop) -> int:
        """Colorizes films one after the other; returns the exit status."""
        status = DONE
        for film in films:
            status = max(status, STOPPED if stop else self._paint(film, stop))
        return status

    def _paint(self, film: InputPhoto, stop: Stop) -> int:
        from colorjax.cli import colorize_film
        from colorjax.inference.batch.shard import WHOLE

        args, request = self._args, self._request
        if self._output is not None:
            args.output = str(self._output / film.below.parent)
        self._load = self._load or colorize_film.loader(args, request.loading, request.coloring)
        try:
            [(_, output)] = colorize_film.plan([str(film.source)], args, request.coloring, WHOLE)
            self._take(output, film.source)
            jobs = colorize_film.plan([str(film.source)], args, request.coloring, self._shard)
            state = _state(film.source)
            args.overwrite = self._is_outdated(film.source, state, output)
            status, counts = colorize_film.paint(jobs, args, request.loading, self._load, stop)
        except RequestError as error:  # the extra is missing, or an option that films do not take
            print(
                f"colorjax: {printable(film.source)}: {printable(error)}",
                file=sys.stderr,
                flush=True,
            )
            return SOME_FAILED
        if counts["done"]:
            self._written[film.source] = state, _state(output)
        elif status == STOPPED and args.overwrite:
            print(
                f"colorjax: {printable(output)} was made from an earlier version of the film; "
                "remove it before the same command continues",
                file=sys.stderr,
                flush=True,
            )
        return status

    def _take(self, output: Path, film: Path) -> None:
        """Notes which film has an output.

        Raises:
            RequestError: another film has it.
        """
        from colorjax.cli.colorize_film import SAME_OUTPUT

        owner = self._owners.get(canonical(output), film)
        if owner != film and owner.exists():
            raise RequestError(SAME_OUTPUT)
        self._owners[canonical(output)] = film

    def _is_outdated(self, film: Path, state: _State, output: Path) -> bool:
        """Returns whether this run wrote the output, from another version of the film."""
        before, result = self._written.get(film, (state, None))
        return before != state and result is not None and result == _state(output)


def _state(path: Path) -> _State:
    from colorjax.inference.film.run import identity

    with contextlib.suppress(OSError):
        return identity(path)
    return None
