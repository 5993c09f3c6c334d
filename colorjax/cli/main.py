"""The `colorjax` command: reads the arguments and runs one subcommand."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import NoReturn

from colorjax.errors import (
    DONE,
    STOPPED,
    WRONG_REQUEST,
    Interrupted,
    RequestError,
    did_you_mean,
    unknown_name,
)
from colorjax.runtime import jax_setup
from colorjax.runtime.file_names import printable
from colorjax.version import __version__

# name -> one line of `colorjax --help`. A command is the module of that name in this folder, with
# DESCRIPTION, EPILOG, add_arguments(parser) and run(args). Only the requested one is imported.
COMMANDS = {
    "colorize": "colorize photos, folders of photos and films",
    "watch": "colorize the photos that arrive in a folder",
    "warm": "compile ahead, so that the first photo starts sooner",
    "serve": "open a page in the browser: colorize and correct photos by hand",
    "decolorize": "make gray copies of photos",
    "compare": "compare methods on the same photos, with pictures and metrics",
    "evaluate": "measure weights by a named protocol, with trivial baselines",
    "train": "train a config, or resume its training",
    "eval": "evaluate a run on its test photos",
    "prepare": "write photos as array_record shards, for large data sets",
    "prior": "count the colors of a data set, for loss.prior",
    "finetune": "fine-tune weights on your own photos",
    "calibrate": "choose working size, decoding and saturation of weights on held-out photos",
    "tune": "search for good values of config fields, with Optuna",
    "sweep": "train a config with every combination of field values",
    "import-weights": "convert published weights to a workdir",
    "export": "write weights as an ONNX model for other programs",
    "weights": "list, download and publish weights",
}
_EPILOG = """\
examples:
  colorjax colorize grandma.jpg                     -> grandma.color.jpg
  colorjax colorize album --output colored
  colorjax colorize --help                          all options of a command
"""


class _Parser(argparse.ArgumentParser):
    """An argparse parser that raises RequestError for wrong arguments."""

    def error(self, message: str) -> NoReturn:
        raise RequestError(f"{message}; see {self.prog} --help")


def run(argv: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: arguments after `colorjax`; None: those of this process.

    Returns:
        The exit status, see `colorjax.errors`.
    """
    try:
        args = parse(argv)
        with jax_setup.device_errors():
            return args.act(args)
    except RequestError as error:
        print(f"colorjax: {printable(error)}", file=sys.stderr)
        return WRONG_REQUEST
    except Interrupted as error:
        print(f"colorjax: {printable(error)}", file=sys.stderr)
        return STOPPED
    except OSError as error:  # a full disk, a folder without the right to write, a lost mount
        path = printable(error.filename or error.__class__.__name__)
        print(
            f"colorjax: {path}: {printable(error.strerror or error)}; "
            "the same command continues once that is fixed",
            file=sys.stderr,
        )
        return WRONG_REQUEST
    except KeyboardInterrupt:
        print("colorjax: interrupted; the same command continues", file=sys.stderr)
        return STOPPED
    except SystemExit as ended:  # --help and --version
        return ended.code if isinstance(ended.code, int) else 0


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Parses the arguments after `colorjax`; None: those of this process.

    Raises:
        RequestError: there is no such command or option.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser, command = _parsers(argv)
    if not argv:
        parser.print_help()
        raise SystemExit(DONE)
    args, rest = parser.parse_known_args(argv)
    if rest and "fields" not in args:
        raise _unknown_arguments(rest, command)
    if rest:
        args.fields = rest  # --config.NAME=VALUE
    return args


def _unknown_arguments(rest: list[str], parser: argparse.ArgumentParser) -> RequestError:
    option = rest[0].partition("=")[0]
    known = [name for action in parser._actions for name in action.option_strings]
    hint = did_you_mean(option, known) if option.startswith("--") else ""
    return RequestError(f"unrecognized arguments: {' '.join(rest)}{hint}; see {parser.prog} --help")


def _parsers(argv: list[str]) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """Returns a parser of all command names, and the one of the command in `argv`.

    Only that command has its options. Without a command in `argv` the two are the same.
    """
    parser = _Parser(
        prog="colorjax",
        description="Colorizes black-and-white photos and films; trains and measures networks.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"colorjax {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    wanted = next((arg for arg in argv if not arg.startswith("-")), None)
    if wanted is not None and wanted not in COMMANDS:
        raise unknown_name("command", wanted, COMMANDS)
    chosen: argparse.ArgumentParser = parser
    for name, summary in COMMANDS.items():
        if name != wanted:
            commands.add_parser(name, help=summary)
            continue
        command = importlib.import_module(f"colorjax.cli.{name.replace('-', '_')}")
        chosen = commands.add_parser(
            name,
            help=summary,
            description=command.DESCRIPTION,
            epilog=command.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=getattr(command, "ADD_HELP", True),
        )
        command.add_arguments(chosen)
        chosen.set_defaults(act=command.run)
    return parser, chosen
