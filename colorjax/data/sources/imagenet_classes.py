"""Class numbers of ImageNet's 1000 classes, from WordNet ids or from numbers."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from colorjax.data.sources.labels import NO_LABEL
from colorjax.errors import RequestError
from colorjax.runtime import paths

NUM_CLASSES = 1000
_WORDNET_ID = re.compile(r"n\d{8}")


def wordnet_ids(source: str | os.PathLike[str]) -> tuple[str, ...]:
    """Returns the WordNet ids of the 1000 classes in the order of their class numbers (sorted).

    Args:
        source: a folder with one subfolder per class, named by its id (others are ignored), such as
            ILSVRC's train/; or a text file whose lines start with an id, such as
            LOC_synset_mapping.txt.

    Raises:
        RequestError: the path cannot be read, or does not have exactly 1000 ids. The 200 ids of
            Tiny ImageNet are not sufficient to determine class numbers.
    """
    path = Path(source).expanduser()
    try:
        if path.is_dir():
            names = [entry.name for entry in path.iterdir() if entry.is_dir()]
        else:
            names = [line.split()[0] for line in paths.read_lines(path) if line]
    except (OSError, UnicodeDecodeError):
        raise RequestError(
            f"{str(source)!r} cannot be read; give a folder with ImageNet's 1000 class folders, or "
            "a text file with one WordNet id per line"
        ) from None
    ids = sorted({name for name in names if _WORDNET_ID.fullmatch(name)})
    if len(ids) != NUM_CLASSES:
        raise RequestError(
            f"{str(source)!r} has {len(ids)} WordNet ids, but class numbers need all "
            f"{NUM_CLASSES} of ImageNet; give the folder or file with all of them"
        )
    return tuple(ids)


def class_numbers(names: Sequence[str], ids: Sequence[str] = ()) -> np.ndarray:
    """Returns the class numbers of photos, as used by torchvision's classifiers.

    Args:
        names: one per photo: "0" ... "999", or a WordNet id; "" for none.
        ids: result of `wordnet_ids`; required if names are ids.

    Returns:
        (N,) int32; -1 for photos without a class.

    Raises:
        RequestError: a number above 999; an id without `ids`, or not in `ids`; any other name.

    >>> class_numbers(["7", "", "999"]).tolist()
    [7, -1, 999]
    """
    numbers = {name: number for number, name in enumerate(ids)}
    return np.array([_number(name, numbers) for name in names], np.int32)


def _number(name: str, numbers: dict[str, int]) -> int:
    if not name:
        return NO_LABEL
    if name in numbers:
        return numbers[name]
    if name.isascii() and name.isdigit() and int(name) < NUM_CLASSES:
        return int(name)
    if _WORDNET_ID.fullmatch(name):
        problem = "is not one of the 1000" if numbers else "needs the list of all 1000 ids"
        raise RequestError(
            f"the WordNet id {name} {problem}; give ImageNet's folder or list of ids"
        )
    raise RequestError(
        f"{name!r} is not an ImageNet class; labels must be numbers from 0 to 999 or WordNet ids"
    )
