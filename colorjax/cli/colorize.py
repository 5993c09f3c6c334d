"""The command `colorjax colorize`: photos and films."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from colorjax.cli import batch_options, color_options, options, replay
from colorjax.errors import STOPPED, RequestError
from colorjax.runtime import jax_setup, paths
from colorjax.runtime.file_names import is_film
from colorjax.runtime.memory import MAX_PIXELS
from colorjax.weights import named

if TYPE_CHECKING:
    from colorjax.inference.batch.origin import Origin
    from colorjax.inference.batch.pipeline import Work
    from colorjax.inference.batch.plan import Job
    from colorjax.inference.hints import Hint
    from colorjax.inference.session import Session


_MOST_SAMPLES = 12
DESCRIPTION = "Colorizes photos and films; keeps their lightness, size and metadata."
EPILOG = """\
examples:
  colorjax colorize grandma.jpg                                 -> grandma.color.jpg
  colorjax colorize album --output colored --checkpoint runs/zhang16 --temperature 0.3
  colorjax colorize 'album/**/*.tif' --output colored --contact-sheet sheet.png
  colorjax colorize - < gray.png > colored.png
  colorjax colorize dress.jpg --hint 120,80,#c04030
  colorjax colorize dress.jpg --samples 6 --uncertainty --contact-sheet sheet.png
  colorjax colorize beach.jpg --checkpoint runs/iizuka --global-image sunset.jpg
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    batch_options.add(
        parser,
        output="folder for the results, or the file for the result of one photo; default: "
        "NAME.color.EXT next to each photo",
    )
    add_coloring(parser)
    parser.add_argument(
        "--hint",
        action="append",
        default=[],
        metavar="x,y,#rrggbb",
        help="color of pixel x,y of the upright photo (origin top left); it spreads over similar "
        "parts; may be repeated",
    )
    parser.add_argument(
        "--hints",
        action=options.Once,
        metavar="FILE.json",
        help="hints as a list of {x, y, color}, each with an optional region [[x, y], ...]; or a "
        "session of `colorjax serve`, which is replayed",
    )
    parser.add_argument(
        "--contact-sheet",
        action=options.Once,
        metavar="FILE",
        help="also write small pictures of the photos before and after, .png or .jpg; 100 at most",
    )


def add_coloring(parser: argparse.ArgumentParser) -> None:
    """Adds the options that decide how photos are colorized, except hints."""
    parser.add_argument(
        "--checkpoint",
        metavar="WEIGHTS",
        help="workdir of a trained run or of imported weights, a hub folder, or a name of "
        "`colorjax weights list` (default: semantic-lite0); or a file of `colorjax export`, with "
        "another --engine than jax",
    )
    color_options.add_engine(parser)
    options.add_download(parser)
    parser.add_argument(
        "--samples",
        action=options.Once,
        type=int,
        default=0,
        metavar="N",
        help="also write N other likely versions of each photo, NAME.color.1.EXT ... (12 at most)",
    )
    parser.add_argument(
        "--seed",
        action=options.Once,
        type=int,
        default=0,
        metavar="S",
        help="of the random numbers of --samples (default: 0)",
    )
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="also write NAME.uncertainty.png, which shows where the colors are uncertain; with "
        "--json a number from 0 to 1 for each photo",
    )
    parser.add_argument(
        "--recolor",
        action="store_true",
        help="also colorize photos that have colors; without it they are skipped, unless there is "
        "a hint, or --strength is below 1",
    )
    color_options.add(parser)
    parser.add_argument(
        "--drop-streams",
        action="store_true",
        help="films: leave out sound, subtitles and other streams that the output cannot store",
    )


