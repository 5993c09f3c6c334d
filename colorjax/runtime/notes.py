"""Messages about one file: a few of them, as damaged or hostile files can cause thousands."""

from __future__ import annotations

from collections.abc import Iterable

_MOST = 10


def first_notes(notes: Iterable[str]) -> tuple[str, ...]:
    """Returns the first different notes, and the number of the others.

    >>> first_notes(["damaged", "damaged", *map(str, range(11))])[8:]
    ('7', '8', 'and 2 more notes')
    """
    different = tuple(dict.fromkeys(notes))
    more = len(different) - _MOST
    return different if more <= 0 else (*different[:_MOST], f"and {more} more notes")


def listed(names: Iterable[str]) -> str:
    """Returns names as a list, at most 10 of them.

    >>> listed("ab"), listed("abcdefghijklm")
    ('a, b', 'a, b, c, d, e, f, g, h, i, j and 3 more')
    """
    known = list(names)
    more = len(known) - _MOST
    return ", ".join(known[:_MOST]) + (f" and {more} more" if more > 0 else "")
