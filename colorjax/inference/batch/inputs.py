"""Input photos of a command line: files, folders, patterns."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from colorjax.errors import RequestError
from colorjax.inference.batch import other_files
from colorjax.photos import header
from colorjax.runtime import paths
from colorjax.runtime.file_names import PHOTO_SUFFIXES, is_result

STANDARD = Path("-")  # standard input or standard output

# Of files that are photos by their name.
SUFFIXES = PHOTO_SUFFIXES.union(*header.SUFFIXES.values(), (".gif", ".pbm"))

_THUMBNAILS = "@eaDir"  # folders of copies that Synology's NAS makes of photos


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


class Inputs(NamedTuple):
    """Files of a command line.

    Attributes:
        photos: in the order of the arguments; those of one argument are sorted by name.
        others: files in folders and patterns that are of a known kind, but not photos.
    """

    photos: list[InputPhoto]
    others: list[Path]


class Results(NamedTuple):
    """Locations of earlier results, which are not inputs; links are resolved.

    Attributes:
        folder: output folder; None: results lie next to the photos.
        sheets: the contact sheets.
    """

    folder: Path | None = None
    sheets: frozenset[Path] = frozenset()

    @classmethod
    def at(cls, folder: Path | None, sheets: Iterable[Path]) -> Results:
        """Returns the locations with links resolved."""
        return cls(folder and _real(folder), frozenset(map(_real, sheets)))

    def holds(self, path: Path, root: Path) -> bool:
        """Whether a file below `root` (resolved) is an earlier result."""
        if self.folder is None and is_result(path):
            return True
        if not self.sheets and self.folder is None:
            return False
        real = _real(path)
        is_inside = self.folder is not None and root in self.folder.parents
        return real in self.sheets or (is_inside and real.is_relative_to(str(self.folder)))


def find(arguments: Sequence[str | os.PathLike[str]], results: Results) -> Inputs:
    """Returns the files that the arguments name or contain.

    Args:
        arguments: photos; folders, searched recursively without their hidden folders and @eaDir;
            patterns such as `album/*.jpg` and `album/**/*.jpg` that the shell did not expand; "-".
        results: earlier results, which are skipped in folders and patterns.

    Raises:
        RequestError: an argument is empty, matches nothing that exists, or no photo.
    """
    every = Inputs([], [])
    for argument in [os.fspath(argument) for argument in arguments]:
        files = _of_argument(argument, results)
        every.photos.extend(files.photos)
        every.others.extend(files.others)
    return every


def _of_argument(argument: str, results: Results) -> Inputs:
    if not argument:
        raise RequestError("an input is empty; give photos or folders of photos")
    given = paths.local(argument)
    if argument == str(STANDARD):
        return Inputs([InputPhoto(STANDARD, Path("stdin"))], [])
    if given.is_file():
        # A file named "-", given as ./-, becomes absolute.
        source = given.absolute() if given == STANDARD else given
        return Inputs([InputPhoto(source, Path(given.name))], [])
    if given.is_dir():
        return _in_folder(given, results)
    if glob.has_magic(argument) and not given.exists():
        return _of_pattern(given, results)
    what = "is neither a file nor a folder" if given.exists() else "does not exist"
    raise RequestError(f"input {argument!r} {what}; give photos or folders of photos")


def in_folder(root: Path, results: Results) -> Inputs:
    """Returns the files of a folder, which may have none; folders that cannot be listed too.

    Args:
        root: searched recursively, without its hidden folders and @eaDir; may be hidden itself.
        results: earlier results, which are left out.
    """
    return _without_results(_below(root), results, root)


def _in_folder(root: Path, results: Results) -> Inputs:
    every = _below(root)
    if not every.photos:
        advice = "give a folder with files ending in .jpg, .png, .webp, .tif, ..."
        raise RequestError(f"no photos in {str(root)!r}; {_but(every.others) or advice}")
    files = _without_results(every, results, root)
    if not files.photos:
        raise RequestError(
            f"input {str(root)!r} contains only earlier outputs; "
            f"{_but(every.others) or 'give other photos'}"
        )
    return files


def _of_pattern(pattern: Path, results: Results) -> Inputs:
    """Returns the files that match a pattern; `below` starts at the first wildcard."""
    fixed = next(n for n, part in enumerate(pattern.parts) if glob.has_magic(part))
    root = Path(*pattern.parts[:fixed])
    wild = pattern.parts[fixed:]
    if "**" in wild:  # the glob module does not detect cycles of links
        below = _below(root)
        every = Inputs(
            [one for one in below.photos if one.trouble or _matches(one.below.parts, wild)],
            [path for path in below.others if _matches(path.relative_to(root).parts, wild)],
        )
    else:
        every = Inputs([], [])
        for path in map(Path, sorted(glob.glob(str(pattern)))):
            parts = path.relative_to(root).parts
            if any(part == _THUMBNAILS != given for part, given in zip(parts, wild, strict=True)):
                continue
            files = _at(path, root)
            every.photos.extend(files.photos)
            every.others.extend(files.others)
    files = _without_results(every, results, root)
    if not any(not one.trouble for one in files.photos):
        raise RequestError(
            f"input {str(pattern)!r} matches no photo; "
            f"{_but(every.others) or 'give photos or folders'}"
        )
    return files


def _at(path: Path, root: Path) -> Inputs:
    if path.is_dir():
        return _below(path, path.relative_to(root))
    return _sorted_out([(path, path.relative_to(root))])


def _without_results(files: Inputs, results: Results, root: Path) -> Inputs:
    real = _real(root)
    photos = [one for one in files.photos if one.trouble or not results.holds(one.source, real)]
    return Inputs(photos, [path for path in files.others if not results.holds(path, real)])


def _but(others: Sequence[Path]) -> str:
    """Returns the end of an error message: the files that are there, but are not photos; or ""."""
    return "; ".join(other_files.passed_over(others, None, takes_films=True)[1])


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


def _below(root: Path, name: Path = Path()) -> Inputs:
    """Returns the files below a folder, sorted, and the folders that cannot be listed.

    Hidden folders are not searched: they hold trash, thumbnails and unfinished transfers.
    """
    troubles: list[InputPhoto] = []
    every: list[tuple[Path, Path]] = []
    seen = set()  # links may form cycles

    def note(error: OSError) -> None:
        path = Path(error.filename)
        reason = error.strerror or str(error)
        troubles.append(InputPhoto(path, name / path.relative_to(root), reason))

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
        folders[:] = sorted(
            one for one in folders if not one.startswith(".") and one != _THUMBNAILS
        )
        here = name / Path(folder).relative_to(root)
        every += [(Path(folder, file), here / file) for file in files]
    photos, others = _sorted_out(every)
    return Inputs(sorted(photos + troubles, key=lambda one: one.below.as_posix()), others)


def _sorted_out(files: Sequence[tuple[Path, Path]]) -> Inputs:
    """Returns the photos and the other files of known kinds; hidden files are neither."""
    result = Inputs([], [])
    for path, below in files:
        if path.name.startswith("."):
            continue
        if path.suffix.lower() in SUFFIXES:
            result.photos.append(InputPhoto(path, below))
        elif other_files.kind_by_name(path.name):
            result.others.append(path)
    return result


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
