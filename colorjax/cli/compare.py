"""The command `colorjax compare`: methods side by side on the same photos."""

from __future__ import annotations

import argparse
import sys

from colorjax.cli import options
from colorjax.runtime import jax_setup as startup

DESCRIPTION = (
    "Writes figure.png, metrics.md, metrics.json, index.html and pictures/ of some photos: "
    "grey, each method, truth. A METHOD is [NAME=]PLACE: the workdir of a run or of imported "
    "weights, the name of weights that ship, or a folder of finished pictures."
)
EPILOG = """\
examples:
  colorjax compare semantic-lite0 runs/iizuka --data album --output compared
  colorjax compare ours=runs/unet theirs=finished --data a.jpg --data b.jpg --output compared"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.add_argument(
        "methods", nargs="*", metavar="METHOD", help="[NAME=]PLACE (default: the weights that ship)"
    )
    options.add_data(
        parser,
        "folder of photos, tfds:NAME, or a photo; photos may be repeated",
        action="append",
        metavar="DATA",
    )
    options.add_output(parser, "folder to write")
    options.add_tfds(parser)
    parser.add_argument(
        "--photos", type=int, metavar="N", help="photos shown (8; all that are given as files)"
    )
    parser.add_argument(
        "--metric-photos",
        type=int,
        metavar="M",
        help="photos measured, those shown among them; 0: all (200)",
    )
    options.add_seed(parser, "which photos (0; files in order)", default=None)
    options.add_overwrite(parser, "replace an earlier comparison")


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    startup.hush_libraries()
    from colorjax.evaluate.compare import compare  # imports JAX: not for --help
    from colorjax.weights import named

    words = ("split", "data_dir", "photos", "metric_photos", "seed", "overwrite")
    options = {name: getattr(args, name) for name in words}
    methods = args.methods or [named.DEFAULT]
    found = compare(methods, args.data, args.output, progress=True, **options)
    print(found.table)
    print(found.output / "index.html")
    for name in found.unreadable:
        print(f"colorjax: passed over {name}", file=sys.stderr)
    return 1 if found.unreadable else 0
