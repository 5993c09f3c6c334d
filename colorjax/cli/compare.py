"""The command `colorjax compare`: pictures and metrics of methods on the same photos."""

from __future__ import annotations

import argparse
import sys

from colorjax.cli import options
from colorjax.runtime import jax_setup
from colorjax.runtime.file_names import printable

DESCRIPTION = (
    "Writes figure.png, metrics.md, metrics.json, index.html and pictures/ of some photos: "
    "gray, each method, truth. A METHOD is [NAME=]SOURCE: the workdir of a run or of imported "
    "weights, the name of bundled weights, or a folder of finished pictures."
)
EPILOG = """\
examples:
  colorjax compare semantic-lite0 runs/iizuka --data album --output compared
  colorjax compare ours=runs/unet theirs=finished --data a.jpg --data b.jpg --output compared"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "methods", nargs="*", metavar="METHOD", help="[NAME=]SOURCE (default: the bundled weights)"
    )
    options.add_data(
        parser,
        "folder of photos, tfds:NAME, or a photo; photos may be repeated",
        action="append",
        metavar="DATA",
    )
    options.add_output(parser, "folder to write")
    options.add_download(parser)
    options.add_tfds(parser)
    parser.add_argument(
        "--photos",
        type=int,
        metavar="N",
        help="photos in the figure (default: 8; all photos given as files)",
    )
    parser.add_argument(
        "--metric-photos",
        type=int,
        metavar="M",
        help="photos in the metrics, those of the figure included; 0: all (default: 200)",
    )
    options.add_seed(
        parser, "seed of the draw of photos (default: 0; files in order)", default=None
    )
    options.add_overwrite(parser, "replace an earlier comparison")


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    jax_setup.quiet_library_logs()
    options.download(args, *(text.rpartition("=")[2] for text in args.methods))
    from colorjax.evaluate.compare import compare  # imports JAX: not for --help
    from colorjax.weights import named

    names = ("split", "data_dir", "photos", "metric_photos", "seed", "overwrite")
    settings = {name: getattr(args, name) for name in names}
    methods = args.methods or [named.DEFAULT]
    comparison = compare(methods, args.data, args.output, progress=True, **settings)
    print(comparison.table)
    print(printable(comparison.output / "index.html"))
    for name in comparison.unreadable:
        print(f"colorjax: skipped {printable(name)}", file=sys.stderr)
    return 1 if comparison.unreadable else 0
