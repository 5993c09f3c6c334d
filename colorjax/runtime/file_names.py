"""Names of files as messages show them and as file systems compare them."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

# Of photos that are looked for in folders and archives.
PHOTO_SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".webp",
        ".tif",
        ".tiff",
        ".bmp",
        ".gif",
        ".ppm",
        ".pgm",
        ".jp2",
        ".avif",
    ]
)


def shown(text: object) -> str:
    r"""Returns a text that fits one line of any terminal.

    Args:
        text: a path, which may hold line ends and bytes that are not UTF-8, or a message.

    >>> print(shown("two\nlines"), shown(os.fsdecode(b"caf\xe9.jpg")))
    two\nlines caf\xe9.jpg
    """
    return "".join(c if c.isprintable() else _escaped(c) for c in str(text))


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # as Python reads a byte that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def place_of(path: Path) -> str:
    """Returns where a path leads, equal for names that some file system takes for one.

    Links are followed; upper and lower case and the two spellings of accents are the same.
    """
    return unicodedata.normalize("NFC", os.path.realpath(path)).casefold()


_FILM_SUFFIXES = {
    *(".mp4", ".m4v", ".mov", ".mkv"),
    *(".avi", ".webm", ".mpg", ".mpeg", ".m2v", ".vob", ".ts", ".mts", ".m2ts", ".wmv", ".flv"),
    *(".3gp", ".ogv", ".mxf", ".dv"),
}


def is_film(path: str | os.PathLike[str]) -> bool:
    """Whether a file is taken for a film, by its suffix.

    >>> is_film("holiday.MP4"), is_film("holiday.jpg")
    (True, False)
    """
    return Path(path).suffix.lower() in _FILM_SUFFIXES


MARK = ".color"  # of what `colorjax colorize` writes beside a photo: NAME.color.EXT
