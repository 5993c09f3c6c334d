"""The command `colorjax train`: trains a config; see `colorjax.main`."""

from __future__ import annotations

import argparse

DESCRIPTION = ""
EPILOG = ""
ADD_HELP = False  # colorjax.main reads all arguments, --help too


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Leaves all arguments to `colorjax.main`."""
    parser.set_defaults(fields=[])


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    from colorjax import main

    return main.run(["colorjax train", *args.fields])
