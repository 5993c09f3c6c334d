"""Input photos of a command line: files, folders, patterns."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from colorjax.errors import RequestError
from colorjax.runtime import paths
from colorjax.runtime.file_names import PHOTO_SUFFIXES, RESULT_MARK

STANDARD = Path("-")  # standard input or standard output

_SUFFIXES = PHOTO_SUFFIXES | {".heic", ".heif", ".hif", ".pnm", ".pbm"}


class InputPhoto(NamedTuple):
    """An input photo, or a folder that could not be listed.

    Attributes:
        source: path of the photo.
        below: its path below the output folder.
        trouble: reason why it cannot be read; "": none known.
    """

    source: Path
    below: Path
    trouble: str = ""


class Results(NamedTuple):
    """Locations of earlier results, which are not inputs; links are resolved.

    Attributes:
        folder: output folder; None: results lie next to the photos.
        sheet: the contact sheet; None: no contact sheet.
    """

    folder: Path | None = None
    sheet: Path | None = None

    @classmethod
    def at(cls, folder: Path | None, sheet: Path | None) -> Results:
        """Returns the locations with links resolved."""
        return cls(folder and _real(folder), sheet and _real(sheet))

    def holds(self, path: Path, root: Path) -> bool:
        """Whether a file below `root` (resolved) is an earlier result."""
        if self.folder is None and path.stem.endswith(RESULT_MARK):
            return True
        if self.sheet is None and self.folder is None:
            return False
        real = _real(path)
        is_inside = self.folder is not None and root in self.folder.parents
        return real == self.sheet or (is_inside and real.is_relative_to(str(self.folder)))


def find(arguments: Sequence[str | os.PathLike[str]], results: Results) -> Iterator[InputPhoto]:
    """Yields the photos of the arguments; those of one argument are sorted by name.

    Args:
        arguments: photos; folders, searched recursively; patterns such as `album/*.jpg` and
            `album/**/*.jpg` that the shell did not expand; "-".
        results: earlier results, which are skipped in folders and patterns.

    Raises:
        RequestError: an argument is empty, matches nothing that exists, or no photo.
    """
    for argument in [os.fspath(argument) for argument in arguments]:
        if not argument:
            raise RequestError("an input is empty; give photos or folders of photos")
        given = paths.local(argument)
        if argument == str(STANDARD):
            yield InputPhoto(STANDARD, Path("stdin"))
        elif given.is_file():
            # A file named "-", given as ./-, becomes absolute.
            yield InputPhoto(given.absolute() if given == STANDARD else given, Path(given.name))
        elif given.is_dir():
            yield from _in_folder(given, results)
        elif glob.has_magic(argument) and not given.exists():
            yield from _of_pattern(given, results)
        else:
            what = "is neither a file nor a folder" if given.exists() else "does not exist"
            raise RequestError(f"input {argument!r} {what}; give photos or folders of photos")


def _in_folder(root: Path, results: Results) -> list[InputPhoto]:
    every, real = _below(root), _real(root)
    if not every:
        raise RequestError(
            f"no photos in {str(root)!r}; give a folder with files ending in .jpg, .png, .webp, "
            ".tif, ..."
        )
    photos = [one for one in every if one.trouble or not results.holds(one.source, real)]
    if not photos:
        raise RequestError(f"input {str(root)!r} contains only earlier outputs; give other photos")
    return photos


def _of_pattern(pattern: Path, results: Results) -> list[InputPhoto]:
    """Returns the photos that match a pattern; `below` starts at the first wildcard."""
    fixed = next(n for n, part in enumerate(pattern.parts) if glob.has_magic(part))
    root = Path(*pattern.parts[:fixed])
    real = _real(root)
    wild = pattern.parts[fixed:]
    if "**" in wild:  # the glob module does not detect cycles of links
        every = [one for one in _below(root) if one.trouble or _matches(one.below.parts, wild)]
    else:
        every = [one for name in sorted(glob.glob(str(pattern))) for one in _at(Path(name), root)]
    photos = [one for one in every if one.trouble or not results.holds(one.source, real)]
    if not any(not one.trouble for one in photos):
        raise RequestError(f"input {str(pattern)!r} matches no photo; give photos or folders")
    return photos


def _at(path: Path, root: Path) -> list[InputPhoto]:
    if path.is_dir():
        return _below(path, path.relative_to(root))
    return [InputPhoto(path, path.relative_to(root))] if _is_photo(path.name) else []


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the parts of a path match those of a pattern; ** matches any number of folders."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[n:], pattern[1:]) for n in range(len(parts) + 1))
    return (
        bool(parts)
        and fnmatch.fnmatchcase(parts[0], pattern[0])
        and _matches(parts[1:], pattern[1:])
    )


def _below(root: Path, name: Path = Path()) -> list[InputPhoto]:
    """Returns the photos below a folder, sorted, and the folders that cannot be listed."""
    photos: list[InputPhoto] = []
    seen = set()  # links may form cycles

    def note(error: OSError) -> None:
        path = Path(error.filename)
        photos.append(InputPhoto(path, name / path.relative_to(root), error.strerror or str(error)))

    for folder, folders, files in os.walk(root, followlinks=True, onerror=note):
        try:
            status = os.stat(folder)
        except OSError as error:  # removed meanwhile
            note(error)
            folders.clear()
            continue
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.sort()
        here = name / Path(folder).relative_to(root)
        photos += [InputPhoto(Path(folder, file), here / file) for file in files if _is_photo(file)]
    return sorted(photos, key=lambda one: one.below.as_posix())


def _is_photo(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in _SUFFIXES and not name.startswith(".")


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
