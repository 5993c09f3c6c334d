"""Films on the command line: `colorjax colorize film.mp4`."""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from colorjax.errors import DONE, SOME_FAILED, STOPPED, WRONG_REQUEST, Interrupted, RequestError
from colorjax.inference.film.run import (
    UnreadableFilm,
    UnwritableFilm,
    colorize_film,
    output_name,
)
from colorjax.runtime import full_disk, jax_setup, paths, waiting
from colorjax.runtime.file_names import RESULT_MARK, printable
from colorjax.runtime.memory import MAX_FILM_PIXELS
from colorjax.runtime.signals import Stop, StopAfterUnit

if TYPE_CHECKING:
    from colorjax.inference.batch.shard import Shard
    from colorjax.inference.film.painter import FramePainter

SAME_OUTPUT = "two films would get the same output; colorize them in separate commands"

# Options that films do not support, with their defaults.
_OF_PHOTOS = {
    "hints": [],
    "global_image": None,
    "tiling": None,
    "warmth": 0.0,
    "strength": 1.0,
    "quality": "normal",
    "upsampling": "guided",
}
Job: TypeAlias = tuple[str, Path]  # film as the user named it, output


def plan(
    films: Sequence[str], args: argparse.Namespace, coloring: dict[str, Any], shard: Shard
) -> list[Job]:
    """Returns the output path of each film of a part.

    Args:
        films: paths of the films.
        args: arguments of the command; its inputs are the photos.
        coloring: fields of `Options`; films use only the saturation.
        shard: the part.

    Raises:
        RequestError: an option that films do not support, two films with the same output, or an
            output that is one of the films.
    """
    given = [name for name, none in _OF_PHOTOS.items() if coloring.get(name, none) != none]
    given += ["contact_sheet"] if args.contact_sheet and not args.inputs else []
    given += ["--white"] if args.white is not None and not args.inputs else []
    if given:
        raise RequestError(
            f"films take no {' and no '.join(given)}; colorize them without, in a separate command"
        )
    jobs = [(name, _output_of(paths.local(name), args.output)) for name in films]
    outputs = [output.resolve() for _, output in jobs]
    if len(set(outputs)) < len(outputs):
        raise RequestError(SAME_OUTPUT)
    replaced = set(outputs) & {paths.local(name).resolve() for name in films}
    if replaced:
        raise RequestError(
            f"{printable(min(replaced).name)} is an input and would be replaced; "
            "give another --output"
        )
    return [(name, output) for name, output in jobs if shard.holds(Path(paths.local(name).name))]


def colorize_films(
    jobs: Sequence[Job],
    args: argparse.Namespace,
    loading: dict[str, Any],
    coloring: dict[str, Any],
) -> int:
    """Colorizes films one after the other and returns the exit status.

    Args:
        jobs: from `plan`.
        args: arguments of the command.
        loading: arguments of `Colorizer.load`.
        coloring: fields of `Options`.
    """
    load = loader(args, loading, coloring)
    with StopAfterUnit() as stop:
        status, counts = paint(jobs, args, loading, load, stop)
    if args.json:
        part = {"shard": args.shard} if args.shard else {}
        print(json.dumps({"summary": counts | part}), flush=True)
    elif not jobs:
        print(f"part {args.shard}: no film", flush=True)
    return status


def loader(
    args: argparse.Namespace, loading: dict[str, Any], coloring: dict[str, Any]
) -> Callable[[], FramePainter]:
    """Returns a function that loads the weights, once."""
    return functools.cache(lambda: _load(args, loading, coloring["saturation"]))


