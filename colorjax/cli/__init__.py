"""The `colorjax` command: one file per command, loaded when it is called."""

from colorjax.cli.main import run

__all__ = ["run"]
