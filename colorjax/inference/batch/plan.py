"""Plans the jobs of a run: input and output of each photo, before anything is written."""

from __future__ import annotations

import itertools
import os
import stat
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from colorjax import photos
from colorjax.errors import RequestError
from colorjax.inference.batch import other_files
from colorjax.inference.batch.inputs import STANDARD, SUFFIXES, InputPhoto, Inputs, Results, find
from colorjax.photos import MAX_PIXELS, Header
from colorjax.photos.header import kind_to_write
from colorjax.runtime import paths
from colorjax.runtime.file_names import RESULT_MARK, UNCERTAINTY_MARK, canonical, is_film

_UNKNOWN = Header("", "", 0, 0)


class Job(NamedTuple):
    """Input and output of one photo.

    Attributes:
        source: the file to read.
        output: the file to write, or `STANDARD`; None: no output, as the photo is refused.
        header: format and size from the photo's first bytes.
        name: name of the photo, as the user gave it.
        refusal: reason why the photo is refused; "": it is accepted.
        note: why the output has another name than usual; "": it has the usual one.
        samples: files of further colorized versions, see `with_more_files`.
        map: file of the map of the uncertainty; None: no map.
        below: path of the photo below its input, see `Shard`.
    """

    source: Path
    output: Path | None
    header: Header
    name: str
    refusal: str = ""
    note: str = ""
    samples: tuple[Path, ...] = ()
    map: Path | None = None
    below: Path = Path()

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
        return self.file is not None and not self.missing(overwrite=False)

    def missing(self, *, overwrite: bool) -> list[Path]:
        """Returns the files to write: those that do not exist, or with `overwrite` all."""
        if self.file is None:
            return []
        files = [self.file, *self.samples, *([self.map] if self.map else [])]
        return [path for path in files if overwrite or not os.path.isfile(path)]


class Plan(NamedTuple):
    """Jobs of a run.

    Attributes:
        jobs: in the order of the inputs, with unique outputs.
        others: files in input folders that are of a known kind, but not photos.
    """

    jobs: list[Job]
    others: list[Path]


def plan(
    arguments: Sequence[str | os.PathLike[str]],
    output: str | None,
    *,
    max_pixels: int = MAX_PIXELS,
    standard_input: Path | None = None,
    sheets: Iterable[Path] = (),
    takes_films: bool = False,
) -> Plan:
    """Plans the job of each photo; reads only headers and writes nothing.

    Args:
        arguments: photos, folders, patterns or "-", as for `inputs.find`.
        output: folder below which the tree of each input folder is kept; or, for one photo, the
            file to write, see `output_file`; None: NAME.color.EXT next to each photo, and standard
            output for standard input.
        max_pixels: larger photos are refused.
        standard_input: file with the content of standard input; None: it was not read.
        sheets: contact sheets, of this run and of runs over other parts of the same photos.
        takes_films: whether the command processes films, for messages.

    Raises:
        RequestError: an input is missing or has no photos, photos of two folders would get the same
            output, an output would replace an input, or one output file is given for many photos.
    """
    file = output_file(output)
    root = None if output is None or file else paths.local(output)
    sheets = list(sheets)
    inputs = find(arguments, Results.at(root, sheets))
    if file is not None:
        _check_is_one(arguments, inputs, file)
    jobs = [
        read_job(
            photo,
            root,
            max_pixels=max_pixels,
            standard_input=standard_input,
            takes_films=takes_films,
        )
        for photo in inputs.photos
    ]
    if file is not None:
        jobs = [job._replace(output=file) for job in jobs]
    return Plan(with_own_outputs(jobs, root, sheets), inputs.others)


def read_job(
    photo: InputPhoto,
    root: Path | None,
    *,
    max_pixels: int = MAX_PIXELS,
    standard_input: Path | None = None,
    takes_films: bool = False,
) -> Job:
    """Returns the job of one photo, whose output may be that of another photo; reads its header.

    Args:
        photo: the photo.
        root: the output folder; None: next to the photo.
        max_pixels: a larger photo is refused.
        standard_input: file with the content of standard input; None: it was not read.
        takes_films: whether the command processes films, for messages.
    """
    job = _job(photo, max_pixels, standard_input, takes_films=takes_films)
    return job._replace(output=_output(photo, root, job.header.suffix), below=photo.below)


