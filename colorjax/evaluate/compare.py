"""Compares methods one by one, then writes figure, metrics and page."""

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
from colorjax.data.selection import draw
from colorjax.data.selection.draw import DrawnPhotos
from colorjax.errors import RequestError, UnreadablePhoto, unknown_name
from colorjax.evaluate import entries, page
from colorjax.evaluate import figure as figures
from colorjax.evaluate.entries import GRAY, PICTURES, TRUTH, Method, Pictures, Weights
from colorjax.metrics import intervals, picture, summary
from colorjax.runtime import atomic, paths, waiting
from colorjax.runtime.versions import versions

FILES = (
    "pictures",
    "figure.png",
    "metrics.md",
    "metrics.json",
    "index.html",
)  # the page is last
_KIND = "colorjax comparison"
_CELL = 200  # pixels of a photo in the figure
_PROTOCOL = (
    "finished 8-bit sRGB pictures against the true photos, both at the photo's own size, each "
    "method at its own working size; the input is the photo's lightness (L of CIE Lab, D65) as an "
    "8-bit gray photo, except for pictures of other programs; values per photo, then means over "
    "photos; psnr excludes exactly gray photos, ssim (11x11 Gaussian) those with a side under 11 "
    "px; psnr_of_mean_mse and chroma_ratio_8bit (mean chroma, predicted / true) are computed from "
    "sums over photos; L counts in accuracy_2 and accuracy_5"
)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Result of a comparison.

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
        """The skipped photos, each with the reason."""
        return self.report["unreadable"]

    def mean(self, method: str, metric: str) -> float:
        """Returns a metric of a method, or of "grey".

        Raises:
            RequestError: the method has no such metric.
        """
        metrics = self.report["methods"][method]["metrics"]
        if metric not in metrics:
            raise unknown_name("metric", metric, metrics)
        return metrics[metric]["mean"]


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
        methods: `[NAME=]PLACE` each: a workdir of a run or of imported weights, the name of shipped
            weights, or a folder of finished pictures, matched by the photos' names. The first is
            the reference of the differences.
        data: folder of photos, photo files, "tfds:NAME", or other data of `splits.open_data`.
        output: folder to write; created if missing.
        split: of TFDS.
        data_dir: of TFDS.
        photos: number of shown photos, drawn at random; None: 8, or all given files in their order
            if files are given without `photos` and `seed`.
        metric_photos: number of measured photos, including the shown ones; 0: all; None: 200, or
            the number of shown photos.
        seed: of the draw, and of the bootstrap; None: 0.
        overwrite: whether a comparison in `output` is replaced.
        progress: whether progress is printed to stderr.

    Returns:
        The comparison; its `unreadable` photos were skipped.

    Raises:
        RequestError: a method, the data or a number is wrong, a finished picture is missing or of
            another size, no photo can be read, or `output` holds results or is inside an input.

    >>> comparison = compare(["semantic-lite0"], "photos", "out", photos=4)  # doctest: +SKIP
    >>> comparison.mean("semantic-lite0", "mae_ab_8bit")  # doctest: +SKIP
    """
    named = entries.parse(methods)
    inputs = [data] if isinstance(data, str | os.PathLike) else list(data)
    folder = paths.local(output)
    given = {"photos": photos, "metric_photos": metric_photos, "seed": seed}
    chosen = draw.choose(inputs, split=split, data_dir=data_dir, **given)
    _check_output(folder, named, chosen, overwrite)
    with _staged(folder) as stage:
        run = _Comparison(chosen, stage, progress, len(named))
        run.gray()
        opened = {m: Pictures(m, chosen.keys) for m in named if m.kind == PICTURES}
        for finished in opened.values():
            for number in run.measured:
                finished.find(chosen.keys[number])
        steps: dict[str, int] = {}
        # Finished pictures first: their errors are reported before hours of prediction.
        for method in sorted(named, key=lambda method: method.kind != PICTURES):
            source = opened[method] if method in opened else Weights(method)
            if isinstance(source, Weights):
                steps[method.name] = source.step
            run.add(method.name, source)
            del source  # one method in memory at a time
        options = {"--split": split if split != "train" else "", "--data-dir": data_dir} | {
            "--" + name.replace("_", "-"): value for name, value in given.items()
        }
        command = _command(methods, inputs, folder, options)
        report = _report(run, named, steps, command, inputs)
        table = _write(run, named, report)
        _move(stage, folder)
    return Comparison(folder, report, table)


class _Comparison:
    """The photos, and the results of the methods measured so far.

    Attributes:
        measured: numbers of the photos that can be read; the first `num_shown` are shown.
        unreadable: names of the other photos, with the reason.
        values: method -> its metrics of each photo.
        columns: method -> its shown pictures, at the width of the figure's cells.
    """

    def __init__(self, photos: DrawnPhotos, stage: Path, progress: bool, num_methods: int):
        self.photos = photos
        self.stage = stage
        self.measured: list[int] = []
        self.unreadable: list[str] = []
        self.values: dict[str, list[dict[str, float]]] = {}
        self.columns: dict[str, list[np.ndarray]] = {}
        self.files: list[str] = []  # of the shown photos, below pictures/METHOD
        self._progress = progress
        self._num_methods = num_methods

    @property
    def shown(self) -> list[int]:
        """Numbers of the photos that are shown."""
        return self.measured[: self.photos.num_shown]

    def gray(self) -> None:
        """Selects the readable photos, and measures the gray baseline."""
        self.values[GRAY] = []
        thumbnails: dict[str, list[np.ndarray]] = {GRAY: [], TRUTH: []}
        names = _Names()
        for number, truth in self.photos.readable(self.unreadable):
            gray = color.gray_photo(truth)
            self.values[GRAY].append(picture.measure(gray, truth))
            if len(self.measured) < self.photos.num_shown:
                self.files.append(names.of(self.photos.keys[number]))
                for name, rgb in ((GRAY, gray), (TRUTH, truth)):
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
        with waiting.ticking(bar):
            for index, number in enumerate(bar):
                truth = self._truth(number)
                rgb = source.picture(self.photos.keys[number], truth, color.gray_photo(truth))
                self.values[name].append(picture.measure(rgb, truth))
                if index < self.photos.num_shown:
                    self._show(name, index, rgb, self.columns[name])
        if self._progress:
            seconds = time.perf_counter() - start
            print(f"{label}: {len(self.measured)} photos in {seconds:.1f} s", file=sys.stderr)

    def _truth(self, number: int) -> np.ndarray:
        try:
            return self.photos.read(number)
        except UnreadablePhoto as error:
            name = self.photos.keys[number]
            message = f"{name!r} changed during the run: {error}; run the command again"
            raise RequestError(message) from None

    def _show(self, name: str, index: int, picture: np.ndarray, cells: list[np.ndarray]) -> None:
        path = self.stage / "pictures" / name / self.files[index]
        figures.save(Image.fromarray(picture), path)
        cells.append(figures.fitted(picture, _CELL))


class _Names:
    """Assigns each photo a unique PNG file name."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, key: str) -> str:
        """Returns FOLDER/STEM.png, or FOLDER/NAME.EXT.png if that name is taken."""
        name = str(PurePosixPath(key).with_suffix(".png"))
        while name.casefold() in self._taken:
            key, name = key + "_", key + ".png"
        self._taken.add(name.casefold())
        return name


