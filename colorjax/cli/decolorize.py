"""The command `colorjax decolorize`: gray copies of photos."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from colorjax.cli import batch_options, options
from colorjax.runtime.memory import MAX_PIXELS

if TYPE_CHECKING:
    from colorjax.inference.batch.pipeline import Work


DESCRIPTION = "Makes gray copies of photos; keeps their size and metadata."
EPILOG = """\
example:
  colorjax decolorize album --output gray"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    batch_options.add(
        parser, output="folder for the results; for one photo also a file", output_required=True
    )
    parser.add_argument(
        "--gray",
        "--grey",
        action=options.Once,
        choices=("lightness", "luma", "mean"),
        default="lightness",
        help="lightness: keep L of CIE Lab; luma: 0.299 R + 0.587 G + 0.114 B; mean: mean of R, "
        "G and B (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""

    def start() -> Work:
        from colorjax.inference.batch.work import Decolorizing, PhotoWork

        return PhotoWork(Decolorizing(args.gray), args.max_pixels or MAX_PIXELS, white=args.white)

    return batch_options.run(args, start, done_word="turned gray")
