"""The suite `hecd`: how well each metric follows what people find natural.

HECD (Mullery and Whelan 2022, github.com/seanmullery/HECD) has 20 scenes with 65 recolored pictures
each, and the mean opinion of raters on how natural a picture looks. The user supplies its folder.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats
from tqdm import tqdm

from colorjax.data import prior
from colorjax.data.decode import decode_rgb
from colorjax.errors import Interrupted, RequestError, UnreadablePhoto
from colorjax.evaluate.feature_networks import FeatureNetworks
from colorjax.evaluate.features import FeatureFiles
from colorjax.evaluate.parts import Work
from colorjax.evaluate.tables import Table, markdown_table, text_table
from colorjax.metrics import intervals, table
from colorjax.metrics.picture import Measurer, measure_truth
from colorjax.metrics.summary import summarize_pictures
from colorjax.runtime import atomic, paths
from colorjax.runtime.signals import StopAfterUnit
from colorjax.version import __version__

NAME = "hecd"
# Of signed a and b. The best metric of the data set's own table is MS-SSIM of a and b in 8-bit Lab,
# where a tint of the picture costs less: 0.563 without the originals, see docs/evaluate.md.
BASELINE, _OWN_BEST = "ms_ssim_ab", 0.563
_RATINGS, _PICTURES = Path("Data", "mean_zscores.csv"), "HECDImages"
_HEADER = ["Ground Truth File", "Recolour File", "Mean zScore"]
_REMEDY = "give the folder of a copy of https://github.com/seanmullery/HECD"
# Of a single picture these are functions of another metric.
_REPEATED = ("psnr_of_mean_mse", "mae_ab_127", "delta_colorfulness_by_photo")
_SPEARMAN, _KENDALL = "spearman", "kendall"
_ROW = "pictures"


class Ratings(NamedTuple):
    """The rated pictures, without the originals themselves, sorted by scene.

    Attributes:
        truths: file name of the original of each picture: its scene.
        pictures: file names.
        opinions: (P,) mean z-scores; higher is more natural.
    """

    truths: list[str]
    pictures: list[str]
    opinions: np.ndarray


def read(folder: Path) -> Ratings:
    """Reads the mean opinions of a copy of HECD.

    Raises:
        RequestError: the folder is no copy of HECD, or a picture is missing.
    """
    file = folder / _RATINGS
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            header, *lines = csv.reader(stream)
        rows = sorted((a, b, float(score)) for a, b, score in lines if a != b)
    except (OSError, ValueError):
        raise RequestError(f"{str(file)!r} cannot be read; {_REMEDY}") from None
    if header != _HEADER or not rows:
        raise RequestError(f"{str(file)!r} has other columns than {_HEADER}; {_REMEDY}")
    for name in {name for a, b, _ in rows for name in (a, b)}:
        if not (folder / _PICTURES / name).is_file():
            raise RequestError(f"{str(folder / _PICTURES / name)!r} is missing; {_REMEDY}")
    truths, pictures, opinions = zip(*rows, strict=True)
    return Ratings(list(truths), list(pictures), np.array(opinions))


def evaluate(
    data: str,
    output: str,
    features: FeatureFiles | None = None,
    *,
    overwrite: bool = False,
    progress: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Measures all pictures and correlates every metric with the mean opinion.

    Args:
        data: folder of HECD.
        output: folder to write: result.json, result.md, values.csv.
        features: networks for lpips and lite_distance; None: neither.
        overwrite: whether another evaluation in `output` is replaced.
        progress: whether to show a progress bar on stderr.
        should_stop: called between scenes; True stops the run.

    Returns:
        The content of result.json.

    Raises:
        RequestError: an input is missing or invalid; the message names it.
        Interrupted: `should_stop` was True; finished scenes are kept.
    """
    folder, target = paths.local(data), paths.local(output)
    ratings = read(folder)
    files = features or FeatureFiles()
    lpips = (files.lpips[0], files.lpips[1]) if files.lpips else ""
    networks = FeatureNetworks.open("", lpips, lite0=files.lite0)
    work = Work(target)
    if any(target.glob("*")) and not work.is_there():
        raise RequestError(f"--output {output!r} is not empty; give another folder")
    plan = {
        "protocol": NAME,
        "photos": hashlib.sha256((folder / _RATINGS).read_bytes()).hexdigest(),
        "feature networks": networks.stamps,
        "version of colorjax": __version__,
    }
    work.begin(plan, {}, restart=overwrite)
    scenes = sorted(set(ratings.truths))
    measure = _measurer(networks)
    pending = [k for k in range(len(scenes)) if not work.has(_ROW, k)]
    for done, number in enumerate(tqdm(pending, unit="scene", disable=None if progress else True)):
        if should_stop():
            raise Interrupted(
                f"stopped after {done} of {len(pending)} scenes; the same command continues"
            )
        truth = _opened(folder, scenes[number])
        of_truth = measure_truth(truth)
        names = [
            p for t, p in zip(ratings.truths, ratings.pictures, strict=True) if t == scenes[number]
        ]
        records = []
        for name in names:
            record = measure(_opened(folder, name), truth)
            of_picture = summarize_pictures([record | of_truth])
            kept = {k: v for k, v in of_picture.items() if k not in _REPEATED}
            records.append({"key": name} | kept)
        work.save(_ROW, number, records, {})
    records = [record for k in range(len(scenes)) for record in work.load(_ROW, k)]
    result = {
        "kind": "colorjax correlation with opinions",
        "suite": NAME,
        "scenes": len(scenes),
        "pictures": len(records),
        "ratings": plan["photos"],
        "compared_with": BASELINE,
        "feature_networks": networks.stamps,
        "bootstrap": {
            "resamples": intervals.RESAMPLES,
            "level": intervals.LEVEL,
            "meaning": "bootstrap percentiles over scenes; differences are paired",
        },
        "metrics": correlations(_columns(records), ratings.opinions, ratings.truths),
    }
    atomic.write_text(target / "result.json", json.dumps(result, indent=2) + "\n")
    atomic.write_text(target / "result.md", markdown_table(grid(result)))
    atomic.write_text(target / "values.csv", _csv(ratings, records))
    return result


