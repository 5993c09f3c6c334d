"""Options that several commands have: each is declared here, once."""

from __future__ import annotations

import argparse


class Once(argparse.Action):
    """Stores the value of an option that may be given once."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Refuses the second one."""
        given = vars(namespace).setdefault("_given_once", set())
        if self.dest in given:
            parser.error(f"{option_string} is given twice; give it once")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


def add_output(
    parser: argparse.ArgumentParser, help: str, *, metavar: str = "DIR", required: bool = True
) -> None:
    """Declares --output: the folder or file that the command writes."""
    parser.add_argument("--output", metavar=metavar, required=required, help=help)


def add_overwrite(parser: argparse.ArgumentParser, help: str) -> None:
    """Declares --overwrite: without it nothing that exists is replaced."""
    parser.add_argument("--overwrite", action="store_true", help=help)


def add_data(
    parser: argparse.ArgumentParser,
    help: str,
    *,
    metavar: str = "FOLDER",
    default: str | None = None,
    action: str = "store",
) -> None:
    """Declares --data: the photos that the command reads; required where it has no default."""
    required = default is None
    parser.add_argument(
        "--data", metavar=metavar, default=default, action=action, required=required, help=help
    )


def add_tfds(parser: argparse.ArgumentParser) -> None:
    """Declares --split and --data-dir, of data named tfds:NAME."""
    parser.add_argument("--split", default="train", help="of tfds:NAME (default: %(default)s)")
    parser.add_argument("--data-dir", default="", metavar="DIR", help="of tfds:NAME")


def add_jobs(parser: argparse.ArgumentParser, default: int, help: str) -> None:
    """Declares --jobs: how much is under way at a time."""
    parser.add_argument("--jobs", action=Once, type=int, default=default, metavar="N", help=help)


def add_seed(parser: argparse.ArgumentParser, help: str, default: int | None = 0) -> None:
    """Declares --seed."""
    parser.add_argument("--seed", type=int, default=default, metavar="S", help=help)


def add_config(parser: argparse.ArgumentParser, workdir: str) -> None:
    """Declares --config and --workdir of a command that trains; fields are --config.FIELD=VALUE.

    Args:
        parser: of the command.
        workdir: what the folder is for.
    """
    parser.set_defaults(fields=[])
    parser.add_argument("--config", required=True, metavar="FILE.py[:ARGS]")
    parser.add_argument("--workdir", required=True, metavar="DIR", help=workdir)
