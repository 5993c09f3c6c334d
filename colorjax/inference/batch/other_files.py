"""Files that people keep with their photos and that are not photos: films, raw files, PDF, ..."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from colorjax.runtime.file_names import is_film, printable

FILM = "film"
_MOST_NAMES = 5  # of films in a message

# suffixes of files from cameras with undeveloped sensor data; most have the header of a TIFF
_RAW = (
    *(".3fr", ".ari", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr"),
    *(".iiq", ".k25", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".ptx"),
    *(".r3d", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)
_PICTURES = (
    *(".ai", ".cdr", ".djvu", ".eps", ".exr", ".hdr", ".ico", ".jxl", ".jxr", ".kra", ".pcx"),
    *(".svg", ".svgz", ".tga", ".wdp", ".xcf"),
)


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
        name: in the singular; the plural has an s.
        advice: what to do with such a file.
    """

    name: str
    advice: str


_FILM = Kind(FILM, "")
_PHOTOSHOP = Kind("Photoshop file", "export it as TIFF or PNG")
_RAW_FILE = Kind("raw camera file", "develop it to TIFF or JPEG")
_PDF = Kind("PDF file", "export its pages as PNG or TIFF")
_PICTURE = Kind("picture file of another format", "convert it to PNG or TIFF")
_BY_SUFFIX = {
    **dict.fromkeys((".psd", ".psb"), _PHOTOSHOP),
    **dict.fromkeys(_RAW, _RAW_FILE),
    ".pdf": _PDF,
    **dict.fromkeys(_PICTURES, _PICTURE),
}
_BY_START = {
    b"8BPS": _PHOTOSHOP,
    b"%PDF": _PDF,
    b"FUJIFILMCCD-RAW": _RAW_FILE,
    b"\x1aE\xdf\xa3": _FILM,  # Matroska, WebM
    b"0&\xb2u\x8ef\xcf\x11": _FILM,  # ASF, WMV
    b"FLV\x01": _FILM,
    b"OggS": _FILM,
    b".RMF": _FILM,
    b"\x06\x0e+\x34\x02\x05\x01\x01": _FILM,  # MXF
    b"\0\0\x01\xba": _FILM,  # MPEG program stream
    b"\0\0\x01\xb3": _FILM,  # MPEG video
    b"\xff\x0a": _PICTURE,  # JPEG XL
    b"\0\0\0\x0cJXL ": _PICTURE,
}
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")  # of MP4 and MOV
_TS_PACKET = 188  # bytes


def kind_by_name(name: str) -> Kind | None:
    """Returns the kind of a file with this name; None: a photo, or something unknown.

    >>> kind_by_name("scan.PSD").name
    'Photoshop file'
    """
    return _FILM if is_film(name) else _BY_SUFFIX.get(Path(name).suffix.lower())


def kind_by_content(start: bytes) -> Kind | None:
    """Returns the kind of a file that is not a photo, by its first bytes; None: unknown."""
    for signature, kind in _BY_START.items():
        if start.startswith(signature):
            return kind
    if start[4:12] == b"ftypcrx ":
        return _RAW_FILE
    is_stream = start[:1] == b"G" == start[_TS_PACKET : _TS_PACKET + 1]
    if start[4:8] in _BOXES or start[:4] + start[8:12] == b"RIFFAVI " or is_stream:
        return _FILM
    return None


def kind_of(path: Path, kind: str) -> Kind | None:
    """Returns the kind of an existing file that is not a photo; None: a photo, or unknown.

    Args:
        path: of the file.
        kind: `Header.kind` of the file. The content decides, but raw files have that of a TIFF.
    """
    named = kind_by_name(path.name)
    if kind:
        return named if named is _RAW_FILE and kind == "TIFF" else None
    with path.open("rb") as file:
        return named or kind_by_content(file.read(_TS_PACKET + 1))


def refusal(kind: Kind, *, takes_films: bool, is_piped: bool = False) -> str:
    """Returns why a file of some kind cannot be processed, with the fix.

    Args:
        kind: of the file.
        takes_films: whether the command processes films.
        is_piped: whether the file came through standard input.
    """
    if kind.name != FILM:
        return f"is a {kind.name}, not a photo: {kind.advice} first"
    if not takes_films:
        return "is a film; this command takes photos only (ffmpeg -i FILM -vf hue=s=0 GRAY.mp4)"
    if is_piped:
        return "is a film; save it as a file and give its name: colorjax colorize FILM.mp4"
    return "is a film; rename it, so that its name ends in .mp4, .mov, .mkv or .avi"


def passed_over(
    files: Iterable[Path], output: str | None, *, takes_films: bool
) -> tuple[dict[str, int], list[str]]:
    """Counts files in input folders that are not processed.

    Args:
        files: of known kinds.
        output: value of --output.
        takes_films: whether the command processes films.

    Returns:
        Number of files by kind; and lines for the user, none if there are no files.
    """
    files = sorted(set(files))
    kinds = [kind_by_name(path.name) for path in files]
    counts = dict(sorted(Counter(kind.name for kind in kinds if kind).items()))
    if not counts:
        return {}, []
    texts = [f"{n} {name if n == 1 else plural(name)}" for name, n in counts.items()]
    lines = [f"not processed: {', '.join(texts)}"]
    films = [path for path, kind in zip(files, kinds, strict=True) if kind is _FILM]
    if films and takes_films:
        lines.append(f"to colorize films (videos), give their names: {film_command(films, output)}")
    return counts, lines


def plural(name: str) -> str:
    """Returns the plural of the name of a kind.

    >>> plural("PDF file"), plural("picture file of another format")
    ('PDF files', 'picture files of another format')
    """
    return name.replace(" file", " files") if " file" in name else f"{name}s"


def film_command(films: Sequence[Path], output: str | None) -> str:
    """Returns the command that colorizes films; it names the first `_MOST_NAMES`."""
    words = ["colorjax", "colorize", *map(str, films[:_MOST_NAMES])]
    words += [] if output is None else ["--output", output]
    more = len(films) - _MOST_NAMES
    return printable(shlex.join(words)) + (f" (and {more} more)" if more > 0 else "")
