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

from colorjax.evaluate import charts, report
from colorjax.evaluate import tables as markup
from colorjax.evaluate.tables import Table, facts, html_table, markdown_table, row_title
from colorjax.runtime import atomic
from colorjax.runtime.file_names import printable

_SIDE = 256  # pixels of a picture
_CAPTIONS = {
    "best": "The three photos with the highest PSNR",
    "median": "Three photos around the median",
    "worst": "The three photos with the lowest PSNR",
}
# Columns of the tables of a comparison.
_COMPARED = (
    *("mae_ab_8bit", "delta_e_2000", "psnr", "psnr_of_mean_mse", "ssim", "ms_ssim_ab"),
    *("color_structure", "delta_colorfulness_by_photo", "colorfulness", "chroma_ratio_8bit"),
    *("accuracy_2", "accuracy_5"),
)
PicturesOf = Callable[[str, Sequence[str]], Iterable[tuple[np.ndarray, ...]]]


def write(folder: Path, result: Mapping[str, Any], pictures_of: PicturesOf) -> None:
    """Writes index.html and its pictures.

    Args:
        folder: of the evaluation.
        result: the content of result.json.
        pictures_of: (row, names of photos) -> (gray, picture, truth) of each.
    """
    # Later than the import of this module: `python -m colorjax.evaluate.figure` imports it too.
    from colorjax.evaluate import figure

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
                    column.append(picture)
            if keys:
                atomic.write_png(folder / file, figure.lay_out(columns, _SIDE))
            examples.append((kind, file, keys))
        if row["reliability"]:
            diagram = charts.reliability_picture(row["reliability"])
            atomic.write_png(folder / f"pictures/{name}_reliability.png", diagram)
        sections.append(_row(name, row, examples))
    atomic.write_text(folder / "index.html", page(result, sections))


def page(result: Mapping[str, Any], sections: Sequence[str]) -> str:
    """Returns the page."""
    photos = result["photos"]
    reference = str(result["compared_with"])
    table = _tables(report.grid(result), report.differences(result), reference)
    for group in result.get("groups", {}):
        number = result["groups"][group]["photos"]
        table += f"<h2>{escape(printable(group))}: {number} photos</h2>\n"
        table += html_table(report.grid(result, group))
    hues = {"truth": result["truth"]["hues"]} | {
        name: row["hues"] for name, row in result["rows"].items() if "examples" in row
    }
    notes = [f"{name}: not measured, {why}" for name, why in result[report.NOT_AVAILABLE].items()]
    note = "".join(f"<p>{escape(text)}</p>\n" for text in [*notes, *result["warnings"]])
    protocol = {k: v for k, v in result["protocol"].items() if isinstance(v, str | int | list)}
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
{facts(protocol)}
<h2>Definitions</h2>
{facts(definitions)}
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
        names = ", ".join(keys)
        alt, caption = f"gray, {name}, truth of {names}", f"{_CAPTIONS[kind]}: {names}"
        parts.append(markup.figure(quote(file), alt, caption))
    if row["reliability"]:
        parts.append(
            "<h3>Reliability of the predicted distribution</h3>\n"
            + charts.reliability(row["reliability"], f"reliability of {name}")
        )
    return "\n".join(parts)


def _tables(metrics: Table, differences: Table | None, reference: str) -> str:
    """Returns the table of metrics, and that of the differences to the reference."""
    html = html_table(metrics)
    if differences:
        html += (
            f"\n<h2>{escape(markup.difference_title(reference))}</h2>\n{html_table(differences)}"
        )
    return html


def compare_tables(report: dict[str, Any]) -> tuple[Table, Table | None]:
    """Returns the metrics of each method and of the true photos, and the differences, if any."""
    methods = report["methods"]
    names = [n for n in _COMPARED if any(n in m["metrics"] for m in methods.values())]
    table = markup.metrics_table(methods, names, report["truth"])
    return table, markup.differences_table(methods, names)


def compare_markdown(report: dict[str, Any]) -> str:
    """Returns the content of metrics.md."""
    table, differences = compare_tables(report)
    parts = [markdown_table(table)]
    if differences:
        title = markup.difference_title(report["bootstrap"]["difference_to"])
        parts += [f"{title}:\n", markdown_table(differences)]
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
    tables = _tables(*compare_tables(report), report["bootstrap"]["difference_to"])
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
{facts(_compare_facts(report))}"""
    return markup.document(title, body)


def _compare_facts(report: dict[str, Any]) -> dict[str, Any]:
    """Returns the details of a comparison."""
    seed = report["seed"]
    shown, drawn = len(report["shown"]), "in the given order" if seed is None else f"seed {seed}"
    details: dict[str, Any] = {
        "Command": report["command"],
        "Photos": f"{shown} shown, {report['num_photos']} measured, {report['num_grey_photos']} of "
        f"them exactly gray; {drawn}",
        "Protocol": report["protocol"],
        "Versions": ", ".join(f"{k} {v}" for k, v in report["versions"].items()),
    }
    for name, method in report["methods"].items():
        if method["place"] is not None:
            step = f", step {method['step']}" if "step" in method else ""
            details[f"Method {name}"] = f"{method['kind']}: {method['place']}{step}"
    if report["unreadable"]:
        details["Skipped, unreadable"] = report["unreadable"]
    return details


def _compare_row(key: str, file: str, columns: Sequence[str]) -> str:
    cells = [
        markup.figure(
            quote(os.fsencode(f"pictures/{name}/{file}")),
            f"{key}: {row_title(name)}",
            row_title(name),
        )
        for name in columns
    ]
    return f'<h3>{escape(printable(key))}</h3>\n<div class="row">\n' + "\n".join(cells) + "\n</div>"


def _intervals(report: dict[str, Any]) -> str:
    how = report["bootstrap"]
    return (
        f"Brackets: {how['level']:.0%} intervals, percentiles of {how['resamples']} resamples of "
        f"the {report['num_photos']} photos, seed {how['seed']}; they cover the choice of photos, "
        "not the variance between training seeds."
    )
