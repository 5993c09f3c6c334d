"""Class labels of photos, from their folders or from a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from colorjax.errors import RequestError
from colorjax.runtime import paths

NO_LABEL = -1


def from_folders(keys: Sequence[str], rule: str) -> list[str]:
    """Returns the class name of each photo, taken from its folders.

    Args:
        keys: paths relative to the data's root, with "/" between parts.
        rule: "folder": the first folder below the root; "path": the whole folder path. A Places365
            tree (`a/airfield`, `a/apartment_building/outdoor`) gives the class with both rules:
            `airfield`, `apartment_building/outdoor`.

    Returns:
        One class name per photo; "" for photos in the root folder.

    >>> from_folders(["a/airfield/1.jpg", "b/bar/indoor/2.jpg"], "folder")
    ['airfield', 'bar/indoor']
    >>> from_folders(["n01/images/1.jpg"], "folder")
    ['n01']
    """
    folders = [PurePosixPath(key).parts[:-1] for key in keys]
    if _is_places_tree(folders):
        return ["/".join(parts[1:]) for parts in folders]
    if rule == "folder":
        return [parts[0] if parts else "" for parts in folders]
    return ["/".join(parts) for parts in folders]


def _is_places_tree(folders: Sequence[tuple[str, ...]]) -> bool:
    return bool(folders) and all(
        len(parts) >= 2 and len(parts[0]) == 1 and parts[1].startswith(parts[0])
        for parts in folders
    )


def names_of(labels: str, keys: Sequence[str]) -> list[str]:
    """Returns the class name of each photo by `data.labels`: "folder", "path", "none" or a file.

    Raises:
        RequestError: as `from_file`.
    """
    if labels == "none":
        return [""] * len(keys)
    if labels in ("folder", "path"):
        return from_folders(keys, labels)
    return from_file(labels, keys)


def from_file(path: str, keys: Sequence[str]) -> list[str]:
    """Returns the class name of each photo from a text file with lines `PHOTO LABEL`.

    Args:
        path: the file; PHOTO is relative to the data's root (a leading "/" is ignored), LABEL is
            the last field of the line. Commas are treated as spaces.
        keys: paths relative to the data's root.

    Returns:
        One class name per photo; "" if the file has no line for it.

    Raises:
        RequestError: the file is missing, has a line without a label, or lists none of the photos.
    """
    if not paths.locate(path).is_file():
        raise RequestError(f"data.labels={path!r} is not a file; give folder, path, none or a file")
    try:
        lines = paths.read_lines(path)
    except UnicodeDecodeError:
        raise RequestError(f"{path} is not a text file; write lines `PHOTO LABEL`") from None
    table: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        fields = line.replace(",", " ").rsplit(maxsplit=1)
        if len(fields) == 2:
            table[fields[0].strip().removeprefix("./").lstrip("/")] = fields[1]
        elif fields:
            raise RequestError(f"{path}, line {number}: must be `PHOTO LABEL`, got {line!r}")
    names = [table.get(key, "") for key in keys]
    if keys and not any(names):
        raise RequestError(
            f"{path} lists none of the photos; its first entry is {next(iter(table), '')!r}"
        )
    return names


def to_ids(names: Sequence[str], class_names: Sequence[str]) -> np.ndarray:
    """Returns the index of each name in `class_names`, int32; -1 for unknown names and ""."""
    numbers = {name: number for number, name in enumerate(class_names)}
    return np.array([numbers.get(name, NO_LABEL) for name in names], np.int32)


def known_classes(names: Sequence[str]) -> tuple[str, ...]:
    """Returns the distinct classes: numbers sorted by value, then other names alphabetically."""
    classes = set(names) - {""}
    return tuple(sorted(classes, key=lambda name: (not name.isdigit(), name.zfill(9), name)))
