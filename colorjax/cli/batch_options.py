"""What the commands over many photo files have in common: options, and the run."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from colorjax.cli import options
from colorjax.errors import RequestError
from colorjax.runtime import paths

if TYPE_CHECKING:
    from colorjax.inference.batch.pipeline import Work
    from colorjax.inference.batch.plan import Job
    from colorjax.inference.batch.run import BatchOptions


def add(parser: argparse.ArgumentParser, *, output: str, output_required: bool = False) -> None:
    """Declares what every command over many photos has."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="photo, folder of photos, pattern such as 'album/**/*.jpg', or - for standard input; "
        "colorize takes films too",
    )
    options.add_output(parser, output, required=output_required)
    options.add_overwrite(parser, "replace existing results instead of skipping")
    options.add_jobs(
        parser, 2, "photos under way at a time, one of them in the network (default: %(default)s)"
    )
    parser.add_argument(
        "--max-pixels",
        action=options.Once,
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


def run(
    args: argparse.Namespace,
    start: Callable[[], Work],
    check: Callable[[Sequence[Job]], None] = lambda jobs: None,
    done_word: str = "colorized",
) -> int:
    """Plans the photos of a command, and does them or tells what would be done."""
    from colorjax.inference.batch import run as batch
    from colorjax.inference.batch.plan import check_writable, plan

    manner = batch_options(args, done_word)
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


def batch_options(args: argparse.Namespace, done_word: str) -> BatchOptions:
    """Checks the options of the run itself."""
    from colorjax.inference.batch import contact_sheet
    from colorjax.inference.batch.run import BatchOptions

    for option, value in (("--jobs", args.jobs), ("--max-pixels", args.max_pixels)):
        if value < 1:
            raise RequestError(f"{option} is at least 1, not {value}")
    named = getattr(args, "contact_sheet", None)
    sheet = paths.local(named) if named else None
    if sheet is not None:
        contact_sheet.check(sheet, overwrite=args.overwrite)
    return BatchOptions(done_word, args.jobs, args.overwrite, args.json, sheet)


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
