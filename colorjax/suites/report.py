"""What an evaluation says: result.json, result.csv, and the table of a terminal."""

from __future__ import annotations

import csv
import io
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import PIL

from colorjax.metrics import intervals
from colorjax.suites import protocols, summary
from colorjax.suites.protocols import Protocol
from colorjax.suites.work import Record
from colorjax.version import __version__

NOT_AVAILABLE = "not available"
# metric -> decimals, of the tables.
SHOWN = {
    "mae_ab": 2,
    "psnr": 2,
    "psnr_of_mean_mse": 2,
    "ssim": 3,
    "auc": 4,
    "auc_rebalanced": 4,
    "delta_e_2000": 2,
    "colorfulness": 1,
    "chroma_ratio": 2,
    "bits_per_pixel": 2,
}


def collect(
    protocol: Protocol,
    records: Mapping[str, Sequence[Record]],
    about: Mapping[str, Mapping[str, Any]],
    groups: Sequence[str] | None,
    *,
    stamps: Mapping[str, Any],
    features: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Collects the content of result.json.

    Args:
        protocol: what was run.
        records: row -> what is known of each photo, the truth included; of the same photos.
        about: row -> where its pictures come from, for the rows that are evaluated; the first is
            what others are compared with.
        groups: the group of each photo; None: no groups.
        stamps: what says which photos, tables and feature networks it was.
        features: row -> metrics without intervals, of whole sets: fid.
    """
    columns = {name: summary.columns_of(photos) for name, photos in records.items()}
    first = next(iter(about), None)
    found = summary.summarize(columns, first)
    fids = features or {}
    missing = [] if fids else ["fid"]
    missing += [name for name in ("lpips", "top1") if not _has(columns, name)]
    for name, row in found.items():
        row |= dict(about.get(name, {"kind": "built in"}))
        for metric, value in fids.get(name, {}).items():
            row["metrics"][metric] = {"mean": float(value), "interval": None}
        row["reliability"] = summary.reliability(records[name])
        row["hues"] = np.mean([each["hues"] for each in records[name]], axis=0).tolist()
        if name in about:
            row["examples"] = _examples(records[name], columns[name])
    truths = next(iter(columns.values()))
    result = {
        "kind": "colorjax evaluation",
        "suite": protocol.name,
        "protocol": protocols.stamp(protocol),
        **stamps,
        "rows": found,
        "truth": {
            name: float(truths[f"true_{name}"].mean())
            for name in ("colorfulness", "colorfulness_abs", "chroma")
        }
        | {
            "hues": np.mean([e["true_hues"] for e in next(iter(records.values()))], axis=0).tolist()
        },
        "compared_with": first,
        **({"fid_of_truth": fids["truth"]["fid"]} if "truth" in fids else {}),
        NOT_AVAILABLE: missing,
        "bootstrap": {
            "resamples": intervals.RESAMPLES,
            "level": intervals.LEVEL,
            "meaning": "percentiles over photos drawn with replacement; differences are paired; "
            "they speak of the choice of photos, not of the training's luck",
        },
        "versions": {
            "colorjax": __version__,
            "jax": jax.__version__,
            "numpy": np.__version__,
            "pillow": PIL.__version__,
            "python": platform.python_version(),
        },
    }
    if groups is not None:
        result["groups"] = _by_group(columns, groups, first)
    return result


def _has(columns: Mapping[str, summary.Columns], name: str) -> bool:
    return any(name in each for each in columns.values())


def _by_group(
    columns: Mapping[str, summary.Columns], groups: Sequence[str], first: str | None
) -> dict[str, Any]:
    found = {}
    for group in sorted(set(groups)):
        is_in = np.array([each == group for each in groups])
        some = {row: {k: v[is_in] for k, v in each.items()} for row, each in columns.items()}
        found[group or "(none)"] = {
            "photos": int(is_in.sum()),
            "rows": summary.summarize(some, first),
        }
    return found


def _examples(photos: Sequence[Record], columns: summary.Columns) -> dict[str, list[str]]:
    """Returns the names of the best, middle and worst photos by PSNR, three each."""
    psnr = columns["psnr"]
    order = [int(k) for k in np.argsort(-psnr, kind="stable") if np.isfinite(psnr[k])]
    middle = len(order) // 2
    places = {
        "best": order[:3],
        "median": order[max(0, middle - 1) : middle + 2],
        "worst": order[-3:],
    }
    return {name: [photos[k]["key"] for k in some] for name, some in places.items()}


def name_of(result: Mapping[str, Any]) -> str:
    """Returns the suite's name; of a part of its photos with their number: not comparable."""
    limit = result["photos"]["limit"]
    return result["suite"] + (f", first {limit} photos alone" if limit else "")


def grid(result: Mapping[str, Any], group: str | None = None) -> list[list[str]]:
    """Returns the metrics of all rows as cells, the head first."""
    rows = result["groups"][group]["rows"] if group is not None else result["rows"]
    shown = [m for m in [*SHOWN, "fid", "lpips", "top1"] if _any(rows, m)]
    shown += sorted(
        {m for r in rows.values() for m in r["metrics"] if m.startswith("psnr_hints_")},
        key=lambda name: int(name.rpartition("_")[2]),
    )
    lines = [["row", *(_titled(name) for name in shown), "skill"]]
    for name, row in rows.items():
        cells = [_cell(row["metrics"].get(m), SHOWN.get(m, 2)) for m in shown]
        lines.append([name, *cells, _cell(row.get("skill"), 3)])
    if group is None:
        truth = [f"{result['truth'][m]:.1f}" if m in result["truth"] else "" for m in shown]
        lines.append(["truth", *truth, ""])
    return lines


def differences(result: Mapping[str, Any]) -> list[list[str]] | None:
    """Returns the paired differences of the evaluated rows to the first; None: there is one."""
    others = {n: r for n, r in result["rows"].items() if "difference" in r}
    shown = [m for m in SHOWN if any(m in r["difference"] for r in others.values())]
    if not others:
        return None
    lines = [["row", *(_titled(name) for name in shown)]]
    for name, row in others.items():
        cells = [_cell(row["difference"].get(m), SHOWN[m], sign="+") for m in shown]
        lines.append([name, *cells])
    return lines


def _any(rows: Mapping[str, Any], metric: str) -> bool:
    return any(metric in row["metrics"] for row in rows.values())


def _titled(metric: str) -> str:
    arrow = "↑" if metric in protocols.HIGHER or metric.startswith("psnr_hints") else ""
    arrow = arrow or ("↓" if metric in protocols.LOWER else "")
    return f"{metric} {arrow}".strip()


def _cell(found: Mapping[str, Any] | None, decimals: int, sign: str = "") -> str:
    if found is None:
        return ""
    form = f"{sign}.{decimals}f"
    text = format(found["mean"], form)
    if found["interval"] is None:
        return text
    return f"{text} [{', '.join(format(end, form) for end in found['interval'])}]"


def table_of(result: Mapping[str, Any]) -> str:
    """Returns the metrics of all rows, without intervals, in columns for a terminal."""
    lines = [[cell.partition(" [")[0] for cell in line] for line in grid(result)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    text = "\n".join(
        "  ".join(
            cell.ljust(w) if k == 0 else cell.rjust(w)
            for k, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
    missing = ", ".join(result[NOT_AVAILABLE])
    photos = f"{result['photos']['measured']} photos, digest {result['photos']['digest'][:12]}"
    return f"{name_of(result)}: {photos}\n{text}" + (
        f"\nnot available (no weights of their networks given): {missing}" if missing else ""
    )


def csv_of(result: Mapping[str, Any]) -> str:
    """Returns one line for each row, group and metric: value, interval, whether it is better."""
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n").writerow
    write(["suite", "group", "row", "metric", "value", "low", "high", "difference_to_first"])
    parts = {"": result["rows"]} | {g: e["rows"] for g, e in result.get("groups", {}).items()}
    for group, rows in parts.items():
        for name, row in rows.items():
            estimates = dict(row["metrics"]) | ({"skill": row["skill"]} if "skill" in row else {})
            for metric, found in estimates.items():
                low, high = found["interval"] or ("", "")
                other = row.get("difference", {}).get(metric, {}).get("mean", "")
                write([name_of(result), group, name, metric, found["mean"], low, high, other])
    return out.getvalue()