class Request:
    """What to colorize with: the weights and options of a command line.

    Attributes:
        loading: arguments of `Colorizer.load`.
        coloring: fields of `Options`.
        session: the session that is replayed; None: none.
    """

    def __init__(self, args: argparse.Namespace):
        """Reads the arguments, and downloads the weights if that is asked for.

        Raises:
            RequestError: a value is wrong.
        """
        options.download(args, args.checkpoint)
        self._args = args
        self.loading, self.coloring = color_options.read(args)
        self.session = _read_session(args)
        if self.session is not None:
            args.checkpoint = replay.weights_of(self.session, args.checkpoint)
            self.coloring.pop("global_image", None)  # the session has it, in its own order
            self.coloring |= replay.coloring(self.session, args)
        else:
            self.coloring["hints"] = _read_hints(args.hints) if args.hints else []
        self._engine = _engine(args, self.loading)
        if self._engine != "jax":  # left out for JAX: marks of earlier versions have no engine
            self.loading["engine"] = self._engine
        if args.hint:
            self.coloring["hints"] += _parse_hints(args.hint)
        if self.coloring["hints"] and args.tile not in (None, "exact"):
            raise RequestError("hints need the whole photo; leave --tile out")
        if not 0 <= args.samples <= _MOST_SAMPLES:
            raise RequestError(f"--samples must be from 0 to {_MOST_SAMPLES}, not {args.samples}")
        if args.seed < 0:
            raise RequestError(f"--seed must be at least 0, not {args.seed}")

    @functools.cached_property
    def origin(self) -> Origin:
        """What results are made with.

        Raises:
            RequestError: there are no such weights.
        """
        from colorjax.inference.batch.origin import origin_of

        jax_setup.quiet_library_logs()
        settings = self.loading | self.coloring | {"white": self._args.white}
        name = self._args.checkpoint or named.DEFAULT
        return origin_of(name, settings, seed=self._args.seed)

    def work(self) -> Work:
        """Loads the weights and returns what colorizes a photo."""
        args, coloring = self._args, self.coloring
        jax_setup.quiet_library_logs()
        if self._engine == "jax":
            jax_setup.use_compilation_cache("auto")
        from colorjax.inference.batch.work import Colorizing, PhotoWork, Sampling
        from colorjax.inference.colorizer import Colorizer  # only for valid requests
        from colorjax.inference.prepared import require_bins, require_spreading

        colorizer = Colorizer.load(args.checkpoint or named.DEFAULT, **self.loading)
        if args.samples:
            require_spreading(colorizer, "sample")
        if args.samples or args.uncertainty:
            require_bins(colorizer)
        painting = Colorizing(colorizer, **coloring)
        is_wish = bool(args.recolor or coloring["strength"] < 1 or coloring["hints"])
        keeps = not (is_wish or self.session)
        return PhotoWork(
            painting,
            args.max_pixels or MAX_PIXELS,
            self.origin,
            keeps_color_photos=keeps,
            white=args.white,
            overwrite=args.overwrite,
            more=Sampling(painting, args.seed) if args.samples or args.uncertainty else None,
        )


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    request = Request(args)

    def check(jobs: Sequence[Job]) -> None:
        if request.coloring["hints"] and len(jobs) > 1:
            raise RequestError(f"hints are for one photo, not for {len(jobs)}; give one photo")
        if request.coloring["hints"] and any(paths.local(name).is_dir() for name in args.inputs):
            raise RequestError("hints are for one photo, not for a folder; give the photo itself")
        if request.session is not None:
            replay.check_photo(request.session, jobs)

    films = [name for name in args.inputs if is_film(name) and paths.local(name).is_file()]
    if films and (args.samples or args.uncertainty):
        raise RequestError("--samples and --uncertainty are for photos; leave the films out")
    if films:
        from colorjax.cli import colorize_film
        from colorjax.inference.batch.plan import output_file

        if output_file(args.output):
            raise RequestError(
                f"--output {args.output!r} names a picture, but the input is a film; give a folder"
            )
        args.inputs = [name for name in args.inputs if name not in films]
        part = batch_options.batch_options(args, "colorized").shard
        jobs = colorize_film.plan(films, args, request.coloring, part)
        _ = request.origin  # refuses missing weights before anything is skipped
        status = run(args) if args.inputs else 0
        if status == STOPPED:
            return status
        return max(
            status, colorize_film.colorize_films(jobs, args, request.loading, request.coloring)
        )
    return batch_options.run(
        args,
        request.work,
        check,
        lambda: request.origin,
        takes_films=True,
        samples=args.samples,
        with_map=args.uncertainty,
    )


def _engine(args: argparse.Namespace, loading: dict[str, Any]) -> str:
    """Returns the engine to use; "auto" becomes the name of one."""
    if args.engine == "jax":
        return args.engine
    from colorjax.inference.engines.loading import resolved

    jax_setup.quiet_library_logs()
    weights = args.checkpoint or named.DEFAULT
    return resolved(args.engine, weights, loading["temperature"], loading["decode"])


def _read_session(args: argparse.Namespace) -> Session | None:
    """Returns the session of --hints; None: it is a list of hints, or not given."""
    if args.hints is None:
        return None
    from colorjax.inference import session

    return session.read_if_session(args.hints)


def _read_hints(file: str) -> list[Hint]:
    from colorjax.inference import hints

    return hints.read_json(file)


def _parse_hints(texts: list[str]) -> list[Hint]:
    from colorjax.inference import hints

    # Where hints overlap, the last one counts: the command line overrides the file.
    return [hints.parse(text) for text in texts]
