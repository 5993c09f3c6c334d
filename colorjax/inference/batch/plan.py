"""Plans the jobs of a run: input and output of each photo, before anything is written."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from colorjax import photos
from colorjax.errors import RequestError
from colorjax.inference.batch.inputs import STANDARD, InputPhoto, Results, find
from colorjax.photos import Header
from colorjax.runtime import paths
from colorjax.runtime.file_names import RESULT_MARK, canonical

MAX_PIXELS = 2**28  # default limit of one photo

_UNKNOWN = Header("", "", 0, 0)


class Job(NamedTuple):
    """Input and output of one photo.

    Attributes:
        source: the file to read.
        output: the file to write, or `STANDARD`; None: no output, as the photo is refused.
        header: format and size from the photo's first bytes.
        name: name of the photo, as the user gave it.
        refusal: reason why the photo is refused; "": it is accepted.
    """

    source: Path
    output: Path | None
    header: Header
    name: str
    refusal: str = ""

    @property
    def num_pixels(self) -> int:
        """Number of pixels, from the header."""
        return self.header.width * self.header.height

    @property
    def file(self) -> Path | None:
        """The output file; None: standard output, or no output."""
        return None if self.output == STANDARD else self.output

    @property
    def is_done(self) -> bool:
        """Whether the result exists; results are written atomically."""
        return self.file is not None and os.path.isfile(self.file)


def plan(
    arguments: Sequence[str | os.PathLike[str]],
    output: str | None,
    *,
    max_pixels: int = MAX_PIXELS,
    standard_input: Path | None = None,
    sheet: str | None = None,
) -> list[Job]:
    """Returns the job of each photo; reads only headers and writes nothing.

    Args:
        arguments: photos, folders, patterns or "-", as for `inputs.find`.
        output: folder below which the tree of each input folder is kept; None: NAME.color.EXT next
            to each photo, and standard output for standard input.
        max_pixels: larger photos are refused.
        standard_input: file with the content of standard input; None: it was not read.
        sheet: the contact sheet to write.

    Returns:
        Jobs in the order of the inputs, with unique outputs.

    Raises:
        RequestError: an input is missing or has no photos, two photos would get the same output,
            or an output would replace an input.
    """
    root = None if output is None else paths.local(output)
    contact = None if sheet is None else paths.local(sheet)
    jobs: dict[str, Job] = {}
    for photo in find(arguments, Results.at(root, contact)):
        job = _job(photo, root, max_pixels, standard_input)
        first = jobs.setdefault(canonical(job.output or job.source), job)
        if first is not job and not _is_same(first.source, job.source):
            raise RequestError(
                f"{first.name!r} and {job.name!r} would both become "
                f"{str(job.output)!r}; rename one, or give them different --output folders"
            )
    _check_inputs_stay(jobs, contact)
    return list(jobs.values())


def check_writable(folder: Path, option: str) -> None:
    """Checks that a folder can be written or created; creates nothing, as the run may be refused.

    Args:
        folder: existing or not.
        option: its command-line option, for the error message.

    Raises:
        RequestError: the folder cannot be written.
    """
    try:
        nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise RequestError(
            f"{option} {str(folder)!r} cannot be written ({error.strerror}); give another folder"
        ) from None


def _job(photo: InputPhoto, root: Path | None, max_pixels: int, standard_input: Path | None) -> Job:
    name = str(photo.source)
    if photo.trouble:
        return Job(photo.source, None, _UNKNOWN, name, photo.trouble)
    source = photo.source
    if source == STANDARD and standard_input is not None:
        source = standard_input
    refusal = _refusal_of_file(source)
    header = _UNKNOWN if refusal or source == STANDARD else _header(source)
    if header.width * header.height > max_pixels:
        refusal = (
            f"{header.width}x{header.height} px are more than --max-pixels {max_pixels} allows"
        )
    return Job(source, _output(photo, root, header.suffix), header, name, refusal)


def _header(source: Path) -> Header:
    try:
        return photos.probe(source)
    except OSError:  # removed or locked: reported when it is read
        return Header("", source.suffix or ".png", 0, 0)


def _refusal_of_file(source: Path) -> str:
    """Refuses files that would block when read; a missing file is reported when it is read."""
    try:
        is_file = source == STANDARD or stat.S_ISREG(source.stat().st_mode)
    except OSError:
        return ""
    return "" if is_file else "is not a regular file"


def _output(photo: InputPhoto, root: Path | None, suffix: str) -> Path:
    if root is not None:
        return root / photo.below.with_name(photo.below.stem + suffix)
    if photo.source == STANDARD:
        return STANDARD
    return photo.source.with_name(photo.source.stem + RESULT_MARK + suffix)


def _check_inputs_stay(jobs: dict[str, Job], sheet: Path | None) -> None:
    sources = {canonical(job.source): job for job in jobs.values()}
    for path, job in jobs.items():
        if job.file is not None and path in sources:
            raise RequestError(
                f"{str(job.output)!r} is an input and would be replaced; give another --output"
            )
    if sheet is not None and (canonical(sheet) in sources or canonical(sheet) in jobs):
        raise RequestError(
            f"--contact-sheet {str(sheet)!r} is a photo of this run; give another file"
        )


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one == other or os.path.samefile(one, other)
    except OSError:
        return False
