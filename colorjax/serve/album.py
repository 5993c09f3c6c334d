"""The photos of the page: those of the command line, and those that the browser sends."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from colorjax import photos
from colorjax.inference.batch.plan import Job
from colorjax.inference.session import Source
from colorjax.photos import Photo, UnreadablePhoto
from colorjax.runtime.file_names import RESULT_MARK, canonical, printable
from colorjax.serve import errors
from colorjax.serve.journal import Journal

_MOST_UPLOADS = 500
_MOST_BYTES = 2**33  # of all uploads, on disk
_LONGEST_NAME = 120


class Entry:
    """One photo of the page.

    Attributes:
        id: opaque: the page names the photo by it, never by a path.
        job: the photo and its result.
        is_upload: whether the browser sent it.
        size: width and height of the upright photo in pixels, once it was read.
    """

    def __init__(self, id: str, job: Job, *, is_upload: bool, folder: str = ""):
        """Stores a photo; reads nothing."""
        self.id = id
        self.job = job
        self.is_upload = is_upload
        self.size: tuple[int, int] | None = None
        self._folder = folder
        self._digest = ""
        self._journal: Journal | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Name of the file, for display."""
        return printable(Path(self.job.name).name)

    @property
    def result(self) -> Path:
        """The file of the result.

        Raises:
            Refused: the photo has none, as it is refused.
        """
        if self.job.refusal or self.job.file is None:
            raise errors.Refused(415, f"This file cannot be opened: {self.job.refusal}.")
        return self.job.file

    @property
    def digest(self) -> str:
        """SHA-256 of the file; computed once."""
        if not self._digest:
            try:
                with self.job.source.open("rb") as file:
                    self._digest = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise errors.Refused(
                    415, f"{self.name} cannot be read: {error.strerror}."
                ) from None
        return self._digest

    @property
    def journal(self) -> Journal:
        """The journal of the photo."""
        with self._lock:
            if self._journal is None:
                self._journal = Journal(self.result, self.digest)
            return self._journal

    def read(self, max_pixels: int) -> Photo:
        """Returns the photo.

        Raises:
            Refused: it cannot be read.
        """
        self.result  # noqa: B018 (refused photos)
        try:
            photo = photos.read(self.job.source, max_pixels=max_pixels)
        except UnreadablePhoto as error:
            raise errors.Refused(415, f"{self.name} cannot be opened: {error}.") from None
        self.size = photo.width, photo.height
        return photo

    def about(self, max_pixels: int) -> Source:
        """Returns the photo as a session names it; reads it if its size is not known.

        Raises:
            Refused: it cannot be read.
        """
        if self.size is None:
            self.read(max_pixels)
        assert self.size is not None
        return Source(self.name, self.digest, *self.size)

    def to_json(self) -> dict[str, Any]:
        """Returns what the strip shows."""
        refusal, file = self.job.refusal, self.job.file
        return {
            "id": self.id,
            "name": self.name,
            "folder": printable(self._folder),
            "width": self.job.header.width,
            "height": self.job.header.height,
            "uploaded": self.is_upload,
            "edited": file is not None and file.with_name(f"{file.name}.json").exists(),
            "saved": self.job.is_done,
            "output": "" if file is None else printable(file.name),
            "error": f"It cannot be opened: {refusal}." if refusal else "",
        }


