"""The command `colorjax colorize`: photos and films."""

from __future__ import annotations

import argparse
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from colorjax.cli import batch_options, color_options, options
from colorjax.errors import STOPPED, RequestError
from colorjax.runtime import jax_setup, paths
from colorjax.runtime.file_names import is_film
from colorjax.version import __version__
from colorjax.weights import named

if TYPE_CHECKING:
    from colorjax.inference.batch.origin import Origin
    from colorjax.inference.batch.pipeline import Work
    from colorjax.inference.batch.plan import Job
    from colorjax.inference.hints import Hint


DESCRIPTION = "Colorizes photos and films; keeps their lightness, size and metadata."
EPILOG = """\
examples:
  colorjax colorize grandma.jpg                                 -> grandma.color.jpg
  colorjax colorize album --output colored --checkpoint runs/zhang16 --temperature 0.3
  colorjax colorize 'album/**/*.tif' --output colored --contact-sheet sheet.png
  colorjax colorize - < gray.png > colored.png
  colorjax colorize dress.jpg --hint 120,80,#c04030
  colorjax colorize beach.jpg --checkpoint runs/iizuka --global-image sunset.jpg
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    batch_options.add(
        parser,
        output="folder for the results, or the file for the result of one photo; default: "
        "NAME.color.EXT next to each photo",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="WEIGHTS",
        help="workdir of a trained run or of imported weights, a hub folder, or a name of "
        "`colorjax weights list` (default: semantic-lite0)",
    )
    options.add_download(parser)
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
        help="hints as a list of {x, y, color}, each with an optional region [[x, y], ...]",
    )
    parser.add_argument(
        "--recolor",
        action="store_true",
        help="also colorize photos that have colors; without it they are skipped, unless there is "
        "a hint, or --strength is below 1",
    )
    color_options.add(parser)
    parser.add_argument(
        "--contact-sheet",
        action=options.Once,
        metavar="FILE",
        help="also write small pictures of the photos before and after, .png or .jpg; 100 at most",
    )
    parser.add_argument(
        "--drop-streams",
        action="store_true",
        help="films: leave out sound, subtitles and other streams that the output cannot store",
    )


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    options.download(args, args.checkpoint)
    loading, coloring = color_options.read(args)
    coloring["hints"] = _read_hints(args.hint, args.hints) if args.hint or args.hints else []
    if coloring["hints"] and args.tile not in (None, "exact"):
        raise RequestError("hints need the whole photo; leave --tile out")

    def check(jobs: Sequence[Job]) -> None:
        if coloring["hints"] and len(jobs) > 1:
            raise RequestError(f"hints are for one photo, not for {len(jobs)}; give one photo")
        if coloring["hints"] and any(paths.local(name).is_dir() for name in args.inputs):
            raise RequestError("hints are for one photo, not for a folder; give the photo itself")

    @functools.cache
    def origin() -> Origin:
        return _origin(args.checkpoint, loading | coloring | {"white": args.white})

    films = [name for name in args.inputs if is_film(name) and paths.local(name).is_file()]
    if films:
        from colorjax.cli import colorize_film
        from colorjax.inference.batch.plan import output_file

        if output_file(args.output):
            raise RequestError(
                f"--output {args.output!r} names a picture, but the input is a film; give a folder"
            )
        args.inputs = [name for name in args.inputs if name not in films]
        batch_options.batch_options(args, "colorized")
        jobs = colorize_film.plan(films, args, coloring)
        origin()  # refuses missing weights before anything is skipped
        status = run(args) if args.inputs else 0
        if status == STOPPED:
            return status
        return max(status, colorize_film.colorize_films(jobs, args, loading, coloring))

    def start() -> Work:
        jax_setup.quiet_library_logs()
        jax_setup.use_compilation_cache("auto")
        from colorjax.inference.batch.work import Colorizing, PhotoWork
        from colorjax.inference.colorizer import Colorizer  # imports JAX: only for valid requests

        painting = Colorizing(
            Colorizer.load(args.checkpoint or named.DEFAULT, **loading), **coloring
        )
        keeps = not (args.recolor or args.strength < 1 or coloring["hints"])
        return PhotoWork(
            painting,
            args.max_pixels,
            origin(),
            keeps_color_photos=keeps,
            white=args.white,
            overwrite=args.overwrite,
        )

    return batch_options.run(args, start, check, origin, takes_films=True)


def _origin(checkpoint: str | None, settings: dict[str, Any]) -> Origin:
    """Returns what results are made with.

    Raises:
        RequestError: there are no such weights.
    """
    from colorjax.inference.batch.origin import Origin, settings_text

    name = checkpoint or named.DEFAULT
    if named.ships(name):
        digest = named.SHA256[name]
    else:
        jax_setup.quiet_library_logs()
        from colorjax.weights.open import open_weights  # imports JAX

        digest = open_weights(name).digest()
    text = settings_text({name: _short(value) for name, value in settings.items()})
    return Origin(Path(name).name, f"colorjax {__version__}", digest, text)


def _short(value: Any) -> Any:
    """Returns a value of an option, or for hints and pictures, which are long, a digest."""
    if isinstance(value, np.ndarray):
        return hashlib.sha256(value.tobytes()).hexdigest()[:16]
    return (
        hashlib.sha256(repr(value).encode()).hexdigest()[:16]
        if value and isinstance(value, list)
        else value
    )


def _read_hints(texts: list[str], file: str | None) -> list[Hint]:
    from colorjax.inference import hints

    # Where hints overlap, the last one counts: the command line overrides the file.
    return (hints.read_json(file) if file else []) + [hints.parse(text) for text in texts]
