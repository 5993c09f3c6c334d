"""Reads a config from command-line arguments: `--config=NAME[:ARGS] --config.field=value`."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from colorjax.errors import RequestError, did_you_mean
from colorjax.runtime import foreign_files

_INSTALLED = Path(__file__).with_name("configs")  # in a wheel
_NO_METHOD = ("__init__", "default", "from_json")


def folder() -> Path:
    """Returns the folder of the configs that come with colorjax."""
    return _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[1] / "configs"


def names() -> list[str]:
    """Returns the names of the configs that come with colorjax, such as "unet"."""
    return sorted(file.stem for file in folder().glob("*.py") if file.stem not in _NO_METHOD)


def defaults() -> ConfigDict:
    """Returns all fields with their defaults, of configs/default.py."""
    spec = importlib.util.spec_from_file_location("colorjax_defaults", folder() / "default.py")
    return _loaded(spec).get_config()


def read_config(arguments: Sequence[str]) -> ConfigDict:
    """Reads a config without touching the flags of this process.

    Args:
        arguments: `--config=NAME[:ARGS]` and `--config.field=value`; see `with_file`.

    Raises:
        RequestError: unknown config or field, or a value of the wrong type.
    """
    argv = with_file(["colorjax", *arguments])
    own_flags = flags.FlagValues()
    flag = config_flags.DEFINE_config_file("config", flag_values=own_flags, sys_argv=argv)
    with one_line_errors(argv):
        rest = own_flags(argv)[1:]
        config = flag.value
        if config is None:
            raise ValueError(NO_CONFIG)
        _ = config.total_steps  # a missing file raises on first access
    if rest:
        raise RequestError(f"unexpected argument {rest[0]!r}; flags look like --name=value")
    return config


NO_CONFIG = "give a config, such as --config=unet"


def with_file(argv: Sequence[str]) -> list[str]:
    """Returns the arguments with the file that --config names.

    `unet` is the config of that name that comes with colorjax, and so is configs/unet.py where
    there is no such file; any other FILE.py is a file; RUN/config.json is the config of an earlier
    run. Arguments after a colon stay.

    Raises:
        RequestError: there is no such config.
    """
    result = list(argv)
    for index, argument in enumerate(argv):
        name, has_value, value = argument.partition("=")
        if name.lstrip("-") != "config" or not name.startswith("-"):
            continue
        if has_value:
            result[index] = f"{name}={_file_of(value)}"
        elif index + 1 < len(argv):
            result[index + 1] = _file_of(argv[index + 1])
    return result


def _file_of(value: str) -> str:
    """Returns FILE.py[:ARGS] for the value of --config."""
    if value.endswith(".json"):
        _check_json(value)
        return f"{folder() / 'from_json.py'}:{value}"
    name, colon, args = value.partition(":")
    if name in names():
        return f"{folder() / name}.py{colon}{args}"
    if name and not os.path.exists(name):
        known = names()
        stem = Path(name).stem
        if stem in known and Path(name) == Path("configs", f"{stem}.py"):
            return f"{folder() / stem}.py{colon}{args}"
        if stem in known:
            raise RequestError(f"--config: {name} does not exist; use --config={stem}")
        hint = did_you_mean(stem, known)
        raise RequestError(f"--config: {name} does not exist{hint}; known: {', '.join(known)}")
    return value


def _check_json(path: str) -> None:
    """Raises a RequestError if config.json of a run is damaged; configs/from_json.py reads it."""
    with contextlib.suppress(FileNotFoundError):
        fields = foreign_files.read_json(path)
        if not isinstance(fields, dict):
            return
        flaw = find_wrong_type(fields)
        if not flaw and "name" not in fields.get("model", {"name": ""}):
            flaw = "it lacks model.name"
        if flaw:
            raise foreign_files.damaged(path, flaw)


_FREE_FORM = ("model", "critic")  # their fields depend on the network
_SEVERAL_TYPES = ("nogan.pick", "data.weights")
_LARGEST = 2**20  # of the numbers that describe a network
_MOST = 2**10  # values in one of its lists


def find_wrong_type(fields: Mapping[str, Any]) -> str:
    """Returns what is wrong with the fields of a config.json, such as "total_steps is 'x'".

    Compares the types with those of the defaults, and bounds the numbers that describe a network.
    Missing and unknown fields are not looked at. "" if nothing is wrong.
    """
    flaws = (_wrong_network(name, fields.get(name, {})) for name in _FREE_FORM)
    return _wrong_type(fields, defaults().to_dict()) or next(filter(None, flaws), "")


def _wrong_type(fields: Mapping[str, Any], defaults: Mapping[str, Any], prefix: str = "") -> str:
    """Returns which field has another type than its default; "" if none has."""
    for name, default in defaults.items():
        if name not in fields or prefix + name in _SEVERAL_TYPES:
            continue
        value = fields[name]
        flaw = "" if _fits(value, default) else f"{prefix}{name} is {_shown(value)}"
        if not flaw and isinstance(default, Mapping) and name not in _FREE_FORM:
            flaw = _wrong_type(value, default, f"{name}.")
        if flaw:
            return flaw
    return ""


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, bool):
        return isinstance(value, bool)
    if isinstance(default, int):
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(default, float):
        return _is_number(value)
    if isinstance(default, tuple):
        return isinstance(value, list)
    return isinstance(value, Mapping if isinstance(default, Mapping) else type(default))


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _wrong_network(section: str, fields: Mapping[str, Any]) -> str:
    """Returns why the fields of a network cannot be its attributes; "" if they may be."""
    for name, value in fields.items():
        values = value if isinstance(value, list) else [value]
        is_name = name != "name" or isinstance(value, str)
        if len(values) > _MOST or not is_name or not all(map(_is_attribute, values)):
            return f"{section}.{name} is {_shown(value)}"
    return ""


def _is_attribute(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= _MOST and not any(isinstance(item, list | dict) for item in value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _is_number(value) and abs(value) <= _LARGEST
    return value is None or isinstance(value, bool | str)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@contextlib.contextmanager
def one_line_errors(argv: Sequence[str]) -> Iterator[None]:
    """Turns errors of reading a config into one line; lets a config file import its siblings.

    Args:
        argv: the program's name and its arguments. Read the config inside this context.

    Raises:
        RequestError: the error that reading the config raised, as one line.
    """
    path = path_of(argv)
    if path and Path(path).resolve().parent == folder().resolve():
        _import_configs()
    elif path:  # a config file can import its siblings as `configs.NAME` from any current folder
        sys.path.append(str(Path(path).resolve().parent.parent))
    try:
        yield
    except (AttributeError, KeyError) as error:
        raise _unknown_field(argv, error) from None
    except (flags.Error, ValueError, TypeError, OSError, SyntaxError, ImportError) as error:
        # ml_collections puts a traceback before the last line.
        raise RequestError(str(error).strip().splitlines()[-1]) from None


def _import_configs() -> None:
    """Imports the folder of configs as the package `configs`, wherever it is installed."""
    if "configs" in sys.modules:
        return
    init = folder() / "__init__.py"
    spec = importlib.util.spec_from_file_location(
        "configs", init, submodule_search_locations=[str(init.parent)]
    )
    sys.modules["configs"] = _loaded(spec)


def _loaded(spec: ModuleSpec | None) -> ModuleType:
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
                return _no_field(config, path, part, fields)
            node, path = node[part], f"{path}.{part}"
    return RequestError(f"--config: {error}")


def _no_field(config: ConfigDict, path: str, part: str, fields: list[str]) -> RequestError:
    """Returns the error for a missing field; names fields like it, in its group or elsewhere."""
    elsewhere = [name for name in _paths(config) if name.rpartition(".")[2] == part]
    hint = f" (did you mean config.{elsewhere[0]}?)" if elsewhere else did_you_mean(part, fields)
    known = ", ".join(sorted(fields)) or "nothing, it is a value"
    return RequestError(f"{path} has no field {part!r}{hint or f'; it has: {known}'}")


def _paths(config: ConfigDict, prefix: str = "") -> Iterator[str]:
    for name, value in config.items():
        yield prefix + name
        if isinstance(value, ConfigDict):
            yield from _paths(value, f"{prefix}{name}.")