def _report(
    run: _Comparison,
    named: Sequence[Method],
    steps: dict[str, int],
    command: str,
    data: Sequence[Any],
) -> dict[str, Any]:
    """Returns the content of metrics.json."""
    seed = run.photos.seed or 0
    names = (GRAY, *(method.name for method in named))
    columns = {name: summary.columns_of(run.values[name]) for name in names}
    results = summary.summarize_rows(columns, named[0].name, seed=seed)
    about: dict[str, dict[str, Any]] = {GRAY: {"place": None, "kind": GRAY}}
    for method in named:
        about[method.name] = {"place": method.source, "kind": method.kind}
        if method.name in steps:
            about[method.name]["step"] = steps[method.name]
    keys = run.photos.keys
    of_gray = run.values[GRAY]
    return {
        "kind": _KIND,
        "command": command,
        "protocol": _PROTOCOL,
        "data": [os.fspath(item) for item in data],
        "seed": run.photos.seed,
        "num_photos": len(run.measured),
        "num_grey_photos": int(sum(each["is_gray"] for each in of_gray)),
        "shown": [keys[number] for number in run.shown],
        "measured": [keys[number] for number in run.measured],
        "unreadable": run.unreadable,
        "bootstrap": {
            "resamples": intervals.RESAMPLES,
            "level": intervals.LEVEL,
            "seed": seed,
            "difference_to": named[0].name,
        },
        "truth": {"colorfulness": float(np.mean([v["true_colorfulness"] for v in of_gray]))},
        "methods": {name: about[name] | {"difference": None} | results[name] for name in names},
        "versions": versions(),
    }


