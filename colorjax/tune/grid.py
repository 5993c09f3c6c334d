"""Grid search: trains a config for each combination of values, and tabulates the results."""

from __future__ import annotations

import itertools
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from colorjax.errors import RequestError
from colorjax.evaluate.tables import markdown_table
from colorjax.metrics import table as metrics_table
from colorjax.runtime import atomic, child_process, foreign_files
from colorjax.runtime.file_names import printable
from colorjax.runtime.signals import Stop

SEED = "seed"
_COLUMNS = (
    "mae_ab",
    "psnr_of_mean_mse",
    "psnr",
    "ssim",
    "colorfulness",
    "chroma_ratio",
    "delta_e_2000",
    "top1",
    "mae_ab_scaled",
)
_CELL = 128  # pixels of a photo in the figures


class Field(NamedTuple):
    """A field of the config and the values that it takes."""

    name: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Field:
        """Reads `data.saturation=1,1.8`.

        Raises:
            RequestError: no name, no value, or a repeated value.
        """
        name, _, values = text.partition("=")
        parsed = tuple(value.strip() for value in values.split(","))
        if not name or not all(parsed) or len(set(parsed)) < len(parsed):
            raise RequestError(f"--vary is FIELD=VALUE,VALUE,..., each value once, not {text!r}")
        return cls(name.removeprefix("config."), parsed)


class Run(NamedTuple):
    """One combination of field values, and its workdir."""

    values: dict[str, str]
    workdir: Path


def plan(fields: Sequence[Field], root: Path) -> list[Run]:
    """Returns every combination, the last field varying fastest.

    >>> [run.workdir.name for run in plan([Field("model.edges", ("off", "sobel"))], Path("s"))]
    ['edges=off', 'edges=sobel']
    """
    names = [field.name for field in fields]
    short = [name.rpartition(".")[2] for name in names]
    runs = []
    for values in itertools.product(*(field.values for field in fields)):
        label = "_".join(f"{name}={value}" for name, value in zip(short, values, strict=True))
        runs.append(Run(dict(zip(names, values, strict=True)), root / label))
    return runs


