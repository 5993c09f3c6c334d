"""The command `colorjax finetune`: fine-tunes weights on your own photos."""

from __future__ import annotations

import argparse
import logging
import sys

from colorjax.cli import options
from colorjax.runtime import jax_setup
from colorjax.runtime.file_names import printable

DESCRIPTION = (
    "Fine-tunes weights on a folder of color photos of one domain, and measures held-out photos "
    "before and after. The output is a workdir for --checkpoint. After a stop, the same command "
    "continues."
)
EPILOG = """\
examples:
  colorjax finetune semantic-lite0 --data plants --output runs/plants --only head
  colorjax finetune runs/unet --data indoor --output runs/indoor --add-layer
  colorjax colorize old.jpg --checkpoint runs/plants"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "workdir",
        metavar="WORKDIR",
        help="workdir of a run or of imported weights, a hub folder, or a name of `colorjax "
        "weights list`",
    )
    options.add_download(parser)
    options.add_data(parser, "folder of color photos")
    options.add_output(parser, "workdir to create")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--only", choices=["head"], help="train only the last layer, and freeze all others"
    )
    which.add_argument(
        "--add-layer",
        action="store_true",
        help="train only a small new layer before the last one, and freeze all others",
    )
    parser.add_argument(
        "--steps", type=int, default=200, metavar="N", help="training steps (default: %(default)s)"
    )
    parser.add_argument(
        "--learning-rate",
        type=float,
        metavar="R",
        help="learning rate (default: 1e-4; 1e-3 for a single layer)",
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=16,
        metavar="N",
        help="photos per step (default: %(default)s)",
    )
    parser.add_argument(
        "--size",
        type=int,
        metavar="PX",
        help="size of training photos (default: that of WORKDIR, at most 128)",
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
    options.add_seed(parser, "random seed (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    options.download(args, args.workdir)
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # grain reads them
    jax_setup.log_to_stderr()
    # The table of all layers is only of use to those who build networks.
    logging.getLogger("colorjax.train.loop").addFilter(
        lambda record: not record.getMessage().startswith("parameters:")
    )
    jax_setup.use_compilation_cache("auto")
    from colorjax.finetune import run as finetune  # imports JAX: not for --help

    settings = finetune.Options(
        train_only=args.only or ("added" if args.add_layer else "all"),
        steps=args.steps,
        learning_rate=args.learning_rate,
        batch_size=args.batch_size,
        size=args.size,
        min_side=args.min_side,
        min_chroma=args.min_chroma,
        seed=args.seed,
    )
    result = finetune.finetune(args.workdir, args.data, args.output, settings)
    if result.status:
        return result.status
    photos = result.record["photos"]
    left_out = finetune.describe_left_out(photos["left_out"])
    print(f"{photos['kept']} of {photos['found']} photos; {left_out}")
    print(result.table)
    output = printable(args.output)
    print(f"workdir: {output}; pictures: {output}/finetune.png")
    for warning in result.warnings:
        print(f"colorjax: warning: {warning}", file=sys.stderr)
    unreadable = photos["names_left_out"]["unreadable"]
    for name in unreadable:
        print(f"colorjax: {printable(name)} cannot be read as a photo", file=sys.stderr)
    return 1 if unreadable else 0