def with_own_outputs(
    jobs: Sequence[Job], root: Path | None, sheets: Sequence[Path] = ()
) -> list[Job]:
    """Returns jobs with unique outputs; of a photo that is given twice, one job.

    Args:
        jobs: from `read_job`.
        root: the output folder; None: next to each photo.
        sheets: contact sheets.

    Raises:
        RequestError: see `plan`.
    """
    unique = _with_unique_outputs(jobs, RESULT_MARK if root is None else "")
    _check_inputs_stay(unique, sheets)
    return unique


def with_more_files(
    jobs: Sequence[Job], samples: int, *, with_map: bool, refuses_jobs: bool = False
) -> list[Job]:
    """Returns the jobs with the files of samples, NAME.color.1.EXT, and maps, NAME.uncertainty.png.

    Maps of photos that differ only in their suffix are numbered, NAME-2.uncertainty.png.

    Args:
        jobs: with unique outputs.
        samples: number of samples of each photo.
        with_map: whether each photo gets a map of its uncertainty.
        refuses_jobs: whether photos are refused if a file of one would replace the other or its
            result, instead of an error.

    Raises:
        RequestError: a picture goes to standard output, or a file would replace an input or the
            result of another photo.
    """
    if any(job.output == STANDARD for job in jobs):
        raise RequestError("--samples and --uncertainty write several files; give --output FOLDER")
    owners = {canonical(job.source): job.source for job in jobs}
    owners |= {canonical(job.file): job.source for job in jobs if job.file is not None}
    refusals: dict[Path, str] = {}
    result = []
    for job in jobs:
        if job.file is None:
            result.append(job)
            continue
        name, suffix = job.file.stem, job.file.suffix
        drawn = tuple(job.file.with_name(f"{name}.{n}{suffix}") for n in range(1, samples + 1))
        for path in drawn:
            if canonical(path) in owners:
                reason = (
                    f"{str(path)!r} is another photo or result of this run and would be replaced; "
                    "give another --output"
                )
                if not refuses_jobs:
                    raise RequestError(reason)
                # The other one too: its result may be a sample of this one from an earlier time.
                for source in (job.source, owners[canonical(path)]):
                    refusals.setdefault(source, reason)
        stem = name.removesuffix(RESULT_MARK) if with_map else name
        numbered = ("", *(f"-{n}" for n in range(2, len(jobs) + 2)))
        maps = (job.file.with_name(f"{stem}{n}{UNCERTAINTY_MARK}.png") for n in numbered)
        chosen = next(path for path in maps if canonical(path) not in owners) if with_map else None
        for path in (*drawn, *([chosen] if chosen else [])):
            owners.setdefault(canonical(path), job.source)
        result.append(job._replace(samples=drawn, map=chosen))
    return [job._replace(refusal=refusals.get(job.source, job.refusal)) for job in result]


def output_file(output: str | None) -> Path | None:
    """Returns the picture that --output names; None: a folder, or no --output.

    A name that ends in /, and that of an existing folder, is a folder.

    Raises:
        RequestError: pictures of this format cannot be written.
    """
    if output is None or output.endswith(("/", os.sep)):
        return None
    path = paths.local(output)
    if path.is_dir() or not (path.suffix.lower() in SUFFIXES or is_film(path)):
        return None
    try:
        kind_to_write(path.suffix)
    except ValueError as error:
        raise RequestError(f"--output {output!r}: {error}; or give a folder") from None
    return path


def _check_is_one(arguments: Sequence[str | os.PathLike[str]], inputs: Inputs, file: Path) -> None:
    number = len(inputs.photos)
    is_folder = any(paths.local(argument).is_dir() for argument in arguments)
    if number != 1 or len(arguments) != 1 or is_folder:
        what = "a folder is given" if is_folder else f"{number} photos are given"
        raise RequestError(
            f"--output {str(file)!r} names one picture, but {what}; give the name of a folder, "
            f"such as --output {str(file.with_suffix(''))!r}"
        )


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


