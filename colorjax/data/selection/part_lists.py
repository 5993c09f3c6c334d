"""A file that says which photos of a data set train, which choose and which are reported."""

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
from colorjax.runtime import atomic, paths

PARTS = ("train", "validation", "eval")


def write(path: epath.Path | Path, parts: Mapping[str, Sequence[str]]) -> None:
    """Writes the names of the photos of each part, in one step."""
    named = {part: list(parts[part]) for part in PARTS}
    atomic.write_bytes(path, (json.dumps(named, indent=1) + "\n").encode())


def read(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Reads what `write` wrote, or a user did.

    Returns:
        "train", "validation" and "eval" -> names of photos; a part that the file lacks is empty.

    Raises:
        RequestError: the file is missing or is none, or names a photo twice.
    """
    place = os.fspath(path)
    try:
        found = json.loads(paths.locate(path).read_bytes())
        parts = {part: [str(name) for name in found.get(part, [])] for part in PARTS}
    except (OSError, ValueError, AttributeError, TypeError):
        raise RequestError(
            f'data.parts={place!r} is no JSON file of {{"train": [NAME, ...], "validation": ..., '
            "\"eval\": ...}; mend it, or set data.parts=''"
        ) from None
    names = [name for part in parts.values() for name in part]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise RequestError(f"data.parts={place!r} names {twice!r} twice; name each photo once")
    return parts


def open_parts(source: Source, path: str | os.PathLike[str]) -> list[Subset]:
    """Returns the photos to train on, to choose by and to report on, in the source's order.

    Raises:
        RequestError: as `read`; no photo to train on, or one that the source does not have.
    """
    place = os.fspath(path)
    parts = read(path)
    if not parts["train"]:
        raise RequestError(f"data.parts={place!r} names no photo to train on")
    numbers = {key: number for number, key in enumerate(source.keys)}
    missing = [name for part in PARTS for name in parts[part] if name not in numbers]
    if missing:
        raise RequestError(
            f"data.parts={place!r} names {len(missing)} photos that data.path does not have, the "
            f"first {missing[0]!r}; put them back, or take them out of the file"
        )
    return [
        Subset(source, np.sort([numbers[n] for n in parts[part]]).astype(int)) for part in PARTS
    ]
