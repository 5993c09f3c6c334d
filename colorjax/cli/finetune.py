"""The command `colorjax finetune`: weights tuned on photos of one's own."""

from __future__ import annotations

import argparse
import logging
import sys

from colorjax.cli import options
from colorjax.runtime import jax_setup as startup

DESCRIPTION = (
    "Tunes weights on a folder of colour photos of one domain, and measures held-out ones "
    "before and after. The output is a workdir for --checkpoint; the same command goes on "
    "where it was stopped."
)
EPILOG = """\
examples:
  colorjax finetune semantic-lite0 --data plants --output runs/plants --only head
  colorjax finetune runs/unet --data indoor --output runs/indoor --add-layer
  colorjax colorize old.jpg --checkpoint runs/plants"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.add_argument(
        "workdir", metavar="WORKDIR", help="of a run or of imported weights, or weights that ship"
    )
    options.add_data(parser, "color photos")
    options.add_output(parser, "workdir to make")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--only", choices=["head"], help="train the last layer alone, and keep all others"
    )
    which.add_argument(
        "--add-layer",
        action="store_true",
        help="train a small new layer before the last one, and keep all others",
    )
    parser.add_argument(
        "--steps", type=int, default=200, metavar="N", help="of training (default: %(default)s)"
    )
    parser.add_argument(
        "--learning-rate", type=float, metavar="R", help="(1e-4; 1e-3 for a single layer)"
    )
    parser.add_argument(
        "--batch-size", type=int, default=16, metavar="N", help="photos (default: %(default)s)"
    )
    parser.add_argument(
        "--size", type=int, metavar="PX", help="of training photos (that of WORKDIR, at most 128)"
    )
    parser.add_argument(
        "--min-side",
        type=int,
        default=64,
        metavar="PX",
        help="leave smaller photos out (default: %(default)s)",
    )
    parser.add_argument(
        "--min-chroma",
        type=float,
        default=3.0,
        metavar="C",
        help="leave photos with a lower mean chroma, in Lab units, out (default: %(default)s)",
    )
    options.add_seed(parser, "(default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # grain reads them
    startup.log_to_stderr()
    # The table of all layers is for those who build networks.
    logging.getLogger("colorjax.train.loop").addFilter(
        lambda record: not record.getMessage().startswith("parameters:")
    )
    startup.use_compilation_cache("auto")
    from colorjax.finetune import run as finetune  # imports JAX: not for --help

    options = finetune.Options(
        train_only=args.only or ("added" if args.add_layer else "all"),
        steps=args.steps,
        learning_rate=args.learning_rate,
        batch_size=args.batch_size,
        size=args.size,
        min_side=args.min_side,
        min_chroma=args.min_chroma,
        seed=args.seed,
    )
    found = finetune.finetune(args.workdir, args.data, args.output, options)
    if found.status:
        return found.status
    photos = found.record["photos"]
    told = finetune.describe_left_out(photos["left_out"])
    print(f"{photos['kept']} of {photos['found']} photos; {told}")
    print(found.table)
    print(f"workdir: {args.output}; pictures: {args.output}/finetune.png")
    for warning in found.warnings:
        print(f"colorjax: warning: {warning}", file=sys.stderr)
    unreadable = photos["names_left_out"]["unreadable"]
    for name in unreadable:
        print(f"colorjax: {name} cannot be read as a photo", file=sys.stderr)
    return 1 if unreadable else 0