def _write(run: _Comparison, named: Sequence[Method], report: dict[str, Any]) -> str:
    """Writes all files except the pictures; returns the table in Markdown."""
    names = [GRAY, *(method.name for method in named), TRUTH]
    figure = figures.lay_out({name: run.columns[name] for name in names}, _CELL)
    figures.save(figure, run.stage / "figure.png")
    table = page.compare_markdown(report)
    rows = [(key, run.files[index]) for index, key in enumerate(report["shown"])]
    with _write_errors(run.stage):
        atomic.write_text(run.stage / "metrics.md", table)
        atomic.write_text(run.stage / "metrics.json", json.dumps(report, indent=2) + "\n")
        text = page.compare_html(report, names, rows)
        # File names may not be valid UTF-8; links contain them unchanged.
        atomic.write_text(run.stage / "index.html", text)
    return table


def _command(
    methods: Iterable[Any], data: Iterable[Any], folder: Path, options: dict[str, Any]
) -> str:
    """Returns the shell command of this comparison."""
    arguments = ["colorjax", "compare", *map(os.fspath, methods)]
    for item in data:
        arguments += ["--data", os.fspath(item)]
    for option, value in options.items():
        arguments += [option, str(value)] if value not in (None, "") else []
    return shlex.join([*arguments, "--output", str(folder)])


def _check_output(
    folder: Path, named: Sequence[Method], photos: DrawnPhotos, overwrite: bool
) -> None:
    """Raises a RequestError if the output would overwrite other files or be read as photos."""
    real = Path(os.path.realpath(folder))
    read_from = [Path(m.source).expanduser() for m in named if m.kind == PICTURES]
    for other in [*read_from, *filter(None, [photos.folder])]:
        if real.is_relative_to(os.path.realpath(other)):
            raise RequestError(
                f"--output {str(folder)!r} is inside the input folder {str(other)!r}; give "
                "another folder"
            )
    present = [name for name in FILES if (folder / name).exists()]
    if not present:
        return
    if not _is_comparison(folder):
        raise RequestError(
            f"--output {str(folder)!r} holds {present[0]!r} but no comparison; give another folder"
        )
    if not overwrite:
        raise RequestError(
            f"--output {str(folder)!r} holds a comparison; give another folder, or --overwrite"
        )


def _is_comparison(folder: Path) -> bool:
    try:
        content = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("kind") == _KIND


@contextlib.contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder inside `folder`; removes it and new empty folders at the end."""
    stage = folder / f".colorjax-{secrets.token_hex(4)}.partial"
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        with _write_errors(folder):
            stage.mkdir(parents=True)
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        for path in new:
            with contextlib.suppress(OSError):
                path.rmdir()  # fails for a folder that is not empty


def _move(stage: Path, folder: Path) -> None:
    """Replaces an earlier comparison as a whole."""
    with _write_errors(folder):
        old = stage / "old"
        old.mkdir()
        for name in reversed(FILES):  # first the page, which links to the others
            if (folder / name).exists():
                (folder / name).replace(old / name)
        for name in FILES:
            (stage / name).replace(folder / name)


@contextlib.contextmanager
def _write_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RequestError(
            f"--output {str(folder)!r} cannot be written ({error.strerror}); give another folder"
        ) from None
