"""Results of an evaluation: result.json, result.csv, result.md, and a table for the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from colorjax.evaluate import protocols
from colorjax.evaluate.parts import Record
from colorjax.evaluate.protocols import Protocol
from colorjax.evaluate.tables import (
    Table,
    difference_title,
    differences_table,
    estimate_text,
    markdown_table,
    metrics_table,
    text_table,
)
from colorjax.metrics import intervals, summary
from colorjax.runtime.versions import versions

NOT_AVAILABLE = "not available"
# Columns of the tables of every suite. Colorfulness is a constraint, so its distance to the truth
# comes first.
_ALWAYS = (
    *("mae_ab_8bit", "psnr", "psnr_of_mean_mse", "ssim", "auc_8bit", "auc_rebalanced_8bit"),
    *("delta_e_2000", "delta_e_2000_p90", "ms_ssim_ab", "color_structure"),
    *("delta_colorfulness_by_photo", "colorfulness", "chroma_ratio_8bit", "bits_per_pixel"),
    "ece",
)


def collect(
    protocol: Protocol,
    names: Sequence[str],
    records_of: Callable[[str], Sequence[Record]],
    about: Mapping[str, Mapping[str, Any]],
    truths: Sequence[Record],
    groups: Sequence[str] | None,
    *,
    frechet: Mapping[str, Mapping[str, float]],
    stamps: Mapping[str, Any],
) -> dict[str, Any]:
    """Returns the content of result.json.

    Args:
        protocol: of the suite.
        names: of the rows.
        records_of: row -> record of each photo, including the truth; the same photos for all rows.
        about: row -> source of its pictures, for the evaluated rows; the first is the reference of
            the differences.
        truths: record of each true photo.
        groups: the group of each photo; None: no groups.
        frechet: metric -> row -> Frechet distance; also "truth" if the reference is other photos.
        stamps: description of photos, tables and feature networks.
    """
    columns: dict[str, summary.Columns] = {}
    more: dict[str, dict[str, Any]] = {}
    for name in names:  # one row at a time, to save memory: up to 50,000 photos
        records = records_of(name)
        columns[name] = summary.columns_of(records)
        more[name] = dict(about.get(name, {"kind": "built in"})) | {
            "reliability": summary.reliability(records),
            "hues": np.mean([each["hues"] for each in records], axis=0).tolist(),
        }
        if name in about:
            more[name]["examples"] = _examples(records)
    first = next(iter(about), None)
    rows = summary.summarize_rows(columns, first)
    for name, row in rows.items():
        row |= more[name]
        for metric, distances in frechet.items():
            estimate = {"mean": distances[name], "interval": None, "num_photos": len(truths)}
            row["metrics"][metric] = estimate
        if row["reliability"]:
            error = summary.ece_of(row["reliability"])
            estimate = {"mean": error, "interval": None, "num_photos": len(truths)}
            row["metrics"]["ece"] = estimate
    result = {
        "kind": "colorjax evaluation",
        "suite": protocol.name,
        "protocol": protocols.stamp(protocol),
        **stamps,
        "rows": rows,
        "truth": _of_truth(truths, frechet),
        "compared_with": first,
        NOT_AVAILABLE: _missing(protocol, rows, stamps["feature_networks"]),
        "bootstrap": {
            "resamples": intervals.RESAMPLES,
            "level": intervals.LEVEL,
            "meaning": "bootstrap percentiles over photos; differences are paired; "
            "they do not include the variance between training seeds",
        },
        "versions": versions(),
    }
    if groups is not None:
        result["groups"] = _by_group(columns, groups, first)
    return result


def _of_truth(
    truths: Sequence[Record], frechet: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """Returns the statistics of the true photos, by metric."""
    statistics: dict[str, Any] = {
        name: float(np.mean([each[f"true_{name}"] for each in truths]))
        for name in ("colorfulness", "colorfulness_abs", "chroma")
    }
    for name in ("top1", "top5"):
        known = [each[name] for each in truths if name in each]
        if known:
            statistics[name] = float(np.mean(known))
    statistics |= {name: each["truth"] for name, each in frechet.items() if "truth" in each}
    return statistics | {"hues": np.mean([each["true_hues"] for each in truths], axis=0).tolist()}


def _missing(
    protocol: Protocol, rows: Mapping[str, Any], networks: Collection[str]
) -> dict[str, str]:
    """Returns the metrics of feature networks that are not available, each with the reason."""
    missing = {}
    for name, network in (("fid", "inception"), ("lpips", "lpips"), ("top1", "vgg16")):
        if _any(rows, name):
            continue
        if name == "fid" and not protocol.fid:
            missing[name] = "not part of this suite"
        else:
            given = network in networks
            missing[name] = (
                "too few photos"
                if given
                else "it needs the file of a network, see docs/feature_networks.md"
            )
    return missing


def _by_group(
    columns: Mapping[str, summary.Columns], groups: Sequence[str], first: str | None
) -> dict[str, Any]:
    result = {}
    for group in sorted(set(groups)):
        is_in = np.array([each == group for each in groups])
        some = {row: {k: v[is_in] for k, v in each.items()} for row, each in columns.items()}
        result[group or "(none)"] = {
            "photos": int(is_in.sum()),
            "rows": summary.summarize_rows(some, first),
        }
    return result


def _examples(photos: Sequence[Record]) -> dict[str, list[str]]:
    """Returns the names of the best, median and worst photos by PSNR, three each; no gray ones."""
    psnr = np.array([each["psnr"] for each in photos])
    order = [int(k) for k in np.argsort(-psnr, kind="stable") if not photos[k]["is_gray"]]
    middle = len(order) // 2
    positions = {
        "best": order[:3],
        "median": order[max(0, middle - 1) : middle + 2],
        "worst": order[-3:],
    }
    return {name: [photos[k]["key"] for k in some] for name, some in positions.items()}


def name_of(result: Mapping[str, Any]) -> str:
    """Returns the suite's name; with a limit also the number of photos: not comparable."""
    limit = result["photos"]["limit"]
    return result["suite"] + (f", only the first {limit} photos" if limit else "")


