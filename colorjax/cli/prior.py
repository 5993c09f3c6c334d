"""The command `colorjax prior`: counts the color prior of a data set."""

from __future__ import annotations

import argparse
import sys

from colorjax.cli import options
from colorjax.errors import RequestError
from colorjax.runtime import jax_setup, paths, waiting
from colorjax.runtime.file_names import printable

DESCRIPTION = "Writes the fraction of a data set's pixels in each of the 313 color bins."
EPILOG = """\
example:
  colorjax prior PHOTOS --output prior.npz"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "data", metavar="DATA", help="folder of photos or of array_record shards, or tfds:NAME"
    )
    options.add_output(parser, "file to write", metavar="FILE.npz")
    options.add_tfds(parser)
    parser.add_argument(
        "--short-side",
        type=int,
        default=256,
        metavar="PX",
        help="shrink larger photos to this short side (default: %(default)s)",
    )
    parser.add_argument(
        "--weight",
        action="append",
        default=[],
        metavar="SOURCE=W",
        help="count photos as often as training with this weight of data.weights; may be repeated",
    )
    options.add_overwrite(parser, "replace an existing file")


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    output = paths.local(args.output)
    if output.suffix != ".npz":
        raise RequestError(f"--output {args.output!r} must end in .npz")
    if output.exists() and not args.overwrite:
        raise RequestError(f"{args.output!r} exists; give another --output, or --overwrite")
    if args.short_side < 8:
        raise RequestError(f"--short-side must be at least 8 pixels, not {args.short_side}")
    from tqdm import tqdm

    from colorjax.data import prior
    from colorjax.data.selection import splits, weighting

    jax_setup.quiet_library_logs()
    weights = [_weight(weight) for weight in args.weight]
    source = splits.open_data(args.data, args.data_dir, args.split)
    if weights:
        source = weighting.first_pass(source, weights)
    with tqdm(total=len(source), unit="photo", disable=None) as bar, waiting.ticking(bar):
        result = prior.count(source, short_side=args.short_side, progress=bar.update)
    arguments = " ".join([args.data, *(f"--weight {weight}" for weight in args.weight)])
    prior.save(output, result, f"colorjax prior {arguments}, {result.num_photos} photos")
    print(f"{printable(output)}: {result.num_photos} photos, {result.num_pixels} pixels")
    flaws = result.flaws()
    for flaw in flaws:
        print(f"colorjax: {flaw}", file=sys.stderr)
    if not flaws:
        print("checked: sums to 1, is highest at gray, has no empty bin")
    return 0


def _weight(text: str) -> tuple[str, float]:
    name, _, number = text.rpartition("=")
    try:
        return name, float(number)
    except ValueError:
        raise RequestError(f"--weight {text!r} must be SOURCE=NUMBER") from None
