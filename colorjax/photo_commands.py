"""Commands over photos: colorize, decolorize."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from colorjax import color_options, paths, startup
from colorjax.color_options import Once
from colorjax.errors import RequestError
from colorjax.inference.names import is_film
from colorjax.inference.stop import STOPPED
from colorjax.version import __version__

if TYPE_CHECKING:
    from colorjax.inference.batch import Manner
    from colorjax.inference.hints import Hint
    from colorjax.inference.pipeline import Work
    from colorjax.inference.plan import Job

EXAMPLES = """\
examples:
  colorjax colorize grandma.jpg                                 -> grandma.color.jpg
  colorjax colorize album --output coloured --checkpoint runs/zhang16 --temperature 0.3
  colorjax colorize 'album/**/*.tif' --output coloured --contact-sheet sheet.png
  colorjax colorize - < grey.png > coloured.png
  colorjax colorize dress.jpg --hint 120,80,#c04030
  colorjax colorize beach.jpg --checkpoint runs/iizuka --global-image sunset.jpg
"""


def add_colorize(commands: argparse._SubParsersAction) -> None:
    """Adds `colorjax colorize`."""
    colorize = commands.add_parser(
        "colorize",
        help="colorize photos and folders of photos",
        description="Colorizes photos; their lightness, size and metadata stay.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    colorize.set_defaults(act=_colorize)
    _add_batch_options(
        colorize, output="folder for the results; default NAME.color.EXT beside each"
    )
    colorize.add_argument(
        "--checkpoint",
        metavar="WORKDIR",
        help="folder of a trained run or of imported weights, or weights that ship: "
        "semantic-lite0 (the default), zhang16-small",
    )
    colorize.add_argument(
        "--hint",
        action="append",
        default=[],
        metavar="x,y,#rrggbb",
        help="pixel x,y of the upright photo (origin top left) has this color, and so has what is "
        "alike; may be repeated",
    )
    colorize.add_argument(
        "--hints",
        action=Once,
        metavar="FILE.json",
        help="hints as a list of {x, y, color}, each with a region [[x, y], ...] if wanted",
    )
    color_options.add(colorize)
    colorize.add_argument(
        "--contact-sheet",
        action=Once,
        metavar="FILE",
        help="write small pictures of the photos before and after, .png or .jpg, 100 at most",
    )


def add_decolorize(commands: argparse._SubParsersAction) -> None:
    """Adds `colorjax decolorize`."""
    decolorize = commands.add_parser(
        "decolorize",
        help="make grey copies of photos",
        description="Makes grey copies of photos; their size and metadata stay.",
        epilog="example:\n  colorjax decolorize album --output grey",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    decolorize.set_defaults(act=_decolorize)
    _add_batch_options(decolorize, output="folder for the results", output_required=True)
    decolorize.add_argument(
        "--grey",
        action=Once,
        choices=("lightness", "luma", "mean"),
        default="lightness",
        help="lightness: L of CIE Lab stays; luma: 0.299 R + 0.587 G + 0.114 B; mean: of R, G and "
        "B (default: %(default)s)",
    )


def _add_batch_options(
    parser: argparse.ArgumentParser, *, output: str, output_required: bool = False
) -> None:
    """Declares what every command over many photos has."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="photo, folder of photos, pattern such as 'album/**/*.jpg', or - for standard input; "
        "colorize takes films too",
    )
    parser.add_argument("--output", metavar="DIR", required=output_required, help=output)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace existing results instead of skipping"
    )
    parser.add_argument(
        "--jobs",
        action=Once,
        type=int,
        default=2,
        metavar="N",
        help="photos under way at a time, one of them in the network (default: %(default)s)",
    )
    parser.add_argument(
        "--max-pixels",
        action=Once,
        type=int,
        default=2**28,
        metavar="N",
        help="refuse larger photos (default: %(default)s)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="tell what would be done, and do nothing"
    )
    parser.add_argument(
        "--json", action="store_true", help="tell scripts: a JSON object a line, then a summary"
    )


