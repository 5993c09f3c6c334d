"""Configs by the words of a command line: `--config=FILE.py[:ARGS] --config.field=value`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from colorjax.errors import RequestError


def read_config(words: Sequence[str]) -> ConfigDict:
    """Reads a config, apart from the flags of this process.

    Args:
        words: `--config=FILE.py[:ARGS]` and `--config.field=value`.

    Raises:
        RequestError: there is no such file or field, or a value of another type; in one line.
    """
    argv = ["colorjax", *words]
    alone = flags.FlagValues()
    flag = config_flags.DEFINE_config_file("config", flag_values=alone, sys_argv=argv)
    with one_line_errors(argv):
        rest = alone(argv)[1:]
        config = flag.value
        if config is None:
            raise ValueError("give a config: --config=configs/plain_cnn.py")
        _ = config.total_steps  # a missing file is told when it is used
    if rest:
        raise RequestError(f"unexpected argument {rest[0]!r}; flags look like --name=value")
    return config


@contextlib.contextmanager
def one_line_errors(argv: Sequence[str]) -> Iterator[None]:
    """Lets a config file import its siblings, and tells what is wrong with it in one line.

    Args:
        argv: the program's name and the words; the config is to be read within.

    Raises:
        RequestError: what reading the config raised, as one line.
    """
    path = path_of(argv)
    # Lets a config file import its siblings as `configs.NAME` from any current folder.
    if path:
        sys.path.append(str(Path(path).resolve().parent.parent))
    try:
        yield
    except (AttributeError, KeyError) as error:
        raise _unknown_field(argv, error) from None
    except (flags.Error, ValueError, TypeError, OSError, SyntaxError, ImportError) as error:
        # The last line says what is wrong; ml_collections puts a traceback before it.
        raise RequestError(str(error).strip().splitlines()[-1]) from None


def path_of(argv: Sequence[str]) -> str:
    """Returns the file of the config, without its arguments; "" where there is none."""
    return _config_flag(argv).split(":", 1)[0]


def _config_flag(argv: Sequence[str]) -> str:
    """Returns the value of --config=VALUE or --config VALUE; "" where there is none."""
    for place, word in enumerate(argv):
        name, has_value, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name == "config":
            return value if has_value else "".join(argv[place + 1 : place + 2])
    return ""


def _unknown_field(argv: Sequence[str], error: Exception) -> RequestError:
    """Names the --config.a.b of the command line that the config does not have."""
    alone = flags.FlagValues()
    as_it_is = config_flags.DEFINE_config_file("config", flag_values=alone, sys_argv=[])
    alone([argv[0], f"--config={_config_flag(argv)}"])
    config = as_it_is.value
    for word in argv[1:]:
        first, *parts = word.lstrip("-").split("=", 1)[0].split(".")
        node, where = config, "config"
        for part in parts if first == "config" else ():
            fields = list(node) if isinstance(node, ConfigDict) else []
            if part not in fields:
                known = ", ".join(sorted(fields)) or "nothing, it is a value"
                return RequestError(f"{where} has no field {part!r}; it has: {known}")
            node, where = node[part], f"{where}.{part}"
    return RequestError(f"--config: {error}")