class Album:
    """All photos of the page, by their ids.

    Attributes:
        folder: name of the folder of the first photo, for display; "": there is none.
    """

    def __init__(self, jobs: Sequence[Job], results: Path):
        """Takes the photos of the command line.

        Args:
            jobs: from `plan`.
            results: folder for the results of photos that the browser sends.
        """
        self._results = results
        self.folder = printable(jobs[0].source.absolute().parent.name) if jobs else ""
        self._lock = threading.Lock()
        self._num_bytes = 0
        self._entries: dict[str, Entry] = {}
        for job in jobs:
            id = hashlib.sha256(b"path" + str(job.source.absolute()).encode(errors="replace"))
            entry = Entry(id.hexdigest()[:16], job, is_upload=False, folder=str(job.source.parent))
            self._entries[entry.id] = entry

    def __getitem__(self, id: str) -> Entry:
        """Returns a photo.

        Raises:
            Refused: there is no such photo.
        """
        entry = self._entries.get(id)
        if entry is None:
            raise errors.missing("photo")
        return entry

    def all(self) -> list[Entry]:
        """Returns the photos in the order of the strip."""
        return list(self._entries.values())

    def add(self, content: Path, digest: str, name: str, max_pixels: int) -> Entry:
        """Adds a photo that the browser sent.

        Args:
            content: the file in the private folder; removed if it is refused or known already.
            digest: its SHA-256.
            name: given by the browser: only for display and for the name of the result.
            max_pixels: larger photos are refused.

        Raises:
            Refused: it is no photo, or there are too many.
        """
        with self._lock:
            known = self._entries.get(digest[:16])
            if known is not None:
                content.unlink()
                return known
            try:
                job = self._job(content, digest, _safe(name), max_pixels)
            except errors.Refused:
                content.unlink()
                raise
            entry = Entry(digest[:16], job, is_upload=True)
            self._num_bytes += content.stat().st_size
            self._entries[entry.id] = entry
        return entry

    def remove(self, id: str) -> None:
        """Removes a photo that the browser sent.

        Raises:
            Refused: there is no such photo, or it is one of the command line.
        """
        with self._lock:
            entry = self[id]
            if not entry.is_upload:
                raise errors.Refused(422, "Only photos that were dropped here can be taken away.")
            del self._entries[id]
            self._num_bytes -= entry.job.source.stat().st_size
            entry.job.source.unlink(missing_ok=True)

    def _job(self, content: Path, digest: str, name: str, max_pixels: int) -> Job:
        uploads = sum(entry.is_upload for entry in self._entries.values())
        if uploads >= _MOST_UPLOADS or self._num_bytes + content.stat().st_size > _MOST_BYTES:
            raise errors.Refused(413, "Too many photos were dropped here: take some away first.")
        header = photos.probe(content)
        if not header.kind:
            raise errors.Refused(415, f"{name} is not a photo of a known kind.")
        if header.width * header.height > max_pixels:
            raise errors.Refused(413, f"{name} has more than {max_pixels} pixels.")
        taken = {
            canonical(path)
            for entry in self._entries.values()
            for path in (entry.job.source, entry.job.file)
            if path is not None
        }
        return Job(
            content, self._result(Path(name).stem, header.suffix, digest, taken), header, name
        )

    def _result(self, stem: str, suffix: str, digest: str, taken: set[str]) -> Path:
        """Returns the first free file, or that of an earlier session with the same photo."""
        for number in itertools.count(1):
            end = "" if number == 1 else f"-{number}"
            path = self._results / f"{stem}{end}{RESULT_MARK}{suffix}"
            if canonical(path) in taken:
                continue
            journal = Journal(path, digest)
            is_free = not path.exists() and not journal.path.exists()
            if is_free or journal.read() is not None or _is_result_of(path, digest):
                return path
        raise AssertionError("there is always a free name")


def _is_result_of(path: Path, digest: str) -> bool:
    """Returns whether a file is a result of the photo of this digest."""
    mark = photos.read_mark(path) if path.is_file() else None
    return bool(mark) and digest.startswith(mark.get("input") or "-")


def _safe(name: str) -> str:
    """Returns a plain file name of a name that the browser gave."""
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(c if c.isprintable() and c not in '<>:"|?*' else "_" for c in name)
    stem, dot, suffix = kept.strip(" .").rpartition(".")
    if not stem:
        stem, dot, suffix = kept.strip(" ."), "", ""
    return f"{stem[:_LONGEST_NAME] or 'photo'}{dot}{suffix[:8]}"
