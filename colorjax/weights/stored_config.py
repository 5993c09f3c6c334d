"""Reads config.json of a workdir, which may be damaged or come from a stranger, as data only."""

from __future__ import annotations

import os
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


def read(path: epath.Path) -> ConfigDict:
    """Returns the config in a file.

    Raises:
        RequestError: it is damaged, lacks fields, or has fields of the wrong type.
        FileNotFoundError: there is none.
    """
    return from_fields(path, foreign_files.read_json(path))


def from_fields(path: str | os.PathLike[str], fields: Any) -> ConfigDict:
    """Returns the config with these fields.

    Args:
        path: the file that contains them, for errors.
        fields: nested mappings, as JSON gives them.

    Raises:
        RequestError: see `read`.
    """
    if not isinstance(fields, dict):
        raise foreign_files.damaged(path, "it is not the config of a run")
    needed = _PREDICTION + (_TRAINING if "optimizer" in fields else ())
    flaw = config_files.find_wrong_type(fields) or next(
        (f"it lacks {name}" for name in needed if not _has(fields, name)), ""
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
