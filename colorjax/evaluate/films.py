"""Prints the color distribution consistency (CDC) of films, finished by any program."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from colorjax.errors import DONE, WRONG_REQUEST, RequestError
from colorjax.inference.film.read import FilmReader, UnreadableFilm
from colorjax.metrics import cdc, table
from colorjax.runtime.file_names import printable
from colorjax.runtime.memory import MAX_FILM_PIXELS


def consistency(path: Path) -> float:
    """Returns the CDC of a film; see `colorjax.metrics.cdc`.

    Raises:
        RequestError: the file is no film, it has fewer than 5 frames, or PyAV is not installed.
    """
    try:
        reader = FilmReader(path, MAX_FILM_PIXELS)
        return cdc(frame.rgb for frame in reader.frames())
    except (UnreadableFilm, ValueError, OSError) as error:
        raise RequestError(f"{str(path)!r}: {error}; give films of at least 5 frames") from None


def run(argv: Sequence[str] | None = None) -> int:
    """Prints one line for each film; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m colorjax.evaluate.films", description=__doc__.splitlines()[0]
    )
    parser.add_argument("films", nargs="+", metavar="FILM", type=Path, help="one scene each")
    try:
        for path in parser.parse_args(argv).films:
            print(f"{table.text('cdc', consistency(path))}  {printable(path)}")
    except RequestError as error:
        print(f"colorjax: {printable(error)}", file=sys.stderr)
        return WRONG_REQUEST
    return DONE


if __name__ == "__main__":
    sys.exit(run())
