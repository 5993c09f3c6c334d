"""The command `colorjax warm`: compiles programs ahead of the first photo."""

from __future__ import annotations

import argparse
import time

from colorjax.cli import color_options, options
from colorjax.runtime import jax_setup
from colorjax.weights import named

DESCRIPTION = "Compiles the programs that colorize photos, so that the first photo starts sooner."
EPILOG = """\
examples:
  colorjax warm
  colorjax warm --checkpoint zhang16 --size 256
  colorjax warm --engine onnx

Weights, size and engine must be those of the later `colorjax colorize`. Programs for photos of 1:1,
5:4, 4:3, 3:2 and 16:9 are compiled, upright and sideways; those of other shapes when they come."""
_ASPECTS = ((1, 1), (5, 4), (4, 3), (3, 2), (16, 9))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "--checkpoint",
        metavar="WEIGHTS",
        default=named.DEFAULT,
        help="weights, as of `colorjax colorize` (default: %(default)s)",
    )
    color_options.add_loading(parser)
    color_options.add_engine(parser)
    options.add_download(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    options.download(args, args.checkpoint)
    jax_setup.quiet_library_logs()
    jax_setup.use_compilation_cache("auto")
    from colorjax.inference.colorizer import Colorizer

    start = time.perf_counter()
    loading = {name: getattr(args, name) for name in color_options.LOADING}
    colorizer = Colorizer.load(args.checkpoint, engine=args.engine, **loading)
    sizes = [(1000 * height, 1000 * width) for height, width in _ASPECTS]
    number = colorizer.warm([*sizes, *((width, height) for height, width in sizes)])
    seconds = time.perf_counter() - start
    print(
        f"{colorizer.name}, {colorizer.engine}: ready for {number} working sizes ({seconds:.0f} s)"
    )
    return 0
