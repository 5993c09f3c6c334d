"""The comparison itself: one method after the other, then all that is written about them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import shlex
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from colorjax import color
from colorjax.data.selection import draw as choice
from colorjax.data.selection.draw import Photos
from colorjax.errors import RequestError, UnreadablePhoto
from colorjax.evaluate import entries as what
from colorjax.evaluate import figure as figures
from colorjax.evaluate import page
from colorjax.evaluate.entries import GREY, PICTURES, TRUTH, Method, Pictures, Weights
from colorjax.metrics import intervals, picture, table
from colorjax.metrics.summary import summarize_methods
from colorjax.runtime import paths
from colorjax.runtime.versions import versions

FILES = (
    "pictures",
    "figure.png",
    "metrics.md",
    "metrics.json",
    "index.html",
)  # the page comes last
_KIND = "colorjax comparison"
_CELL = 200  # pixels of a photo in the figure


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What was found, and where it is written.

    Attributes:
        output: folder with figure.png, metrics.json, metrics.md, index.html and pictures/.
        report: the content of metrics.json.
        table: the content of metrics.md.
    """

    output: Path
    report: dict[str, Any]
    table: str

    @property
    def unreadable(self) -> list[str]:
        """The photos that were passed over, each with the reason."""
        return self.report["unreadable"]

    def mean(self, method: str, metric: str) -> float:
        """Returns a metric of a method, or of "grey"."""
        return self.report["methods"][method]["metrics"][metric]["mean"]


