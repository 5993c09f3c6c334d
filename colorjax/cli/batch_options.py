"""Options and run shared by the commands that process many photo files."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from colorjax.cli import options
from colorjax.errors import RequestError
from colorjax.runtime import paths
from colorjax.runtime.memory import MAX_FILM_PIXELS, MAX_PIXELS

if TYPE_CHECKING:
    from colorjax.inference.batch.origin import Origin
    from colorjax.inference.batch.pipeline import Work
    from colorjax.inference.batch.plan import Job
    from colorjax.inference.batch.run import BatchOptions
    from colorjax.inference.batch.shard import Shard


def add(parser: argparse.ArgumentParser, *, output: str, output_required: bool = False) -> None:
    """Adds the options of every command that processes many photos."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="photo, folder of photos, pattern such as 'album/**/*.jpg', or - for standard input; "
        "colorize also takes films",
    )
    add_processing(parser, output=output, output_required=output_required)
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be done, and write nothing"
    )


def add_processing(
    parser: argparse.ArgumentParser,
    *,
    output: str,
    output_required: bool = False,
    overwrite: str = "replace existing results instead of skipping",
) -> None:
    """Adds the options that do not depend on how the photos are found."""
    options.add_output(parser, output, required=output_required)
    options.add_overwrite(parser, overwrite)
    options.add_jobs(
        parser, 2, "photos in parallel, one of them in the network (default: %(default)s)"
    )
    parser.add_argument(
        "--max-pixels",
        action=options.Once,
        type=int,
        metavar="N",
        help="refuse larger photos and films (default, by the memory of this machine: "
        f"{MAX_PIXELS}, for films {MAX_FILM_PIXELS})",
    )
    parser.add_argument(
        "--shard",
        action=options.Once,
        metavar="I/N",
        help="process only part I of N, I from 1, by a hash of each photo's path below its input: "
        "N machines share a folder",
    )
    parser.add_argument(
        "--white",
        action=options.Once,
        type=float,
        metavar="LEVEL",
        help="stored value that becomes white, such as 4095 for 12 bits in a file of 16 bits "
        "(default: the largest value of the file's depth)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object per photo, then a summary"
    )


def run(
    args: argparse.Namespace,
    start: Callable[[], Work],
    check: Callable[[Sequence[Job]], None] = lambda jobs: None,
    origin: Callable[[], Origin] | None = None,
    done_word: str = "colorized",
    *,
    takes_films: bool = False,
    samples: int = 0,
    with_map: bool = False,
) -> int:
    """Plans the photos of a command, then processes them or prints the plan (--dry-run).

    Args:
        args: arguments of the command.
        start: creates the work; called if there are photos to process.
        check: checks the planned jobs.
        origin: returns what results are made with, for the comparison with existing ones; raises a
            RequestError if there are no such weights. None: not compared.
        done_word: verb of the summary.
        takes_films: whether the command processes films, for messages.
        samples: number of further versions of each photo.
        with_map: whether each photo gets a map of its uncertainty.
    """
    from colorjax.inference.batch import other_files
    from colorjax.inference.batch import run as batch
    from colorjax.inference.batch.plan import check_writable, output_file, plan, with_more_files

    run_options = batch_options(args, done_word)
    shard = run_options.shard
    with _standard_input(args) as standard_input:
        jobs, others = plan(
            args.inputs,
            args.output,
            max_pixels=args.max_pixels or MAX_PIXELS,
            standard_input=standard_input,
            sheets=_sheets(args, shard),
            takes_films=takes_films,
        )
        check(jobs)
        if samples or with_map:
            jobs = with_more_files(jobs, samples, with_map=with_map)
        # Names of results depend on all photos, so the part is chosen after they are planned.
        jobs = [job for job in jobs if shard.holds(job.below)]
        if args.output is not None:
            file = output_file(args.output)
            check_writable(file.parent if file else paths.local(args.output), "--output")
        if run_options.sheet is not None:
            check_writable(run_options.sheet.parent, "the folder of --contact-sheet")
        others = others if shard.index == 1 else []  # counted once in all parts
        counts, remarks = other_files.passed_over(others, args.output, takes_films=takes_films)
        run_options = dataclasses.replace(
            run_options,
            origin=origin() if origin else None,
            passed_over=counts,
            remarks=remarks,
        )
        if args.dry_run:
            return batch.show_plan(jobs, run_options)
        return batch.run(jobs, start, run_options)


def batch_options(args: argparse.Namespace, done_word: str) -> BatchOptions:
    """Returns the checked options of the run."""
    from colorjax.inference.batch import contact_sheet
    from colorjax.inference.batch.run import BatchOptions

    for option, value in (("--jobs", args.jobs), ("--max-pixels", args.max_pixels)):
        if value is not None and value < 1:
            raise RequestError(f"{option} must be at least 1, not {value}")
    if args.white is not None and not 0 < args.white < math.inf:
        raise RequestError(f"--white must be above 0, such as 4095, not {args.white:g}")
    part = shard(args)
    named = getattr(args, "contact_sheet", None)
    sheet = part.sheet(paths.local(named)) if named else None
    if sheet is not None:
        contact_sheet.check(sheet, overwrite=args.overwrite)
    return BatchOptions(done_word, args.jobs, args.overwrite, args.json, sheet, part)


def shard(args: argparse.Namespace) -> Shard:
    """Returns the part that --shard names; the only part without it.

    Raises:
        RequestError: there is no such part, or the photo comes through standard input.
    """
    from colorjax.inference.batch.shard import WHOLE, parse

    if args.shard is None:
        return WHOLE
    if "-" in args.inputs:
        raise RequestError("--shard divides folders and lists of photos; leave it out with -")
    return parse(args.shard)


def _sheets(args: argparse.Namespace, part: Shard) -> Iterator[Path]:
    named = getattr(args, "contact_sheet", None)
    return part.sheets(paths.local(named)) if named else iter(())


@contextlib.contextmanager
def _standard_input(args: argparse.Namespace) -> Iterator[Path | None]:
    """Copies standard input to a temporary file, if `-` is an input."""
    number = args.inputs.count("-")
    if number > 1:
        raise RequestError("standard input, -, is given twice; give it once")
    if number and args.json and args.output is None:
        raise RequestError("--json and the picture both need standard output; give --output")
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
        raise RequestError("standard input is closed; pipe a photo into it")
    if output is None and (sys.stdout is None or sys.stdout.isatty()):
        raise RequestError(
            "standard output must be a file or a pipe; redirect it, or give --output"
        )
