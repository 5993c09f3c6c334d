"""The command `colorjax import-weights`: converts published weights to a workdir."""

from __future__ import annotations

import argparse

from colorjax.cli import options
from colorjax.errors import RequestError
from colorjax.runtime import jax_setup
from colorjax.runtime.file_names import printable

DESCRIPTION = "Converts published PyTorch weights to a workdir for colorize and --mode=eval."
EPILOG = """\
example:
  colorjax import-weights zhang16 colorization_release_v2-9b330a0b.pth --output weights/zhang16
  colorjax import-weights ddcolor ddcolor_modelscope.pth --output weights/ddcolor
  colorjax import-weights deoldify ColorizeArtistic_gen.pth --output weights/deoldify
  colorjax colorize photo.jpg --checkpoint weights/zhang16"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("kind", metavar="KIND", help="zhang16, zhang17, ddcolor or deoldify")
    parser.add_argument(
        "file", metavar="FILE.pth", help="PyTorch state dict; PyTorch itself is not needed"
    )
    options.add_output(parser, "workdir to create")
    parser.add_argument(
        "--folded-temperature",
        type=float,
        metavar="T",
        help="zhang16: temperature folded into the last layer (default: 0.38, as published)",
    )
    parser.add_argument(
        "--mask-cent",
        type=float,
        metavar="M",
        help="zhang17: value subtracted from the hint mask (default: 0, as published)",
    )
    parser.add_argument(
        "--render-factor",
        type=int,
        metavar="N",
        help="deoldify: colors are predicted at a square of N x 16 px (default: 35, as published)",
    )


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    given = {
        "folded_temperature": args.folded_temperature,
        "mask_cent": args.mask_cent,
        "render_factor": args.render_factor,
    }
    meaning = {name: value for name, value in given.items() if value is not None}
    if not meaning.get("folded_temperature", 1.0) > 0:
        raise RequestError(f"--folded-temperature must be above 0, not {args.folded_temperature}")
    jax_setup.quiet_library_logs()
    from colorjax.weights.torch.import_published import import_weights

    for notice in import_weights(args.kind, args.file, args.output, **meaning):
        print(notice)
    print(f"workdir: {printable(args.output)}")
    return 0
