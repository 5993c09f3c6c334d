"""Files of a folder as they become complete, for `colorjax watch`.

The folder is polled. Notifications of the operating system would not report what other machines
write to a network drive, nor what reaches a container through a mounted folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias

from colorjax.inference.batch import other_files
from colorjax.inference.batch.inputs import InputPhoto, Results, in_folder
from colorjax.runtime.file_names import is_film

# Size, time of the last change in ns, inode: a file that was replaced has another inode.
_Signature: TypeAlias = tuple[int, int, int]


_LONGEST_PAUSE = 600.0  # seconds before a photo that failed is tried again


class _File(NamedTuple):
    signature: _Signature
    since: float  # when this signature was first seen, or the last try failed
    is_complete: bool = False
    pause: float = 0.0  # seconds after a failed try; 0: there was none

    @property
    def was_complete(self) -> bool:
        return self.is_complete or self.pause > 0


class Arrived(NamedTuple):
    """What a poll of the folder returns.

    Attributes:
        photos: photos that became complete since the last poll, sorted by path.
        films: films that did.
        notes: lines for the user.
    """

    photos: list[InputPhoto]
    films: list[InputPhoto]
    notes: list[str]


class Arrivals:
    """Files below a folder.

    A file is complete once its size, its time and its inode have not changed for `quiet` seconds,
    and it can be opened and read at its end. A file that changes later arrives again, and so does
    one that is to be tried again.

    Attributes:
        waiting: number of photos and films that are not complete yet; those that are to be tried
            again are.
    """

    def __init__(
        self,
        root: Path,
        results: Results,
        quiet: float,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Starts with no file seen.

        Args:
            root: the folder; it may be missing for a while, as a network drive may be.
            results: earlier results, which are left out.
            quiet: seconds without a change after which a file is complete.
            clock: returns seconds. The times of the files are compared with each other only: the
                clock of a file server may differ.
        """
        self._root = root
        self._results = results
        self._quiet = quiet
        self._clock = clock
        self._files: dict[Path, _File] = {}
        self._photos: dict[Path, InputPhoto] = {}
        self._others: set[Path] = set()
        self._troubles: set[tuple[Path, str]] = set()

    @property
    def waiting(self) -> int:
        """Number of photos and films that are not complete yet."""
        return sum(not file.was_complete for file in self._files.values())

    def complete(self, folder: Path) -> list[InputPhoto]:
        """Returns the complete photos of one folder, without its subfolders."""
        return [
            photo
            for path, photo in self._photos.items()
            if path.parent == folder and self._files[path].was_complete
        ]

    def try_again(self, source: Path) -> None:
        """Lets a photo arrive again although it does not change.

        It arrives after `quiet` seconds, then after twice the time at each call, up to ten minutes.
        """
        if file := self._files.get(source):
            pause = max(self._quiet, min(2 * file.pause, _LONGEST_PAUSE))
            self._files[source] = file._replace(since=self._clock(), is_complete=False, pause=pause)

    def poll(self) -> Arrived:
        """Looks at the folder once."""
        now = self._clock()
        found = in_folder(self._root, self._results)
        troubles = {(one.source, one.trouble) for one in found.photos if one.trouble}
        notes = [f"{path}: {reason}" for path, reason in sorted(troubles - self._troubles)]
        if any(path == self._root for path, _ in troubles):
            self._troubles = troubles
            return Arrived([], [], notes)  # what was seen counts again once the folder is back
        photos = {one.source: one for one in found.photos if not one.trouble}
        films = {
            path: InputPhoto(path, path.relative_to(self._root))
            for path in found.others
            if is_film(path)
        }
        others = set(found.others) - films.keys()
        notes += other_files.passed_over(others - self._others, None, takes_films=True)[1]
        self._others, self._photos = others, photos
        known, self._files = self._files, {}
        new = []
        for path in (*photos, *films):
            file = _seen(path, known.get(path), now)
            if file is None:  # removed or renamed meanwhile
                self._photos.pop(path, None)
                continue
            if not file.is_complete and now - file.since >= (file.pause or self._quiet):
                reason = _trouble_at_end(path, file.signature[0])
                if reason:
                    troubles.add((path, reason))
                    is_told = (path, reason) in self._troubles
                    notes += [] if is_told else [f"{path}: {reason}; it is tried again"]
                else:
                    file = file._replace(is_complete=True)
                    new.append(path)
            self._files[path] = file
        self._troubles = troubles
        return Arrived(
            sorted(photos[path] for path in new if path in photos),
            sorted(films[path] for path in new if path in films),
            notes,
        )


def _seen(path: Path, before: _File | None, now: float) -> _File | None:
    """Returns what is known of a file now; None: it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    signature = (status.st_size, status.st_mtime_ns, status.st_ino)
    if before is not None and before.signature == signature:
        return before
    return _File(signature, now)


def _trouble_at_end(path: Path, size: int) -> str:
    """Returns why a file cannot be read at its end, as another program has it locked; or ""."""
    if not path.is_file():
        return ""  # a pipe would block; it is refused as in `colorjax colorize`
    try:
        with path.open("rb") as file:
            file.seek(max(size - 1, 0))
            is_short = len(file.read(1)) < min(size, 1)
    except OSError as error:
        return f"cannot be read yet: {error.strerror or error}"
    return "cannot be read yet: it is shorter than its folder says" if is_short else ""
