"""Reads a config from command-line arguments: `--config=FILE.py[:ARGS] --config.field=value`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from colorjax.errors import RequestError


def read_config(arguments: Sequence[str]) -> ConfigDict:
    """Reads a config without touching the flags of this process.

    Args:
        arguments: `--config=FILE.py[:ARGS]` and `--config.field=value`.

    Raises:
        RequestError: unknown file or field, or a value of the wrong type.
    """
    argv = ["colorjax", *arguments]
    own_flags = flags.FlagValues()
    flag = config_flags.DEFINE_config_file("config", flag_values=own_flags, sys_argv=argv)
    with one_line_errors(argv):
        rest = own_flags(argv)[1:]
        config = flag.value
        if config is None:
            raise ValueError("give a config: --config=configs/plain_cnn.py")
        _ = config.total_steps  # a missing file raises on first access
    if rest:
        raise RequestError(f"unexpected argument {rest[0]!r}; flags look like --name=value")
    return config


@contextlib.contextmanager
def one_line_errors(argv: Sequence[str]) -> Iterator[None]:
    """Turns errors of reading a config into one line; lets a config file import its siblings.

    Args:
        argv: the program's name and its arguments. Read the config inside this context.

    Raises:
        RequestError: the error that reading the config raised, as one line.
    """
    path = path_of(argv)
    # A config file can import its siblings as `configs.NAME` from any current folder.
    if path:
        sys.path.append(str(Path(path).resolve().parent.parent))
    try:
        yield
    except (AttributeError, KeyError) as error:
        raise _unknown_field(argv, error) from None
    except (flags.Error, ValueError, TypeError, OSError, SyntaxError, ImportError) as error:
        # ml_collections puts a traceback before the last line.
        raise RequestError(str(error).strip().splitlines()[-1]) from None


def path_of(argv: Sequence[str]) -> str:
    """Returns the path of the config file, without its arguments; "" without --config."""
    return _config_flag(argv).split(":", 1)[0]


def _config_flag(argv: Sequence[str]) -> str:
    """Returns the value of --config=VALUE or --config VALUE; "" without --config."""
    for index, argument in enumerate(argv):
        name, has_value, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name == "config":
            return value if has_value else "".join(argv[index + 1 : index + 2])
    return ""


def _unknown_field(argv: Sequence[str], error: Exception) -> RequestError:
    """Returns the error for the first --config.a.b that the config lacks."""
    own_flags = flags.FlagValues()
    unchanged = config_flags.DEFINE_config_file("config", flag_values=own_flags, sys_argv=[])
    own_flags([argv[0], f"--config={_config_flag(argv)}"])
    config = unchanged.value
    for argument in argv[1:]:
        first, *parts = argument.lstrip("-").split("=", 1)[0].split(".")
        node, path = config, "config"
        for part in parts if first == "config" else ():
            fields = list(node) if isinstance(node, ConfigDict) else []
            if part not in fields:
                known = ", ".join(sorted(fields)) or "nothing, it is a value"
                return RequestError(f"{path} has no field {part!r}; it has: {known}")
            node, path = node[part], f"{path}.{part}"
    return RequestError(f"--config: {error}")
