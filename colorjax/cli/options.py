"""Options that several commands share."""

from __future__ import annotations

import argparse
import sys


class Once(argparse.Action):
    """Stores the value of an option that may be given only once."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Stores the value; a second one is an error."""
        given = vars(namespace).setdefault("_given_once", set())
        if self.dest in given:
            parser.error(f"{option_string} is given twice; give it once")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


def add_output(
    parser: argparse.ArgumentParser, help: str, *, metavar: str = "DIR", required: bool = True
) -> None:
    """Adds --output: the folder or file that the command writes."""
    parser.add_argument("--output", metavar=metavar, required=required, help=help)


def add_overwrite(parser: argparse.ArgumentParser, help: str) -> None:
    """Adds --overwrite; without it no existing file is replaced."""
    parser.add_argument("--overwrite", action="store_true", help=help)


def add_download(parser: argparse.ArgumentParser) -> None:
    """Adds --download; without it no weights are downloaded."""
    parser.add_argument(
        "--download",
        action="store_true",
        help="download weights given by name if they are missing, see `colorjax weights list`",
    )


def download(args: argparse.Namespace, *sources: str | None) -> None:
    """Downloads the weights among `sources` that have a name, if --download is given.

    Args:
        args: of a command with `add_download`.
        *sources: names or paths of weights, as the user gave them.

    Raises:
        RequestError: a download failed.
    """
    if not args.download:
        return
    from colorjax.weights import hub_site, store

    def notify(line: str) -> None:
        print(line, file=sys.stderr)  # standard output may be a picture

    for source in filter(None, sources):
        if hub_site.is_name(source):
            hub_site.get(source, notify=notify)
        elif store.is_published(source) and not store.is_installed(source):
            store.get(source, notify=notify)


def add_data(
    parser: argparse.ArgumentParser,
    help: str,
    *,
    metavar: str = "FOLDER",
    default: str | None = None,
    action: str = "store",
) -> None:
    """Adds --data: the photos that the command reads; required if there is no default."""
    required = default is None
    parser.add_argument(
        "--data", metavar=metavar, default=default, action=action, required=required, help=help
    )


def add_tfds(parser: argparse.ArgumentParser) -> None:
    """Adds --split and --data-dir, for data named tfds:NAME."""
    parser.add_argument(
        "--split", default="train", help="split of tfds:NAME (default: %(default)s)"
    )
    parser.add_argument("--data-dir", default="", metavar="DIR", help="data folder of tfds:NAME")


def add_jobs(parser: argparse.ArgumentParser, default: int, help: str) -> None:
    """Adds --jobs: the number of parallel jobs."""
    parser.add_argument("--jobs", action=Once, type=int, default=default, metavar="N", help=help)


def add_seed(parser: argparse.ArgumentParser, help: str, default: int | None = 0) -> None:
    """Adds --seed."""
    parser.add_argument("--seed", type=int, default=default, metavar="S", help=help)


def add_config(parser: argparse.ArgumentParser, workdir: str) -> None:
    """Adds --config and --workdir to a command that trains; fields are --config.FIELD=VALUE.

    Args:
        parser: parser of the command.
        workdir: help text of --workdir.
    """
    parser.set_defaults(fields=[])
    parser.add_argument("--config", required=True, metavar="FILE.py[:ARGS]")
    parser.add_argument("--workdir", required=True, metavar="DIR", help=workdir)