def _colorize(args: argparse.Namespace) -> int:
    loading, coloring = color_options.read(args)
    coloring["hints"] = _read_hints(args.hint, args.hints) if args.hint or args.hints else []
    if coloring["hints"] and args.tile not in (None, "exact"):
        raise RequestError("hints are for whole photos; leave --tile out")

    def check(jobs: Sequence[Job]) -> None:
        if coloring["hints"] and len(jobs) > 1:
            raise RequestError(f"hints are for one photo, not for {len(jobs)}")
        if coloring["hints"] and any(paths.local(name).is_dir() for name in args.inputs):
            raise RequestError("hints are for one photo, not for a folder; give the photo itself")

    films = [name for name in args.inputs if is_film(name) and paths.local(name).is_file()]
    if films:
        from colorjax import film_commands

        args.inputs = [name for name in args.inputs if name not in films]
        _manner(args, "colorized")
        jobs = film_commands.plan(films, args, coloring)
        status = _colorize(args) if args.inputs else 0
        if status == STOPPED:
            return status
        return max(status, film_commands.colorize_films(jobs, args, loading, coloring))

    def start() -> Work:
        startup.hush_libraries()
        startup.use_compilation_cache("auto")
        from colorjax import shipped  # imports JAX: only for right requests
        from colorjax.inference.colorizer import Colorizer
        from colorjax.inference.photo_work import Colorizing, PhotoWork

        weights = args.checkpoint or shipped.DEFAULT
        mark = {"by": Path(weights).name, "tool": f"colorjax {__version__}"}
        painting = Colorizing(Colorizer.load(weights, **loading), **coloring)
        return PhotoWork(painting, args.max_pixels, mark)

    return _run(args, start, check)


def _decolorize(args: argparse.Namespace) -> int:
    def start() -> Work:
        from colorjax.inference.photo_work import Decolorizing, PhotoWork

        return PhotoWork(Decolorizing(args.grey), args.max_pixels)

    return _run(args, start, done_word="turned grey")


def _run(
    args: argparse.Namespace,
    start: Callable[[], Work],
    check: Callable[[Sequence[Job]], None] = lambda jobs: None,
    done_word: str = "colorized",
) -> int:
    """Plans the photos of a command, and does them or tells what would be done."""
    from colorjax.inference import batch
    from colorjax.inference.plan import check_writable, plan

    manner = _manner(args, done_word)
    with _standard_input(args) as standard_input:
        jobs = plan(
            args.inputs,
            args.output,
            max_pixels=args.max_pixels,
            standard_input=standard_input,
            sheet=getattr(args, "contact_sheet", None),
        )
        check(jobs)
        if args.output is not None:
            check_writable(paths.local(args.output), "--output")
        if manner.sheet is not None:
            check_writable(manner.sheet.parent, "the folder of --contact-sheet")
        if args.dry_run:
            return batch.show_plan(jobs, manner)
        return batch.run(jobs, start, manner)


def _manner(args: argparse.Namespace, done_word: str) -> Manner:
    """Checks the options of the run itself."""
    from colorjax.inference import contact_sheet
    from colorjax.inference.batch import Manner

    for option, value in (("--jobs", args.jobs), ("--max-pixels", args.max_pixels)):
        if value < 1:
            raise RequestError(f"{option} is at least 1, not {value}")
    named = getattr(args, "contact_sheet", None)
    sheet = paths.local(named) if named else None
    if sheet is not None:
        contact_sheet.check(sheet, overwrite=args.overwrite)
    return Manner(done_word, args.jobs, args.overwrite, args.json, sheet)


@contextlib.contextmanager
def _standard_input(args: argparse.Namespace) -> Iterator[Path | None]:
    """Keeps what comes from standard input in a file, if it is asked for."""
    number = args.inputs.count("-")
    if number > 1:
        raise RequestError("standard input, -, is given twice; give it once")
    if number and args.json and args.output is None:
        raise RequestError("--json and the picture both want standard output; give an --output")
    if number and not args.dry_run:
        _check_standard(args.output)
    if not number or args.dry_run:
        yield None
        return
    with tempfile.NamedTemporaryFile(prefix="colorjax-") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        yield Path(file.name)


def _check_standard(output: str | None) -> None:
    if sys.stdin is None:  # <&-
        raise RequestError("standard input is closed; give it a photo")
    if output is None and (sys.stdout is None or sys.stdout.isatty()):
        raise RequestError("standard output is no file or pipe; redirect it, or give an --output")


def _read_hints(words: list[str], file: str | None) -> list[Hint]:
    from colorjax.inference import hints

    # Where hints overlap the last one counts: the command line has the last word.
    return (hints.read_json(file) if file else []) + [hints.parse(word) for word in words]
