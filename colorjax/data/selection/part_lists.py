"""Files that assign the photos of a data set to training, validation and test (eval)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from etils import epath

from colorjax.data.sources.source import Source
from colorjax.data.sources.subsets import Subset
from colorjax.errors import RequestError
from colorjax.runtime import atomic, foreign_files, paths

PARTS = ("train", "validation", "eval")


def write(path: epath.Path | Path, parts: Mapping[str, Sequence[str]]) -> None:
    """Writes the names of the photos of each part, atomically."""
    named = {part: list(parts[part]) for part in PARTS}
    atomic.write_bytes(path, (json.dumps(named, indent=1) + "\n").encode())


def read(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Reads a file of `write` or of a user.

    Returns:
        "train", "validation" and "eval" -> names of photos; a part missing in the file is empty.

    Raises:
        RequestError: the file is missing, is not valid, or names a photo twice.
    """
    file = os.fspath(path)
    try:
        content = foreign_files.parse_json(paths.locate(path).read_bytes())
        parts = {part: [str(name) for name in content.get(part, [])] for part in PARTS}
    except (OSError, ValueError, AttributeError, TypeError):
        raise RequestError(
            f'data.parts={file!r} is not a JSON file of {{"train": [NAME, ...], "validation": ..., '
            "\"eval\": ...}; fix it, or set data.parts=''"
        ) from None
    names = [name for part in parts.values() for name in part]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise RequestError(f"data.parts={file!r} names {twice!r} twice; name each photo once")
    return parts


def open_parts(source: Source, path: str | os.PathLike[str]) -> list[Subset]:
    """Returns the training, validation and test photos, each in the source's order.

    Raises:
        RequestError: as `read`; no training photo, or a photo that is not in the source.
    """
    file = os.fspath(path)
    parts = read(path)
    if not parts["train"]:
        raise RequestError(f'data.parts={file!r} names no training photos; add some under "train"')
    numbers = {key: number for number, key in enumerate(source.keys)}
    missing = [name for part in PARTS for name in parts[part] if name not in numbers]
    if missing:
        raise RequestError(
            f"data.parts={file!r} names {len(missing)} photos that are not in data.path, the "
            f"first {missing[0]!r}; restore them, or remove them from the file"
        )
    return [
        Subset(source, np.sort([numbers[n] for n in parts[part]]).astype(int)) for part in PARTS
    ]
