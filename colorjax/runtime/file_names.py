"""File names: printable for messages, canonical for comparisons, and film suffixes."""

from __future__ import annotations

import os
import re
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


def printable(text: object) -> str:
    r"""Returns a text as one line with printable characters only.

    Args:
        text: a message, or a path, which may contain newlines and bytes that are not UTF-8.

    >>> print(printable("two\nlines"), printable(os.fsdecode(b"caf\xe9.jpg")))
    two\nlines caf\xe9.jpg
    """
    return "".join(c if c.isprintable() else _escaped(c) for c in str(text))


def to_bytes(text: str) -> bytes:
    r"""Returns a text with file names in UTF-8; bytes of names that are not UTF-8 stay as they are.

    As `os.fsencode`, but the same under every locale.

    >>> to_bytes("caf\xe9.jpg"), to_bytes("caf\udce9.jpg")
    (b'caf\xc3\xa9.jpg', b'caf\xe9.jpg')
    """
    return text.encode(errors=RAW_BYTES)


RAW_BYTES = "surrogateescape"  # how Python stores bytes of a file name that are not UTF-8


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # surrogate escape of a byte that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def canonical(path: Path) -> str:
    """Returns a canonical path, equal for all names that some file system treats as the same file.

    Links are resolved; case and Unicode normalization are ignored.
    """
    return unicodedata.normalize("NFC", os.path.realpath(path)).casefold()


_FILM_SUFFIXES = {
    *(".mp4", ".m4v", ".mov", ".mkv"),
    *(".avi", ".webm", ".mpg", ".mpeg", ".m2v", ".vob", ".ts", ".mts", ".m2ts", ".wmv", ".flv"),
    *(".3gp", ".3g2", ".ogv", ".ogm", ".mxf", ".dv", ".asf", ".f4v", ".m1v", ".mpe", ".m2t"),
    *(".divx", ".rm", ".rmvb", ".qt"),
}


def is_film(path: str | os.PathLike[str]) -> bool:
    """Returns whether the suffix of a file is that of a film.

    >>> is_film("holiday.MP4"), is_film("holiday.jpg")
    (True, False)
    """
    return Path(path).suffix.lower() in _FILM_SUFFIXES


RESULT_MARK = ".color"  # `colorjax colorize` writes the result of NAME.EXT to NAME.color.EXT
UNCERTAINTY_MARK = ".uncertainty"  # and its uncertainty to NAME.uncertainty.png


def is_result(path: Path) -> bool:
    """Returns whether a name is that of a result next to its photo.

    >>> [is_result(Path(name)) for name in ("a.color.jpg", "a.color.2.jpg", "a.uncertainty.png")]
    [True, True, True]
    >>> is_result(Path("a.jpg"))
    False
    """
    return bool(_RESULT.search(path.stem))


_RESULT = re.compile(rf"(\{RESULT_MARK}(\.[0-9]+)?|\{UNCERTAINTY_MARK})$")