def without_seed(values: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Returns the values of a combination without the seed."""
    return tuple((name, value) for name, value in values.items() if name != SEED)


def summarize(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Reads the results of finished runs.

    Returns:
        For each combination: `values`; `seeds`, their number; `metrics`: name -> {mean, deviation},
        over the seeds; the deviation is None for one seed.

    Raises:
        RequestError: a run has no results.
    """
    groups: dict[tuple, list[dict[str, float]]] = {}
    for run in runs:
        try:
            metrics = foreign_files.read_json(run.workdir / "eval.json")["metrics"]
        except (OSError, ValueError, KeyError, TypeError):
            raise RequestError(
                f"{str(run.workdir)!r} has no eval.json; run the sweep again to finish it"
            ) from None
        groups.setdefault(without_seed(run.values), []).append(metrics)
    rows = []
    for key, results in groups.items():
        summary = {}
        for name in results[0]:
            values = [result[name] for result in results if name in result]
            spread = statistics.stdev(values) if len(values) > 1 else None
            summary[name] = {"mean": statistics.mean(values), "deviation": spread}
        rows.append({"values": dict(key), "seeds": len(results), "metrics": summary})
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the summary as a Markdown table: mean ± standard deviation over the seeds."""
    names = [metric for metric in _COLUMNS if any(metric in row["metrics"] for row in rows)]
    lines = [[*rows[0]["values"], "seeds", *map(metrics_table.labeled, names)]]
    for row in rows:
        cells = [*row["values"].values(), str(row["seeds"])]
        lines.append(cells + [_cell(metric, row["metrics"].get(metric)) for metric in names])
    return markdown_table(lines)


def _cell(metric: str, value: dict[str, float] | None) -> str:
    if value is None:
        return ""
    known = [value["mean"]] + ([] if value["deviation"] is None else [value["deviation"]])
    return " ± ".join(metrics_table.text(metric, x) for x in known)


def figures(fields: Sequence[Field], runs: Sequence[Run], prefix: Path, photos: list) -> list[Path]:
    """Draws a figure for each combination of all fields but the first and the seed.

    Args:
        fields: the varied fields; the values of the first are the columns.
        runs: from `plan`; only the first seed is shown.
        prefix: of the paths of the figures.
        photos: (H, W, 3) uint8 each, the rows.

    Returns:
        The paths of the figures.
    """
    from colorjax.evaluate import figure
    from colorjax.inference.colorizer import Colorizer

    first = fields[0].name
    groups: dict[str, dict[str, Path]] = {}
    for run in runs:
        rest = [f"{n.rpartition('.')[2]}={v}" for n, v in without_seed(run.values) if n != first]
        columns = groups.setdefault("_".join([prefix.name, *rest]), {})
        title = f"{first.rpartition('.')[2]} {run.values[first]}"
        columns.setdefault(title, run.workdir)
    paths = []
    for name, columns in groups.items():
        colorizers = {title: Colorizer.load(workdir) for title, workdir in columns.items()}
        paths.append(prefix.with_name(f"{name}.png"))
        figure.save(figure.lay_out(figure.columns_of(photos, colorizers), _CELL), paths[-1])
    return paths


def reported_photos(workdir: Path, number: int) -> list[np.ndarray]:
    """Returns some of the test photos of a run, evenly spread."""
    from colorjax.data.decode import decode_rgb
    from colorjax.data.selection import splits
    from colorjax.data.sources.subsets import evenly_spaced
    from colorjax.weights.workdir import Workdir

    data = Workdir(workdir).read_config().data
    with data.unlocked():
        # These fields affect only training and validation photos.
        data.drop_grey, data.min_chroma = False, 0.0
        data.validation, data.drop_lowest_hue = "hash", 0
    source = splits.open_splits(data).eval
    return [decode_rgb(source[i].image) for i in evenly_spaced(len(source), number)]


def run(
    config: str,
    root: Path,
    fields: Sequence[Field],
    *,
    name: str = "sweep",
    photos: Sequence[str] = (),
    arguments: Sequence[str] = (),
) -> int:
    """Trains every combination; writes and prints the table and the paths of the figures.

    Args:
        config: FILE.py[:ARGS].
        root: folder of the sweep.
        fields: the varied fields.
        name: of the result files.
        photos: files and folders, the rows of the figures; empty: test photos.
        arguments: for `colorjax.main`.

    Returns:
        The exit status: 0, or that of the first training that did not finish.

    Raises:
        RequestError: a run has no results, or a photo cannot be read.
    """
    from colorjax.evaluate import figure

    runs = plan(fields, root)
    for number, each in enumerate(runs, start=1):
        print(f"[{number}/{len(runs)}] {printable(each.workdir)}", file=sys.stderr)
        status = _train(config, each, arguments)
        if status:
            return status
    rows = summarize(runs)
    root.mkdir(parents=True, exist_ok=True)
    atomic.write_text(root / f"{name}.json", json.dumps(rows, indent=2) + "\n")
    atomic.write_text(root / f"{name}.md", table(rows))
    pictures = figure.read_photos(photos) or reported_photos(runs[0].workdir, 6)
    drawn = figures(fields, runs, root / name, pictures)
    print(table(rows))
    print("\n".join(map(printable, drawn)))
    return 0


def _train(config: str, each: Run, arguments: Sequence[str]) -> int:
    """Trains one combination in a separate process; signals are passed on to it."""
    values = [f"--config.{name}={value}" for name, value in each.values.items()]
    command = [f"--config={config}", f"--workdir={each.workdir}", *values, *arguments]
    with Stop() as stop:  # the child saves and exits with 75
        return child_process.run_module("colorjax.main", command, lambda: bool(stop))