def paint(
    jobs: Sequence[Job],
    args: argparse.Namespace,
    loading: dict[str, Any],
    load: Callable[[], FramePainter],
    stop: Stop,
) -> tuple[int, dict[str, int]]:
    """Colorizes films and reports each.

    Args:
        jobs: from `plan`.
        args: arguments of the command.
        loading: arguments of `Colorizer.load`.
        load: from `loader`; called if there is something to do.
        stop: true once a signal came.

    Returns:
        The exit status, and the number of films by what became of them.
    """
    status = DONE
    counts = {"done": 0, "skipped": 0, "failed": 0, "planned": 0}
    for name, output in jobs:
        if args.dry_run or (output.exists() and not args.overwrite):
            state = "skipped" if output.exists() and not args.overwrite else "planned"
            _report(args, name, output, state)
            counts[state] += 1
            continue
        try:
            counts[_colorize(args, paths.local(name), output, load(), loading, stop)] += 1
        except (UnreadableFilm, UnwritableFilm) as error:
            if full_disk.reason_of(error):  # the next one would not fit either
                print(
                    f"colorjax: {printable(error)}; the same command continues once that is fixed",
                    file=sys.stderr,
                )
                status = WRONG_REQUEST
                break
            _report(args, name, output, "failed", notes=[str(error)])
            counts["failed"] += 1
            status = SOME_FAILED
        except Interrupted as error:
            print(f"colorjax: {printable(error)}", file=sys.stderr)
            status = STOPPED
            break
    return status, counts


def _output_of(film: Path, folder: str | None) -> Path:
    name = Path(output_name(film.name))
    if folder is not None:
        return paths.local(folder) / name
    return film.with_name(name.stem + RESULT_MARK + name.suffix)


def _load(args: argparse.Namespace, loading: dict[str, Any], saturation: float) -> FramePainter:
    jax_setup.quiet_library_logs()
    if loading.get("engine", "jax") == "jax":
        jax_setup.use_compilation_cache("auto")
    from colorjax.inference.colorizer import Colorizer
    from colorjax.inference.film.painter import FramePainter

    named = [args.checkpoint] if args.checkpoint else []
    return FramePainter(Colorizer.load(*named, **loading), saturation)


def _colorize(
    args: argparse.Namespace,
    film: Path,
    output: Path,
    painter: FramePainter,
    loading: dict[str, Any],
    stop: Stop,
) -> str:
    """Colorizes a film, reports it, and returns "done" or "skipped"."""
    from tqdm import tqdm

    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnwritableFilm(
            f"{str(output.parent)!r} cannot be created: {error.strerror}"
        ) from None
    known: list[str] = []

    def notify(notes: Sequence[str]) -> None:
        known.extend(notes)
        if not args.json:
            _print_notes(str(film), notes)

    with (
        tqdm(unit="frame", disable=None, desc=printable(film.name)) as bar,
        waiting.ticking(bar),
    ):

        def progress(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        report = colorize_film(
            film,
            output,
            painter,
            weights=painter.weights,
            settings=f"{args.checkpoint}, {loading}",
            overwrite=args.overwrite,
            max_pixels=args.max_pixels or MAX_FILM_PIXELS,
            drop_streams=args.drop_streams,
            notify=notify,
            progress=progress,
            stop=lambda: bool(stop),
        )
    if report is None:  # another process has made it meanwhile
        _report(args, str(film), output, "skipped")
        return "skipped"
    figures = {name: value for name, value in report._asdict().items() if name != "notes"}
    notes = [note for note in report.notes if args.json or note not in known]
    _report(args, str(film), output, "done", report.line(), notes=notes, **figures)
    return "done"


def _report(
    args: argparse.Namespace,
    film: str,
    output: Path,
    state: str,
    text: str = "",
    *,
    notes: Sequence[str] = (),
    **figures: Any,
) -> None:
    if args.json:
        row = {"input": film, "output": str(output), "status": state, "notes": list(notes)}
        print(json.dumps(row | figures), flush=True)
    elif state == "failed":
        print(f"colorjax: {printable(film)}: {'; '.join(notes)}", file=sys.stderr)
    else:
        print(f"{printable(film)} -> {printable(str(output))}: {text or state}", flush=True)
        _print_notes(film, notes)


def _print_notes(film: str, notes: Sequence[str]) -> None:
    for note in notes:
        print(f"colorjax: {printable(film)}: {note}", file=sys.stderr)