def _opened(folder: Path, name: str) -> np.ndarray:
    path = folder / _PICTURES / name
    try:
        return decode_rgb(path.read_bytes())
    except (OSError, UnreadablePhoto) as error:
        raise RequestError(f"{str(path)!r} cannot be read: {error}; {_REMEDY}") from None


def _measurer(networks: FeatureNetworks) -> Callable[[np.ndarray, np.ndarray], dict[str, Any]]:
    """Returns a function of (picture, truth): the record of `Measurer` and of the networks."""
    measure = Measurer(prior.load(""), compiled=True)
    distances = {"lpips": networks.lpips, "lite_distance": networks.lite0_distance}

    def record(rgb: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        return measure(rgb, truth) | {
            name: float(network(rgb[None], truth[None])[0])
            for name, network in distances.items()
            if network is not None
        }

    return record


def _columns(records: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Returns the values of each metric, (P,), that every picture has and that vary."""
    names = set.intersection(*({*record} - {"key"} for record in records))
    columns = {name: np.array([record[name] for record in records]) for name in sorted(names)}
    return {name: column for name, column in columns.items() if np.ptp(column) > 0}


def correlations(
    columns: Mapping[str, np.ndarray], opinions: np.ndarray, scenes: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Correlates metrics with opinions, over all pictures and within scenes.

    The sign is that of the metric's direction: positive if better values go with higher opinions;
    metrics without a direction keep their own. Intervals resample the scenes.

    Args:
        columns: metric -> (P,), its value of each picture.
        opinions: (P,) mean opinions; higher is better.
        scenes: the scene of each picture.

    Returns:
        metric -> spearman and kendall (over all pictures) and spearman_by_scene and
        kendall_by_scene (mean of the coefficients within each scene), each {mean, interval}; and
        difference: {mean, interval} of |spearman| to that of `BASELINE`.
    """
    names = sorted(set(scenes))
    members = [np.flatnonzero(np.array(scenes) == name) for name in names]
    every = np.concatenate([np.ones((1, len(names)), np.float32), intervals.draws(len(names))])
    samples = [
        np.concatenate([np.tile(part, int(k)) for part, k in zip(members, counts, strict=True)])
        for counts in every
    ]
    coefficients = {_SPEARMAN: _spearman, _KENDALL: _kendall}
    result: dict[str, dict[str, Any]] = {}
    over_all: dict[str, np.ndarray] = {}
    for metric, column in columns.items():
        signed = column * (table.metric(metric).better or 1)
        result[metric] = {}
        for name, coefficient in coefficients.items():
            values = np.array([coefficient(signed[s], opinions[s]) for s in samples])
            within = np.array([coefficient(signed[m], opinions[m]) for m in members])
            result[metric][name] = intervals.estimate(values, len(names))
            by_scene = every @ within / len(names)
            result[metric][f"{name}_by_scene"] = intervals.estimate(by_scene, len(names))
            if name == _SPEARMAN:
                over_all[metric] = abs(values)
    for metric, values in over_all.items():
        if BASELINE in over_all and metric != BASELINE:
            difference = intervals.estimate(values - over_all[BASELINE], len(names))
            result[metric]["difference"] = difference
    return result


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    ranks = stats.rankdata(np.stack([x, y]), axis=1)
    return float(np.corrcoef(ranks)[0, 1])


def _kendall(x: np.ndarray, y: np.ndarray) -> float:
    return float(stats.kendalltau(x, y, method="asymptotic").statistic)


def grid(result: Mapping[str, Any]) -> Table:
    """Returns the coefficients as cells, the highest |spearman| first, the header first."""
    columns = (_SPEARMAN, "difference", f"{_SPEARMAN}_by_scene", _KENDALL, f"{_KENDALL}_by_scene")
    lines = [["metric", *columns]]
    metrics = result["metrics"]
    for name in sorted(metrics, key=lambda each: -abs(metrics[each][_SPEARMAN]["mean"])):
        cells = [_cell(metrics[name].get(column), column) for column in columns]
        lines.append([table.labeled(name), *cells])
    return lines


def _cell(estimate: Mapping[str, Any] | None, column: str) -> str:
    if estimate is None:
        return ""
    sign = "+" if column == "difference" else ""
    text = f"{estimate['mean']:{sign}.3f}"
    if estimate["interval"] is None:
        return text
    low, high = estimate["interval"]
    return f"{text} [{low:{sign}.3f}, {high:{sign}.3f}]"


def _csv(ratings: Ratings, records: Sequence[Mapping[str, Any]]) -> str:
    names = [name for name in records[0] if name != "key"]
    lines = [",".join(["truth", "picture", "opinion", *names])]
    for truth, opinion, record in zip(ratings.truths, ratings.opinions, records, strict=True):
        cells = [f"{record[name]:.9g}" if name in record else "" for name in names]
        lines.append(",".join([truth, record["key"], f"{opinion:.9g}", *cells]))
    return "\n".join(lines) + "\n"


def run_and_print(
    data: str, output: str, features: FeatureFiles, *, overwrite: bool = False
) -> int:
    """Runs the suite and prints its table; returns the exit status.

    Raises:
        RequestError: see `evaluate`.
        Interrupted: a signal stopped it.
    """
    with StopAfterUnit("scene") as stop:
        result = evaluate(
            data,
            output,
            features,
            overwrite=overwrite,
            progress=True,
            should_stop=lambda: bool(stop),
        )
    print(f"{NAME}: {result['pictures']} pictures of {result['scenes']} scenes")
    print(text_table(grid(result)))
    print(f"difference: |spearman| minus that of {BASELINE}; brackets: 95 % intervals over scenes")
    print(f"the best metric of HECD's own table, MS-SSIM of 8-bit a and b, has {_OWN_BEST} in HECD")
    print("constants of color_structure were chosen on HECD; left out by scene: docs/evaluate.md")
    print(f"values of each picture: {paths.local(output) / 'values.csv'}", file=sys.stderr)
    return 0
