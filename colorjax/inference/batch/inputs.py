"""Which photos the words of a command line mean: files, folders, patterns."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from colorjax.errors import RequestError
from colorjax.runtime import paths
from colorjax.runtime.file_names import PHOTO_SUFFIXES

STANDARD = Path("-")  # as an input standard input, as an output standard output
OWN_MARK = ".color"  # of outputs beside their inputs: NAME.color.EXT

_SUFFIXES = PHOTO_SUFFIXES | {".heic", ".heif", ".hif", ".pnm", ".pbm"}


class Found(NamedTuple):
    """One photo, or a folder that could not be listed.

    Attributes:
        source: the photo.
        below: its name below the folder of the results.
        trouble: why it cannot be read, as far as that is known; "": it is not.
    """

    source: Path
    below: Path
    trouble: str = ""


class Results(NamedTuple):
    """Where earlier results lie, which are no inputs; with links followed.

    Attributes:
        folder: of the results; None: beside the photos.
        sheet: the contact sheet; None: there is none.
    """

    folder: Path | None = None
    sheet: Path | None = None

    @classmethod
    def at(cls, folder: Path | None, sheet: Path | None) -> Results:
        """Follows the links of both."""
        return cls(folder and _real(folder), sheet and _real(sheet))

    def holds(self, path: Path, root: Path) -> bool:
        """Whether a file found below `root`, links followed, is an earlier result."""
        if self.folder is None and path.stem.endswith(OWN_MARK):
            return True
        if self.sheet is None and self.folder is None:
            return False
        real = _real(path)
        is_inside = self.folder is not None and root in self.folder.parents
        return real == self.sheet or (is_inside and real.is_relative_to(str(self.folder)))


def find(words: Sequence[str | os.PathLike[str]], results: Results) -> Iterator[Found]:
    """Yields the photos that words mean, each word's in the order of their names.

    Args:
        words: photos; folders, searched to their depths; patterns such as `album/*.jpg` and
            `album/**/*.jpg`, for what no shell expanded; "-".
        results: are passed over in folders and patterns.

    Raises:
        RequestError: a word is empty, means nothing that exists, or no photo.
    """
    for word in [os.fspath(word) for word in words]:
        if not word:
            raise RequestError("an input is empty; give photos or folders of photos")
        given = paths.local(word)
        if word == str(STANDARD):
            yield Found(STANDARD, Path("stdin"))
        elif given.is_file():
            # Absolute where it is called "-" too: ./- is the way to say so.
            yield Found(given.absolute() if given == STANDARD else given, Path(given.name))
        elif given.is_dir():
            yield from _in_folder(given, results)
        elif glob.has_magic(word) and not given.exists():
            yield from _of_pattern(given, results)
        else:
            what = "is neither a file nor a folder" if given.exists() else "does not exist"
            raise RequestError(f"input {word!r} {what}; give photos or folders of photos")


def _in_folder(root: Path, results: Results) -> list[Found]:
    every, real = _below(root), _real(root)
    if not every:
        raise RequestError(
            f"no photo below {str(root)!r}; wanted files ending in .jpg, .png, .webp, .tif, ..."
        )
    found = [one for one in every if one.trouble or not results.holds(one.source, real)]
    if not found:
        raise RequestError(f"input {str(root)!r} holds no photo but earlier outputs; give others")
    return found


def _of_pattern(pattern: Path, results: Results) -> list[Found]:
    """Returns the photos that a pattern means, named from where its wildcards begin."""
    fixed = next(n for n, part in enumerate(pattern.parts) if glob.has_magic(part))
    root = Path(*pattern.parts[:fixed])
    real = _real(root)
    wild = pattern.parts[fixed:]
    if "**" in wild:  # the glob module would walk links in circles
        every = [one for one in _below(root) if one.trouble or _matches(one.below.parts, wild)]
    else:
        every = [one for name in sorted(glob.glob(str(pattern))) for one in _at(Path(name), root)]
    found = [one for one in every if one.trouble or not results.holds(one.source, real)]
    if not any(not one.trouble for one in found):
        raise RequestError(f"input {str(pattern)!r} matches no photo; give photos or folders")
    return found


def _at(path: Path, root: Path) -> list[Found]:
    if path.is_dir():
        return _below(path, path.relative_to(root))
    return [Found(path, path.relative_to(root))] if _is_photo(path.name) else []


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a pattern in parts means a path in parts; ** stands for any number of folders."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[n:], pattern[1:]) for n in range(len(parts) + 1))
    return (
        bool(parts)
        and fnmatch.fnmatchcase(parts[0], pattern[0])
        and _matches(parts[1:], pattern[1:])
    )


def _below(root: Path, name: Path = Path()) -> list[Found]:
    """Returns the photos below a folder by their names, and the folders that cannot be listed."""
    found: list[Found] = []
    seen = set()  # links may lead back up

    def note(error: OSError) -> None:
        place = Path(error.filename)
        found.append(Found(place, name / place.relative_to(root), error.strerror or str(error)))

    for folder, folders, files in os.walk(root, followlinks=True, onerror=note):
        try:
            place = os.stat(folder)
        except OSError as error:  # it went away
            note(error)
            folders.clear()
            continue
        if (place.st_dev, place.st_ino) in seen:
            folders.clear()
            continue
        seen.add((place.st_dev, place.st_ino))
        folders.sort()
        here = name / Path(folder).relative_to(root)
        found += [Found(Path(folder, file), here / file) for file in files if _is_photo(file)]
    return sorted(found, key=lambda one: one.below.as_posix())


def _is_photo(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in _SUFFIXES and not name.startswith(".")


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
