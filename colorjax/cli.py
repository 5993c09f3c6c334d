"""The `colorjax` command for people: colorize."""

from __future__ import annotations

import argparse
import logging
import sys
from typing import NoReturn

from colorjax.errors import RequestError
from colorjax.version import __version__

_STOPPED = 75  # exit status

_EXAMPLES = """\
examples:
  colorjax colorize grandma.jpg --checkpoint runs/plain_cnn     -> grandma.color.jpg
  colorjax colorize album --output coloured --checkpoint runs/plain_cnn
"""


class _Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are requests to mend."""

    def error(self, message: str) -> NoReturn:
        raise RequestError(f"{message}; see {self.prog} --help")


def run(argv: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the words after `colorjax`; None: those of this process.

    Returns:
        The exit status: 0 done; 1 some photos failed; 2 the request is wrong; 75 interrupted.
    """
    try:
        args = _parser().parse_args(argv)
        return args.act(args)
    except RequestError as error:
        print(f"colorjax: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("colorjax: interrupted; the same command continues", file=sys.stderr)
        return _STOPPED
    except SystemExit as ended:  # --help and --version
        return ended.code if isinstance(ended.code, int) else 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="colorjax",
        description="Gives black-and-white photos colour.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"colorjax {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_colorize(commands)
    return parser


def _add_colorize(commands: argparse._SubParsersAction) -> None:
    colorize = commands.add_parser(
        "colorize",
        help="colorize photos and folders of photos",
        description="Colorizes photos; their lightness, size and metadata stay.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    colorize.set_defaults(act=_colorize)
    colorize.add_argument("inputs", nargs="+", metavar="INPUT", help="photo, or folder of photos")
    colorize.add_argument(
        "--output", metavar="DIR", help="folder for the results; default NAME.color.EXT beside each"
    )
    colorize.add_argument("--checkpoint", metavar="WORKDIR", help="folder of a trained run")
    colorize.add_argument(
        "--overwrite", action="store_true", help="replace existing results instead of skipping"
    )


def _colorize(args: argparse.Namespace) -> int:
    if not args.checkpoint:
        raise RequestError(
            "colorize needs weights: give --checkpoint WORKDIR, the folder of a run of "
            "colorjax.main (a later version brings `colorjax import-weights` for published ones)"
        )
    from colorjax.inference import batch

    jobs = batch.plan(args.inputs, args.output)

    def load():
        _hush_libraries()
        from colorjax.inference.colorizer import Colorizer  # imports JAX: only for right requests

        return Colorizer.load(args.checkpoint)

    return batch.colorize_files(jobs, load, args.output, overwrite=args.overwrite)


def _hush_libraries() -> None:
    """Leaves only the warnings of the libraries, which log through absl, and not JAX's on TPUs."""
    from absl import logging as absl_logging

    absl_logging.set_verbosity(absl_logging.WARNING)
    logging.getLogger("jax._src.xla_bridge").addFilter(
        lambda record: "Unable to initialize backend 'tpu'" not in record.getMessage()
    )
