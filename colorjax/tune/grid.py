"""Grid search: trains a config once for each combination of values, and compares them."""

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
from colorjax.runtime import child_process
from colorjax.runtime.signals import Stop

SEED = "seed"
TABLE = (
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
            RequestError: no name, no value, or a value twice.
        """
        name, _, values = text.partition("=")
        found = tuple(value.strip() for value in values.split(","))
        if not name or not all(found) or len(set(found)) < len(found):
            raise RequestError(f"--vary is FIELD=VALUE,VALUE,..., each value once; got {text!r}")
        return cls(name.removeprefix("config."), found)


class Run(NamedTuple):
    """One combination: the values of the fields, and where it is trained."""

    values: dict[str, str]
    workdir: Path


def plan(fields: Sequence[Field], root: Path) -> list[Run]:
    """Names every combination, the last field varying fastest.

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
    """Returns what tells a combination from others, but for the seed."""
    return tuple((name, value) for name, value in values.items() if name != SEED)


def summarize(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Reads the results of finished runs.

    Returns:
        For each combination: `values`; `seeds`, how many; `metrics`: name -> {mean, deviation},
        over the seeds; the deviation is None for one seed.

    Raises:
        RequestError: a run has no results.
    """
    groups: dict[tuple, list[dict[str, float]]] = {}
    for run in runs:
        try:
            found = json.loads((run.workdir / "eval.json").read_text(encoding="utf-8"))["metrics"]
        except (OSError, ValueError, KeyError):
            raise RequestError(
                f"{str(run.workdir)!r} has no eval.json; was it cut short?"
            ) from None
        groups.setdefault(without_seed(run.values), []).append(found)
    rows = []
    for key, results in groups.items():
        metrics = {}
        for name in results[0]:
            values = [result[name] for result in results if name in result]
            spread = statistics.stdev(values) if len(values) > 1 else None
            metrics[name] = {"mean": statistics.mean(values), "deviation": spread}
        rows.append({"values": dict(key), "seeds": len(results), "metrics": metrics})
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Writes the summary as a table in Markdown; mean ± standard deviation over the seeds."""
    shown = [name for name in TABLE if any(name in row["metrics"] for row in rows)]
    head = [*rows[0]["values"], "seeds", *shown]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        cells = [*row["values"].values(), str(row["seeds"])]
        lines.append(cells + [_cell(row["metrics"].get(name)) for name in shown])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(found: dict[str, float] | None) -> str:
    if found is None:
        return ""
    text = f"{found['mean']:.3f}"
    return text if found["deviation"] is None else f"{text} ± {found['deviation']:.3f}"


def figures(fields: Sequence[Field], runs: Sequence[Run], prefix: Path, photos: list) -> list[Path]:
    """Draws a figure for each combination of all fields but the first and the seed.

    Args:
        fields: what is varied; the values of the first are the columns.
        runs: of `plan`; of several seeds the first is shown.
        prefix: what the pictures' paths begin with.
        photos: (H, W, 3) uint8 each, the rows.

    Returns:
        The pictures' paths.
    """
    from colorjax.evaluate import figure as drawing
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
        colorizers = {title: Colorizer.load(place) for title, place in columns.items()}
        paths.append(prefix.with_name(f"{name}.png"))
        drawing.save(drawing.lay_out(drawing.columns_of(photos, colorizers), _CELL), paths[-1])
    return paths


def reported_photos(workdir: Path, number: int) -> list[np.ndarray]:
    """Returns some of the photos that a run reports on, spread over them."""
    from colorjax.data.decode import decode_rgb
    from colorjax.data.selection import splits
    from colorjax.weights.workdir import Workdir

    data = Workdir(workdir).read_config().data
    with data.unlocked():
        # Of photos to train on or to choose by alone, which are not seen here.
        data.drop_grey, data.min_chroma = False, 0.0
        data.validation, data.drop_lowest_hue = "hash", 0
    source = splits.open_splits(data).eval
    places = sorted({round(at) for at in np.linspace(0, len(source) - 1, number)})
    return [decode_rgb(source[place].image) for place in places]


def run(
    config: str,
    root: Path,
    fields: Sequence[Field],
    *,
    name: str = "sweep",
    photos: Sequence[str] = (),
    arguments: Sequence[str] = (),
) -> int:
    """Trains every combination and writes the table and the figures; prints them.

    Args:
        config: FILE.py[:ARGS].
        root: folder of the sweep.
        fields: what is varied.
        name: of the results.
        photos: files and folders, the rows of the figures; none: photos of the report.
        arguments: for `colorjax.main`.

    Returns:
        The exit status: 0, or that of a training that ended otherwise.

    Raises:
        RequestError: no run, or a photo that cannot be read.
    """
    from colorjax.evaluate import figure as drawing

    runs = plan(fields, root)
    for number, each in enumerate(runs, start=1):
        print(f"[{number}/{len(runs)}] {each.workdir}", file=sys.stderr)
        status = _train(config, each, arguments)
        if status:
            return status
    rows = summarize(runs)
    root.mkdir(parents=True, exist_ok=True)
    (root / f"{name}.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    (root / f"{name}.md").write_text(table(rows), encoding="utf-8")
    pictures = drawing.read_photos(photos) or reported_photos(runs[0].workdir, 6)
    drawn = figures(fields, runs, root / name, pictures)
    print(table(rows))
    print("\n".join(map(str, drawn)))
    return 0


def _train(config: str, each: Run, rest: Sequence[str]) -> int:
    """Trains one combination in a process of its own, which is told of signals."""
    values = [f"--config.{name}={value}" for name, value in each.values.items()]
    words = [f"--config={config}", f"--workdir={each.workdir}", *values, *rest]
    with Stop() as stop:  # a child that is told saves and ends with 75
        return child_process.run_module("colorjax.main", words, lambda: bool(stop))
