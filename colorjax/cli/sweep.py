"""The command `colorjax sweep`: trains a config with every combination of some values."""

from __future__ import annotations

import argparse

from colorjax.cli import options
from colorjax.runtime import paths

DESCRIPTION = (
    "Trains a config once for each combination of values. Each is a run of colorjax.main with its "
    "own workdir, named by its values. Finished runs are not repeated; after a stop, the same "
    "command continues. All other arguments go to colorjax.main. At the end it writes NAME.md and "
    "NAME.json, the metrics of every combination with mean and standard deviation over the seeds, "
    "and a figure for each combination of the other fields: rows are photos, columns are gray, "
    "the values of the first varied field, truth."
)
EPILOG = """\
example:
  colorjax sweep --config=configs/edge_fusion.py:width=0.25 --workdir=runs/sweep \\
      --vary data.saturation=1,1.4,1.6,1.8,2 --vary model.edges=canny,off --vary seed=0,1 \\
      --config.data.path=PHOTOS
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    options.add_config(parser, "folder of the sweep")
    parser.add_argument("--vary", action="append", required=True, metavar="FIELD=VALUE,VALUE,...")
    parser.add_argument(
        "--name", default="sweep", help="name of the result files (default: %(default)s)"
    )
    parser.add_argument(
        "--photos", nargs="+", default=[], metavar="PHOTO", help="photos of the figures"
    )


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    from colorjax.tune import grid

    varied = [grid.Field.parse(text) for text in args.vary]
    root = paths.local(args.workdir)
    named = {"name": args.name, "photos": args.photos, "arguments": args.fields}
    return grid.run(args.config, root, varied, **named)
