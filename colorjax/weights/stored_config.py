"""Reads config.json of a workdir, which may be damaged or come from a stranger, as data only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from etils import epath
from ml_collections import ConfigDict

from colorjax import config as config_files
from colorjax.runtime import foreign_files

# Fields that predictions need; those that a training needs are needed with an optimizer only.
_PREDICTION = ("model.name", "dtype", "data.image_size", "inference.size")
_TRAINING = (
    "total_steps",
    "optimizer.name",
    "optimizer.schedule",
    "optimizer.b1",
    "optimizer.ema_decay",
)
_FREE_FORM = ("model", "critic")  # their fields depend on the network
_SEVERAL_TYPES = ("nogan.pick", "data.weights")
_LARGEST = 2**20  # of the numbers that describe a network
_MOST = 2**10  # values in one of its lists


def read(path: epath.Path) -> ConfigDict:
    """Returns the config in a file.

    Raises:
        RequestError: it is damaged, lacks fields, or has fields of the wrong type.
        FileNotFoundError: there is none.
    """
    fields = foreign_files.read_json(path)
    if not isinstance(fields, dict):
        raise foreign_files.damaged(path, "it is not the config of a run")
    needed = _PREDICTION + (_TRAINING if "optimizer" in fields else ())
    flaw = (
        _wrong_type(fields, config_files.defaults().to_dict())
        or next((f"it lacks {name}" for name in needed if not _has(fields, name)), "")
        or _wrong_network(fields["model"])
    )
    if flaw:
        raise foreign_files.damaged(path, flaw)
    try:
        return ConfigDict(fields, convert_dict=True)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise foreign_files.damaged(path, str(error).splitlines()[0]) from None


def _has(fields: Mapping[str, Any], name: str) -> bool:
    section, _, field = name.rpartition(".")
    return field in (fields.get(section, {}) if section else fields)


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


def _wrong_network(model: Mapping[str, Any]) -> str:
    """Returns why the fields of a network cannot be its attributes; "" if they may be."""
    if not isinstance(model["name"], str):
        return f"model.name is {_shown(model['name'])}"
    for name, value in model.items():
        values = value if isinstance(value, list) else [value]
        if len(values) > _MOST or not all(map(_is_attribute, values)):
            return f"model.{name} is {_shown(value)}"
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
