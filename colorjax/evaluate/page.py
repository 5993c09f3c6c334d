"""Result pages of evaluations and comparisons: tables, pictures and charts, without scripts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from colorjax.evaluate import charts, report
from colorjax.evaluate import figure as figures
from colorjax.evaluate import tables as markup
from colorjax.evaluate.tables import Table, estimate_text, html_table, markdown_table
from colorjax.metrics.table import SHOWN
from colorjax.runtime import atomic

_SIDE = 256  # pixels of a picture
_CAPTIONS = {
    "best": "The three photos with the highest PSNR",
    "median": "Three photos around the median",
    "worst": "The three photos with the lowest PSNR",
}
PicturesOf = Callable[[str, Sequence[str]], Iterable[tuple[np.ndarray, ...]]]


def write(folder: Path, result: Mapping[str, Any], pictures_of: PicturesOf) -> None:
    """Writes index.html and its pictures.

    Args:
        folder: of the evaluation.
        result: the content of result.json.
        pictures_of: (row, names of photos) -> (grey, picture, truth) of each.
    """
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    sections = []
    for name, row in result["rows"].items():
        if "examples" not in row:
            continue
        examples = []
        for kind, keys in row["examples"].items():
            file = f"pictures/{name}_{kind}.png"
            columns: dict[str, list[np.ndarray]] = {"grey": [], name: [], "truth": []}
            for triple in pictures_of(name, keys):
                for column, picture in zip(columns.values(), triple, strict=True):
                    column.append(_fitted(picture))
            if keys:
                atomic.write_png(folder / file, figures.lay_out(columns, _SIDE))
            examples.append((kind, file, keys))
        sections.append(_row(name, row, examples))
    atomic.write_text(folder / "index.html", page(result, sections))


def _fitted(picture: np.ndarray) -> np.ndarray:
    """Returns the picture resized to the width of a cell."""
    height, width = picture.shape[:2]
    factor = _SIDE / width
    size = (_SIDE, max(1, round(height * factor)))
    how = Image.Resampling.NEAREST if factor >= 2 else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(picture).resize(size, how))


def page(result: Mapping[str, Any], sections: Sequence[str]) -> str:
    """Returns the page."""
    photos = result["photos"]
    differences = report.differences(result)
    table = html_table(report.grid(result))
    if differences:
        table += (
            f"<h2>Difference to {escape(str(result['compared_with']))}, paired by photo</h2>\n"
            + html_table(differences)
        )
    for group in result.get("groups", {}):
        number = result["groups"][group]["photos"]
        table += f"<h2>{escape(group)}: {number} photos</h2>\n"
        table += html_table(report.grid(result, group))
    hues = {"truth": result["truth"]["hues"]} | {
        name: row["hues"] for name, row in result["rows"].items() if "examples" in row
    }
    notes = [f"{name}: not available, {why}" for name, why in result[report.NOT_AVAILABLE].items()]
    note = "".join(f"<p>{escape(text)}</p>\n" for text in [*notes, *result["warnings"]])
    facts = {k: v for k, v in result["protocol"].items() if isinstance(v, str | int | list)}
    stamps = {k: result[k] for k in ("tables", "feature_networks", "versions")}
    definitions = result["protocol"]["metrics"] | result["protocol"]["rows"]
    body = f"""<p>{photos["measured"]} photos, {photos["exactly_grey"]} of them exactly gray,
{len(photos["unreadable"])} unreadable; digest <code>{photos["digest"]}</code></p>
<h2>Metrics</h2>
{table}
{note}
<p>Brackets: 95 % intervals, {escape(result["bootstrap"]["meaning"])}.</p>
<h2>Hues</h2>
<p>Chroma by hue.</p>
{charts.hues(hues, "chroma by hue of the truth and of each row")}
{"".join(sections)}
<h2>Protocol</h2>
{_list(facts)}
<h2>Definitions</h2>
{_list(definitions)}
<h2>Stamps</h2>
<pre>{escape(json.dumps(stamps, indent=2))}</pre>"""
    return markup.document(f"colorjax evaluation: {report.name_of(result)}", body)


def _row(
    name: str, row: Mapping[str, Any], examples: Sequence[tuple[str, str, Sequence[str]]]
) -> str:
    parts = [
        f"<h2>{escape(name)}</h2>\n<p>{escape(row['place'])}, "
        f"digest <code>{row['digest'][:16]}</code></p>"
    ]
    for kind, file, keys in examples:
        if not keys:
            continue
        link, names = quote(file), escape(", ".join(keys))
        parts.append(
            f'<figure><a href="{link}"><img loading="lazy" src="{link}" '
            f'alt="gray, {escape(name)}, truth of {names}"></a>'
            f"<figcaption>{_CAPTIONS[kind]}: {names}</figcaption></figure>"
        )
    if row["reliability"]:
        parts.append(
            "<h3>Reliability of the predicted distribution</h3>\n"
            + charts.reliability(row["reliability"], f"reliability of {name}")
        )
    return "\n".join(parts)


def _list(facts: Mapping[str, Any]) -> str:
    lines = [
        f"<dt>{escape(str(name))}</dt><dd>{escape(str(value))}</dd>"
        for name, value in facts.items()
    ]
    return "<dl>\n" + "\n".join(lines) + "\n</dl>"


def compare_means(report: dict[str, Any]) -> Table:
    """Returns the metrics of each method, and the colorfulness of the true photos."""
    names = _compare_metrics(report)
    rows = [["method", "photos", *(f"{name} {SHOWN[name][1]}".strip() for name in names)]]
    for method, result in report["methods"].items():
        cells = [_compare_cell(name, result["metrics"].get(name)) for name in names]
        rows.append([method, str(report["num_photos"]), *cells])
    truth = [_compare_cell(name, _compare_truth(report, name)) for name in names]
    return [*rows, ["truth", str(report["num_photos"]), *truth]]


def compare_differences(report: dict[str, Any]) -> Table | None:
    """Returns the paired differences to the first method; None if there is no other."""
    names = _compare_metrics(report)
    others = {name: m for name, m in report["methods"].items() if m["difference"] is not None}
    if not others:
        return None
    rows = [["method", *names]]
    for method, result in others.items():
        rows.append(
            [method, *(_compare_cell(n, result["difference"].get(n), sign="+") for n in names)]
        )
    return rows


def compare_markdown(report: dict[str, Any]) -> str:
    """Returns the content of metrics.md."""
    parts = [markdown_table(compare_means(report))]
    differences = compare_differences(report)
    if differences:
        parts += [f"{_difference_title(report)}:\n", markdown_table(differences)]
    return "\n".join([*parts, f"{_intervals(report)} Protocol: {report['protocol']}.\n"])


def compare_html(
    report: dict[str, Any], columns: Sequence[str], rows: Sequence[tuple[str, str]]
) -> str:
    """Returns the page.

    Args:
        report: the content of metrics.json.
        columns: names of the folders below pictures/, "grey" first and "truth" last.
        rows: (name of a photo, its file in each of those folders).
    """
    methods = [name for name in report["methods"] if name != "grey"]
    title = "Colorization: " + ", ".join(methods)
    facts = "\n".join(
        f"<dt>{escape(name)}</dt><dd>{text}</dd>" for name, text in _compare_facts(report).items()
    )
    tables = html_table(compare_means(report))
    differences = compare_differences(report)
    if differences:
        tables += f"\n<h2>{escape(_difference_title(report))}</h2>\n{html_table(differences)}"
    pictures = "\n".join(_compare_row(key, file, columns) for key, file in rows)
    body = f"""<h2>Metrics</h2>
{tables}
<p>{escape(_intervals(report))}</p>
<h2>Figure</h2>
<a href="figure.png"><img src="figure.png" alt="gray, each method, truth"></a>
<h2>Pictures</h2>
<p>Click a picture to open it at its own size.</p>
{pictures}
<h2>Details</h2>
<dl>
{facts}
</dl>"""
    return markup.document(title, body)


def _compare_facts(report: dict[str, Any]) -> dict[str, str]:
    """Returns the details of a comparison, as HTML."""
    seed = report["seed"]
    shown, drawn = len(report["shown"]), "in the given order" if seed is None else f"seed {seed}"
    facts = {
        "Command": f"<code>{escape(report['command'])}</code>",
        "Photos": escape(
            f"{shown} shown, {report['num_photos']} measured, {report['num_grey_photos']} of them "
            f"exactly gray; {drawn}"
        ),
        "Protocol": escape(report["protocol"]),
        "Versions": escape(", ".join(f"{k} {v}" for k, v in report["versions"].items())),
    }
    for name, method in report["methods"].items():
        if method["place"] is not None:
            step = f", step {method['step']}" if "step" in method else ""
            facts[f"Method {name}"] = escape(f"{method['kind']}: {method['place']}{step}")
    if report["unreadable"]:
        facts["Skipped, unreadable"] = "<br>".join(map(escape, report["unreadable"]))
    return facts


def _compare_row(key: str, file: str, columns: Sequence[str]) -> str:
    cells = []
    for name in columns:
        link = quote(os.fsencode(f"pictures/{name}/{file}"))
        image = f'<img loading="lazy" src="{link}" alt="{escape(f"{key}: {name}")}">'
        cells.append(
            f'<figure><a href="{link}">{image}</a><figcaption>{escape(name)}</figcaption></figure>'
        )
    return f'<h3>{escape(key)}</h3>\n<div class="row">\n' + "\n".join(cells) + "\n</div>"


def _compare_metrics(report: dict[str, Any]) -> list[str]:
    return [n for n in SHOWN if any(n in m["metrics"] for m in report["methods"].values())]


def _compare_truth(report: dict[str, Any], name: str) -> dict[str, Any] | None:
    mean = report["truth"].get(name)
    return None if mean is None else {"mean": mean, "interval": None}


def _compare_cell(name: str, estimate: dict[str, Any] | None, sign: str = "") -> str:
    if estimate is None:
        return ""
    return estimate_text(estimate, SHOWN[name][0], sign)


def _difference_title(report: dict[str, Any]) -> str:
    return f"Difference to {report['bootstrap']['difference_to']}, paired by photo"


def _intervals(report: dict[str, Any]) -> str:
    how = report["bootstrap"]
    return (
        f"Brackets: {how['level']:.0%} intervals, percentiles of {how['resamples']} resamples of "
        f"the {report['num_photos']} photos, seed {how['seed']}; they cover the choice of photos, "
        "not the variance between training seeds."
    )
