"""The card of an evaluation: one page with tables, pictures and charts, no script, no network."""

from __future__ import annotations

import json
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
from colorjax.evaluate.tables import html_table
from colorjax.runtime import paths

_SIDE = 256  # pixels of a picture
_SAID = {
    "best": "The three photos of the highest PSNR",
    "median": "Three of the middle",
    "worst": "The three of the lowest",
}
PicturesOf = Callable[[str, Sequence[str]], Iterable[tuple[np.ndarray, ...]]]


def write(folder: Path, result: Mapping[str, Any], pictures_of: PicturesOf) -> None:
    """Writes index.html and its pictures.

    Args:
        folder: that of the evaluation.
        result: the content of result.json.
        pictures_of: (row, names of photos) -> (grey, picture, truth) of each.
    """
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    sections = []
    for name, row in result["rows"].items():
        if "examples" not in row:
            continue
        shown = []
        for kind, keys in row["examples"].items():
            file = f"pictures/{name}_{kind}.png"
            columns: dict[str, list[np.ndarray]] = {"grey": [], name: [], "truth": []}
            for triple in pictures_of(name, keys):
                for column, picture in zip(columns.values(), triple, strict=True):
                    column.append(_fitted(picture))
            if keys:
                paths.write_png(folder / file, figures.lay_out(columns, _SIDE))
            shown.append((kind, file, keys))
        sections.append(_row(name, row, shown))
    paths.write_text(folder / "index.html", page(result, sections))


def _fitted(picture: np.ndarray) -> np.ndarray:
    """Shows tiny photos large, and large ones small."""
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
    body = f"""<p>{photos["measured"]} photos, {photos["exactly_grey"]} of them exactly grey,
{len(photos["unreadable"])} unreadable; digest <code>{photos["digest"]}</code></p>
<h2>Metrics</h2>
{table}
{note}
<p>In brackets 95 % intervals: {escape(result["bootstrap"]["meaning"])}.</p>
<h2>Hues</h2>
<p>How much chroma lies at which hue.</p>
{charts.hues(hues, "chroma by hue of the truth and of each row")}
{"".join(sections)}
<h2>Protocol</h2>
{_list(facts)}
<h2>What the names mean</h2>
{_list(definitions)}
<h2>Stamps</h2>
<pre>{escape(json.dumps(stamps, indent=2))}</pre>"""
    return markup.document(f"colorjax evaluation: {report.name_of(result)}", body)


def _row(name: str, row: Mapping[str, Any], shown: Sequence[tuple[str, str, Sequence[str]]]) -> str:
    parts = [
        f"<h2>{escape(name)}</h2>\n<p>{escape(row['place'])}, "
        f"digest <code>{row['digest'][:16]}</code></p>"
    ]
    for kind, file, keys in shown:
        if not keys:
            continue
        link, names = quote(file), escape(", ".join(keys))
        parts.append(
            f'<figure><a href="{link}"><img loading="lazy" src="{link}" '
            f'alt="grey, {escape(name)}, truth of {names}"></a>'
            f"<figcaption>{_SAID[kind]}: {names}</figcaption></figure>"
        )
    if row["reliability"]:
        parts.append(
            "<h3>How sure it may be</h3>\n"
            + charts.reliability(row["reliability"], f"reliability of {name}")
        )
    return "\n".join(parts)


def _list(facts: Mapping[str, Any]) -> str:
    lines = [
        f"<dt>{escape(str(name))}</dt><dd>{escape(str(value))}</dd>"
        for name, value in facts.items()
    ]
    return "<dl>\n" + "\n".join(lines) + "\n</dl>"