def grid(result: Mapping[str, Any], group: str | None = None) -> Table:
    """Returns the metrics of all rows as cells, the header first."""
    rows = result["groups"][group]["rows"] if group is not None else result["rows"]
    wanted = [*_ALWAYS, *result["protocol"].get("shown", ()), "fid", "lpips", "top1", "top5"]
    wanted += ["frechet_lite0", "lite_distance"]
    metrics = [m for m in wanted if _any(rows, m)]
    metrics += sorted(
        {m for r in rows.values() for m in r["metrics"] if m.startswith("psnr_hints_")},
        key=lambda name: int(name.rpartition("_")[2]),
    )
    lines = metrics_table(rows, metrics, result["truth"] if group is None else None)
    skills = [estimate_text(row.get("skill"), "skill") for row in rows.values()]
    return [[*line, skill] for line, skill in zip(lines, ["skill", *skills, ""], strict=False)]


def differences(result: Mapping[str, Any]) -> Table | None:
    """Returns the paired differences of the other rows to the first evaluated row, if any."""
    return differences_table(result["rows"], _ALWAYS)


def _any(rows: Mapping[str, Any], metric: str) -> bool:
    return any(metric in row["metrics"] for row in rows.values())


def table_of(result: Mapping[str, Any]) -> str:
    """Returns the metrics of all rows, without intervals, as columns for a terminal."""
    lines = [[cell.partition(" [")[0] for cell in line] for line in grid(result)]
    text = text_table(lines)
    photos = f"{result['photos']['measured']} photos, digest {result['photos']['digest'][:12]}"
    notes = [f"{name}: not measured, {why}" for name, why in result[NOT_AVAILABLE].items()]
    return "\n".join([f"{name_of(result)}: {photos}", text, *notes, *result["warnings"]])


def csv_of(result: Mapping[str, Any]) -> str:
    """Returns one line for each row, group and metric.

    The columns: value and interval, difference to the first method, its interval, direction.
    """
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n").writerow
    of_difference = ["difference_to_first", "difference_low", "difference_high", "better"]
    write(["suite", "group", "row", "metric", "value", "low", "high", *of_difference])
    parts = {"": result["rows"]} | {g: e["rows"] for g, e in result.get("groups", {}).items()}
    for group, rows in parts.items():
        for name, row in rows.items():
            estimates = dict(row["metrics"]) | ({"skill": row["skill"]} if "skill" in row else {})
            for metric, estimate in estimates.items():
                cells = [estimate["mean"], *(estimate["interval"] or ("", ""))]
                other = row.get("difference", {}).get(metric)
                if other:
                    cells += [other["mean"], *(other["interval"] or ("", "")), other["better"]]
                cells += [""] * (7 - len(cells))
                write([name_of(result), group, name, metric, *cells])
    return out.getvalue()


def markdown_of(result: Mapping[str, Any]) -> str:
    """Returns the metrics and differences, with intervals, as Markdown tables."""
    photos = result["photos"]
    parts = [
        f"{name_of(result)}: {photos['measured']} photos, digest `{photos['digest']}`\n",
        markdown_table(grid(result)),
    ]
    compared = differences(result)
    if compared:
        title = difference_title(str(result["compared_with"]))
        parts += [f"{title}:\n", markdown_table(compared)]
    for group, content in result.get("groups", {}).items():
        parts += [f"{group}: {content['photos']} photos\n", markdown_table(grid(result, group))]
    parts += [f"{name}: not available, {why}\n" for name, why in result[NOT_AVAILABLE].items()]
    parts += [f"{text}\n" for text in result["warnings"]]
    return "\n".join([*parts, f"Brackets: 95 % intervals, {result['bootstrap']['meaning']}.\n"])
