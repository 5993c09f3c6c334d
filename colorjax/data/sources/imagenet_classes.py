"""The numbers of ImageNet's 1000 classes, from their WordNet ids or given as they are."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from colorjax.data.sources.labels import NO_LABEL
from colorjax.errors import RequestError

NUM_CLASSES = 1000
_WORDNET_ID = re.compile(r"n\d{8}")


def wordnet_ids(source: str | os.PathLike[str]) -> tuple[str, ...]:
    """Reads the WordNet ids of the 1000 classes, in the order of their numbers: sorted.

    Args:
        source: a folder with one folder a class, named by its id (others are ignored), as ILSVRC's
            train/; or a text file whose lines begin with one, as LOC_synset_mapping.txt.

    Raises:
        RequestError: no such place, or another number of ids than 1000; Tiny ImageNet has 200 of
            them, whose numbers these 200 do not tell.
    """
    place = Path(source).expanduser()
    try:
        if place.is_dir():
            names = [entry.name for entry in place.iterdir() if entry.is_dir()]
        else:
            names = [line.split()[0] for line in place.read_text().splitlines() if line.split()]
    except (OSError, UnicodeDecodeError):
        raise RequestError(
            f"{str(source)!r} cannot be read; give a folder with ImageNet's 1000 class folders, or "
            "a text file with a WordNet id a line"
        ) from None
    found = sorted({name for name in names if _WORDNET_ID.fullmatch(name)})
    if len(found) != NUM_CLASSES:
        raise RequestError(
            f"{str(source)!r} names {len(found)} WordNet ids; ImageNet's {NUM_CLASSES} are needed "
            "to number them: give the folder or file with all of them"
        )
    return tuple(found)


def class_numbers(names: Sequence[str], ids: Sequence[str] = ()) -> np.ndarray:
    """Numbers the classes of photos as torchvision's classifiers do.

    Args:
        names: one a photo: "0" ... "999", or a WordNet id; "" for none.
        ids: of `wordnet_ids`; needed where names are ids.

    Returns:
        (N,) int32; -1 where a photo has no class.

    Raises:
        RequestError: a number above 999; an id without `ids`, or one that is not among them;
            another kind of name.

    >>> class_numbers(["7", "", "999"]).tolist()
    [7, -1, 999]
    """
    places = {name: place for place, name in enumerate(ids)}
    return np.array([_number(name, places) for name in names], np.int32)


def _number(name: str, places: dict[str, int]) -> int:
    if not name:
        return NO_LABEL
    if name in places:
        return places[name]
    if name.isascii() and name.isdigit() and int(name) < NUM_CLASSES:
        return int(name)
    if _WORDNET_ID.fullmatch(name):
        mend = "is not among the 1000" if places else "needs the list of all 1000 to be numbered"
        raise RequestError(f"the WordNet id {name} {mend}; give ImageNet's folder or list of ids")
    raise RequestError(
        f"{name!r} is no class of ImageNet; labels are numbers from 0 to 999 or WordNet ids"
    )