def compare(
    methods: Sequence[str | os.PathLike[str]],
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    split: str = "train",
    data_dir: str = "",
    photos: int | None = None,
    metric_photos: int | None = None,
    seed: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Comparison:
    """Compares methods on the same photos and writes figure, metrics, pictures and a page.

    Args:
        methods: `[NAME=]PLACE` each: a workdir of a run or of imported weights, the name of weights
            that ship, or a folder of finished pictures, which are found by the photos' names. The
            differences are to the first.
        data: folder of photos, photo files, "tfds:NAME", or what else `splits.open_data` knows.
        output: folder to write; made where it is missing.
        split: of TFDS.
        data_dir: of TFDS.
        photos: how many are shown, drawn at random; None: 8, or all files where files are given
            without `photos` and `seed`, in their order.
        metric_photos: how many are measured, the shown ones among them; 0: all; None: 200, or as
            many as are shown.
        seed: of the draw, and of the bootstrap; None: 0.
        overwrite: whether a comparison in `output` is replaced.
        progress: whether stderr is told of each method.

    Returns:
        The comparison; its `unreadable` photos were passed over.

    Raises:
        RequestError: a method, the data or a number is wrong, a finished picture is missing or of
            another size, no photo can be read, or `output` holds something already.

    >>> found = compare(["semantic-lite0"], "photos", "out", photos=4)  # doctest: +SKIP
    >>> found.mean("semantic-lite0", "mae_ab")  # doctest: +SKIP
    """
    named = what.parse(methods)
    words = [data] if isinstance(data, str | os.PathLike) else list(data)
    folder = paths.local(output)
    given = {"photos": photos, "metric_photos": metric_photos, "seed": seed}
    chosen = choice.choose(words, split=split, data_dir=data_dir, **given)
    _check_output(folder, named, chosen, overwrite)
    with _staged(folder) as stage:
        run = _Run(chosen, stage, progress, len(named))
        run.grey()
        opened = {m: Pictures(m, chosen.keys) for m in named if m.kind == PICTURES}
        for finished in opened.values():
            for number in run.measured:
                finished.find(chosen.keys[number])
        steps: dict[str, int] = {}
        # Finished pictures first: what is wrong with them is told before hours of prediction.
        for method in sorted(named, key=lambda method: method.kind != PICTURES):
            source = opened[method] if method in opened else Weights(method)
            if isinstance(source, Weights):
                steps[method.name] = source.step
            run.add(method.name, source)
            del source  # memory for one method
        options = {"--split": split if split != "train" else "", "--data-dir": data_dir} | {
            "--" + name.replace("_", "-"): value for name, value in given.items()
        }
        command = _command(methods, words, folder, options)
        report = _report(run, named, steps, command, words)
        table = _write(run, named, report)
        _move(stage, folder)
    return Comparison(folder, report, table)


class _Run:
    """The photos, and what the methods measured so far made of them.

    Attributes:
        measured: numbers of the photos that can be read; the first `num_shown` are shown.
        unreadable: names of the others, with the reason.
        values: method -> its metrics of each photo.
        columns: method -> its shown pictures, as wide as the figure's cells.
    """

    def __init__(self, photos: Photos, stage: Path, progress: bool, num_methods: int):
        self.photos = photos
        self.stage = stage
        self.measured: list[int] = []
        self.unreadable: list[str] = []
        self.values: dict[str, list[picture.Values]] = {}
        self.columns: dict[str, list[np.ndarray]] = {}
        self.files: list[str] = []  # of the shown photos, below pictures/METHOD
        self._progress = progress
        self._num_methods = num_methods

    @property
    def shown(self) -> list[int]:
        """Numbers of the photos that are shown."""
        return self.measured[: self.photos.num_shown]

    def grey(self) -> None:
        """Finds the photos that can be read, and measures what no colour gives."""
        self.values[GREY] = []
        thumbnails: dict[str, list[np.ndarray]] = {GREY: [], TRUTH: []}
        names = _Names()
        for number, truth in self.photos.readable(self.unreadable):
            grey = color.gray_photo(truth)
            self.values[GREY].append(picture.measure(grey, truth))
            if len(self.measured) < self.photos.num_shown:
                self.files.append(names.of(self.photos.keys[number]))
                for name, rgb in ((GREY, grey), (TRUTH, truth)):
                    self._show(name, len(self.measured), rgb, thumbnails[name])
            self.measured.append(number)
        if not self.measured:
            raise RequestError(
                f"no photo of --data can be read, the first: {self.unreadable[0]}; give others"
            )
        self.columns = thumbnails

    def add(self, name: str, source: Weights | Pictures) -> None:
        """Measures one method on all photos and keeps what it made of the shown ones."""
        start = time.perf_counter()
        self.values[name], self.columns[name] = [], []
        label = f"[{len(self.values) - 1}/{self._num_methods}] {name}"
        bar = tqdm(
            self.measured,
            label,
            unit="photo",
            leave=False,
            disable=None if self._progress else True,
        )
        for place, number in enumerate(bar):
            truth = self._truth(number)
            rgb = source.picture(self.photos.keys[number], truth, color.gray_photo(truth))
            self.values[name].append(picture.measure(rgb, truth))
            if place < self.photos.num_shown:
                self._show(name, place, rgb, self.columns[name])
        if self._progress:
            seconds = time.perf_counter() - start
            print(f"{label}: {len(self.measured)} photos in {seconds:.1f} s", file=sys.stderr)

    def _truth(self, number: int) -> np.ndarray:
        try:
            return self.photos.read(number)
        except UnreadablePhoto as error:
            name = self.photos.keys[number]
            raise RequestError(f"{name!r} changed meanwhile: {error}; compare again") from None

    def _show(self, name: str, place: int, picture: np.ndarray, cells: list[np.ndarray]) -> None:
        path = self.stage / "pictures" / name / self.files[place]
        figures.save(Image.fromarray(picture), path)
        cells.append(figures.fitted(picture, _CELL))


class _Names:
    """Gives each photo a PNG file of its own."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, key: str) -> str:
        """Returns PLACE/STEM.png, or PLACE/NAME.EXT.png where another photo has that."""
        name = str(PurePosixPath(key).with_suffix(".png"))
        while name.casefold() in self._taken:
            key, name = key + "_", key + ".png"
        self._taken.add(name.casefold())
        return name


def _report(
    run: _Run, named: Sequence[Method], steps: dict[str, int], command: str, data: Sequence[Any]
) -> dict[str, Any]:
    """Collects the content of metrics.json."""
    seed = run.photos.seed or 0
    values = {name: run.values[name] for name in (GREY, *(method.name for method in named))}
    summary = summarize_methods(values, seed)
    about: dict[str, dict[str, Any]] = {GREY: {"place": None, "kind": GREY}}
    for method in named:
        about[method.name] = {"place": method.place, "kind": method.kind}
        if method.name in steps:
            about[method.name]["step"] = steps[method.name]
    keys = run.photos.keys
    of_grey = run.values[GREY]
    return {
        "kind": _KIND,
        "command": command,
        "protocol": table.PROTOCOL,
        "data": [os.fspath(word) for word in data],
        "seed": run.photos.seed,
        "num_photos": len(run.measured),
        "num_grey_photos": int(sum(each["is_grey"] for each in of_grey)),
        "shown": [keys[number] for number in run.shown],
        "measured": [keys[number] for number in run.measured],
        "unreadable": run.unreadable,
        "bootstrap": {
            "resamples": intervals.RESAMPLES,
            "level": intervals.LEVEL,
            "seed": seed,
            "difference_to": named[0].name,
        },
        "truth": {"colorfulness": float(np.mean([v["true_colorfulness"] for v in of_grey]))},
        "methods": {name: about[name] | summary[name] for name in values},
        "versions": versions(),
    }


def _write(run: _Run, named: Sequence[Method], report: dict[str, Any]) -> str:
    """Writes all files but the pictures; returns the table in Markdown."""
    names = [GREY, *(method.name for method in named), TRUTH]
    figure = figures.lay_out({name: run.columns[name] for name in names}, _CELL)
    figures.save(figure, run.stage / "figure.png")
    table = page.compare_markdown(report)
    rows = [(key, run.files[place]) for place, key in enumerate(report["shown"])]
    with _telling(run.stage):
        (run.stage / "metrics.md").write_text(table, encoding="utf-8")
        (run.stage / "metrics.json").write_text(json.dumps(report, indent=2) + "\n")
        text = page.compare_html(report, names, rows)
        # Names of files need not be UTF-8; their links hold them as they are.
        (run.stage / "index.html").write_text(text, encoding="utf-8", errors="replace")
    return table


def _command(
    methods: Iterable[Any], data: Iterable[Any], folder: Path, options: dict[str, Any]
) -> str:
    """Returns the shell command that makes this comparison."""
    words = ["colorjax", "compare", *map(os.fspath, methods)]
    for word in data:
        words += ["--data", os.fspath(word)]
    for option, value in options.items():
        words += [option, str(value)] if value not in (None, "") else []
    return shlex.join([*words, "--output", str(folder)])


def _check_output(folder: Path, named: Sequence[Method], photos: Photos, overwrite: bool) -> None:
    """Refuses a folder where something would be lost, or that would count as photos."""
    real = Path(os.path.realpath(folder))
    read_from = [Path(m.place).expanduser() for m in named if m.kind == PICTURES]
    for other in [*read_from, *filter(None, [photos.folder])]:
        if real.is_relative_to(os.path.realpath(other)):
            raise RequestError(
                f"--output {str(folder)!r} is inside {str(other)!r}, whose pictures are read; give "
                "another folder"
            )
    present = [name for name in FILES if (folder / name).exists()]
    if not present:
        return
    if not _is_comparison(folder):
        raise RequestError(
            f"--output {str(folder)!r} holds {present[0]!r} and no comparison; give another folder"
        )
    if not overwrite:
        raise RequestError(
            f"--output {str(folder)!r} holds a comparison; give another folder, or --overwrite"
        )


def _is_comparison(folder: Path) -> bool:
    try:
        found = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("kind") == _KIND


@contextlib.contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """Gives a folder inside of `folder` to write in; leaves nothing of it, nor of new folders."""
    stage = folder / f".colorjax-{secrets.token_hex(4)}.partial"
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        with _telling(folder):
            stage.mkdir(parents=True)
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        for place in new:
            with contextlib.suppress(OSError):
                place.rmdir()  # does nothing to one that holds the comparison


def _move(stage: Path, folder: Path) -> None:
    """Puts the whole comparison in place of an earlier one."""
    with _telling(folder):
        old = stage / "old"
        old.mkdir()
        for name in reversed(FILES):  # first the page, which names the others
            if (folder / name).exists():
                (folder / name).replace(old / name)
        for name in FILES:
            (stage / name).replace(folder / name)


@contextlib.contextmanager
def _telling(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RequestError(
            f"--output {str(folder)!r} cannot be written ({error.strerror}); give another folder"
        ) from None
