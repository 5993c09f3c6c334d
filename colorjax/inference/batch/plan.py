"""What goes where: each photo's job, before anything is read whole or written."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from colorjax import photos
from colorjax.errors import RequestError
from colorjax.inference.batch.inputs import OWN_MARK, STANDARD, Found, Results, find
from colorjax.photos import Header
from colorjax.runtime import paths
from colorjax.runtime.file_names import canonical

MAX_PIXELS = 2**28  # of one photo, unless the user says otherwise

_UNKNOWN = Header("", "", 0, 0)


class Job(NamedTuple):
    """One photo and where its result goes.

    Attributes:
        source: the file to read.
        output: the file to write, or `STANDARD`; None: nowhere, as it is refused.
        header: what the photo's first bytes tell.
        name: of the photo, as the user knows it.
        refusal: why the photo is not taken; "": it is.
    """

    source: Path
    output: Path | None
    header: Header
    name: str
    refusal: str = ""

    @property
    def num_pixels(self) -> int:
        """Pixels of the photo, by its header."""
        return self.header.width * self.header.height

    @property
    def file(self) -> Path | None:
        """The output, where that is a file."""
        return None if self.output == STANDARD else self.output

    @property
    def is_done(self) -> bool:
        """Whether the result is there already; results are there whole or not at all."""
        return self.file is not None and os.path.isfile(self.file)


def plan(
    words: Sequence[str | os.PathLike[str]],
    output: str | None,
    *,
    max_pixels: int = MAX_PIXELS,
    standard_input: Path | None = None,
    sheet: str | None = None,
) -> list[Job]:
    """Decides where each photo goes; of photos the header is read, nothing is made.

    Args:
        words: photos, folders, patterns or "-", as for `inputs.find`.
        output: folder below which each folder's tree is kept; None: NAME.color.EXT beside each
            photo, and standard output for what comes from standard input.
        max_pixels: larger photos are refused.
        standard_input: the file that holds what was read from there; None: it was not.
        sheet: the contact sheet that will be written.

    Returns:
        Jobs in the order of the inputs, each output once.

    Raises:
        RequestError: an input is missing or without photos, two photos would get one output, or an
            output would replace an input.
    """
    root = None if output is None else paths.local(output)
    contact = None if sheet is None else paths.local(sheet)
    jobs: dict[str, Job] = {}
    for found in find(words, Results.at(root, contact)):
        job = _job(found, root, max_pixels, standard_input)
        first = jobs.setdefault(canonical(job.output or job.source), job)
        if first is not job and not _is_same(first.source, job.source):
            raise RequestError(
                f"{first.name!r} and {job.name!r} would both become "
                f"{str(job.output)!r}; rename one, or give them different --output folders"
            )
    _check_inputs_stay(jobs, contact)
    return list(jobs.values())


def check_writable(folder: Path, option: str) -> None:
    """Checks that a folder can be written or made; makes nothing, as a refusal may follow.

    Args:
        folder: there, or not yet.
        option: that named it, for the error.

    Raises:
        RequestError: it cannot.
    """
    try:
        nearest = next(place for place in (folder, *folder.parents) if place.exists())
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise RequestError(
            f"{option} {str(folder)!r} cannot be written ({error.strerror}); give another folder"
        ) from None


def _job(found: Found, root: Path | None, max_pixels: int, standard_input: Path | None) -> Job:
    name = str(found.source)
    if found.trouble:
        return Job(found.source, None, _UNKNOWN, name, found.trouble)
    source = found.source
    if source == STANDARD and standard_input is not None:
        source = standard_input
    refusal = _refusal_of_file(source)
    header = _UNKNOWN if refusal or source == STANDARD else _header(source)
    if header.width * header.height > max_pixels:
        refusal = (
            f"{header.width}x{header.height} px are more than --max-pixels {max_pixels} allows"
        )
    return Job(source, _output(found, root, header.suffix), header, name, refusal)


def _header(source: Path) -> Header:
    try:
        return photos.probe(source)
    except OSError:  # it went away, or is locked: told when it is read
        return Header("", source.suffix or ".png", 0, 0)


def _refusal_of_file(source: Path) -> str:
    """Refuses what would never end when read; a missing file is told when it is read."""
    try:
        is_file = source == STANDARD or stat.S_ISREG(source.stat().st_mode)
    except OSError:
        return ""
    return "" if is_file else "is no regular file"


def _output(found: Found, root: Path | None, suffix: str) -> Path:
    if root is not None:
        return root / found.below.with_name(found.below.stem + suffix)
    if found.source == STANDARD:
        return STANDARD
    return found.source.with_name(found.source.stem + OWN_MARK + suffix)


def _check_inputs_stay(jobs: dict[str, Job], sheet: Path | None) -> None:
    sources = {canonical(job.source): job for job in jobs.values()}
    for place, job in jobs.items():
        if job.file is not None and place in sources:
            raise RequestError(
                f"{str(job.output)!r} is an input and would be replaced; give another --output"
            )
    if sheet is not None and (canonical(sheet) in sources or canonical(sheet) in jobs):
        raise RequestError(f"--contact-sheet {str(sheet)!r} is a photo of this run; name another")


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one == other or os.path.samefile(one, other)
    except OSError:
        return False
