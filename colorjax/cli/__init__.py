"""The `colorjax` command: a file for each command, loaded when it is called."""

from colorjax.cli.main import run

__all__ = ["run"]