def _job(
    photo: InputPhoto, max_pixels: int, standard_input: Path | None, *, takes_films: bool
) -> Job:
    """Returns the job of a photo, without its output."""
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
    if not refusal and source != STANDARD and (kind := _other_kind(source, header)):
        is_piped = photo.source == STANDARD
        refusal = other_files.refusal(kind, takes_films=takes_films, is_piped=is_piped)
    return Job(source, None, header, name, refusal)


def _other_kind(source: Path, header: Header) -> other_files.Kind | None:
    try:
        return other_files.kind_of(source, header.kind)
    except OSError:  # removed or locked: reported when it is read
        return None


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


def _output(photo: InputPhoto, root: Path | None, suffix: str) -> Path | None:
    if photo.trouble:
        return None
    if root is not None:
        return root / photo.below.with_name(photo.below.stem + suffix)
    if photo.source == STANDARD:
        return STANDARD
    return photo.source.with_name(photo.source.stem + RESULT_MARK + suffix)


def _with_unique_outputs(jobs: Sequence[Job], mark: str) -> list[Job]:
    """Drops repeated photos; numbers photos of one folder that would get the same output.

    The first is the photo whose own name ends as the output does, then in the order of names, so
    that a later run gives the same names.

    Args:
        jobs: with outputs that may be equal.
        mark: what the names of outputs have before their suffix.
    """
    groups: dict[str, list[int]] = {}
    for n, job in enumerate(jobs):
        group = groups.setdefault(canonical(job.output or job.source), [])
        if not any(_is_same(job.source, jobs[other].source) for other in group):
            group.append(n)
    taken = {*groups, *(canonical(job.source) for job in jobs)}
    unique: dict[int, Job] = {}
    for group in groups.values():
        first, *others = sorted(group, key=lambda n: _precedence(jobs[n]))
        unique[first] = jobs[first]
        for n in others:
            unique[n] = _numbered(jobs[n], jobs[first], mark, taken)
            taken.add(canonical(unique[n].output or unique[n].source))
    return [unique[n] for n in sorted(unique)]


def _precedence(job: Job) -> tuple[bool, str]:
    suffix = "" if job.output is None else job.output.suffix
    return job.source.suffix.lower() != suffix.lower(), job.source.name


def _numbered(job: Job, first: Job, mark: str, taken: set[str]) -> Job:
    """Returns a job with the first free output NAME-2.EXT, or NAME-2.color.EXT.

    Raises:
        RequestError: the photos are in different folders, whose order is that of the command line.
    """
    assert job.output is not None, "refused photos have outputs of their own"
    if job.source.parent != first.source.parent:
        raise RequestError(
            f"{first.name!r} and {job.name!r} would both become {str(job.output)!r}; "
            "rename one, or give them different --output folders"
        )
    ending = mark + job.output.suffix
    stem = job.output.name.removesuffix(ending)
    named = (job.output.with_name(f"{stem}-{n}{ending}") for n in itertools.count(2))
    output = next(path for path in named if canonical(path) not in taken)
    note = f"{first.source.name} has a result of this name: written as {output.name}"
    return job._replace(output=output, note=note)


def _check_inputs_stay(jobs: Sequence[Job], sheets: Sequence[Path]) -> None:
    sources = {canonical(job.source) for job in jobs}
    outputs = {canonical(job.file): job for job in jobs if job.file is not None}
    for path, job in outputs.items():
        if path in sources:
            raise RequestError(
                f"{str(job.output)!r} is an input and would be replaced; give another --output"
            )
    for sheet in sheets:
        if canonical(sheet) in sources or canonical(sheet) in outputs:
            raise RequestError(
                f"--contact-sheet {str(sheet)!r} is a photo of this run; give another file"
            )


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one == other or os.path.samefile(one, other)
    except OSError:
        return False
