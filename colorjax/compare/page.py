"""What a comparison says in words: its tables in Markdown, and the page that shows it all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from colorjax.compare.measures import SHOWN
from colorjax.evaluate import tables as markup
from colorjax.evaluate.tables import Table, estimate_text, html_table, markdown_table


def means_table(report: dict[str, Any]) -> Table:
    """Returns the metrics of each method, and the colourfulness of the true photos."""
    names = _metrics(report)
    rows = [["method", "photos", *(f"{name} {SHOWN[name][1]}".strip() for name in names)]]
    for method, found in report["methods"].items():
        cells = [_cell(name, found["metrics"].get(name)) for name in names]
        rows.append([method, str(report["num_photos"]), *cells])
    truth = [_cell(name, _truth(report, name)) for name in names]
    return [*rows, ["truth", str(report["num_photos"]), *truth]]


def differences_table(report: dict[str, Any]) -> Table | None:
    """Returns the paired differences to the first method; None where nothing has one."""
    names = _metrics(report)
    others = {name: m for name, m in report["methods"].items() if m["difference"] is not None}
    if not others:
        return None
    rows = [["method", *names]]
    for method, found in others.items():
        rows.append([method, *(_cell(n, found["difference"].get(n), sign="+") for n in names)])
    return rows


def markdown(report: dict[str, Any]) -> str:
    """Returns the content of metrics.md."""
    parts = [markdown_table(means_table(report))]
    differences = differences_table(report)
    if differences:
        parts += [f"{_difference_title(report)}:\n", markdown_table(differences)]
    return "\n".join([*parts, f"{_intervals(report)} Measured: {report['protocol']}.\n"])


def html(report: dict[str, Any], columns: Sequence[str], rows: Sequence[tuple[str, str]]) -> str:
    """Returns the page.

    Args:
        report: the content of metrics.json.
        columns: names of the folders below pictures/, "grey" first and "truth" last.
        rows: (name of a photo, its file in each of those folders).
    """
    methods = [name for name in report["methods"] if name != "grey"]
    title = "Colorization: " + ", ".join(methods)
    facts = "\n".join(
        f"<dt>{escape(name)}</dt><dd>{text}</dd>" for name, text in _facts(report).items()
    )
    tables = html_table(means_table(report))
    differences = differences_table(report)
    if differences:
        tables += f"\n<h2>{escape(_difference_title(report))}</h2>\n{html_table(differences)}"
    pictures = "\n".join(_row(key, file, columns) for key, file in rows)
    body = f"""<h2>Metrics</h2>
{tables}
<p>{escape(_intervals(report))}</p>
<h2>Figure</h2>
<a href="figure.png"><img src="figure.png" alt="grey, each method, truth"></a>
<h2>Pictures</h2>
<p>A picture opens at its own size.</p>
{pictures}
<h2>How it was made</h2>
<dl>
{facts}
</dl>"""
    return markup.document(title, body)


def _facts(report: dict[str, Any]) -> dict[str, str]:
    """Returns how it was made, as HTML."""
    seed = report["seed"]
    shown, drawn = len(report["shown"]), "in the given order" if seed is None else f"seed {seed}"
    facts = {
        "Command": f"<code>{escape(report['command'])}</code>",
        "Photos": escape(
            f"{shown} shown, {report['num_photos']} measured, {report['num_grey_photos']} of them "
            f"exactly grey; {drawn}"
        ),
        "Protocol": escape(report["protocol"]),
        "Versions": escape(", ".join(f"{k} {v}" for k, v in report["versions"].items())),
    }
    for name, method in report["methods"].items():
        if method["place"] is not None:
            step = f", step {method['step']}" if "step" in method else ""
            facts[f"Method {name}"] = escape(f"{method['kind']}: {method['place']}{step}")
    if report["unreadable"]:
        facts["Passed over, unreadable"] = "<br>".join(map(escape, report["unreadable"]))
    return facts


def _row(key: str, file: str, columns: Sequence[str]) -> str:
    cells = []
    for name in columns:
        link = quote(os.fsencode(f"pictures/{name}/{file}"))
        image = f'<img loading="lazy" src="{link}" alt="{escape(f"{key}: {name}")}">'
        cells.append(
            f'<figure><a href="{link}">{image}</a><figcaption>{escape(name)}</figcaption></figure>'
        )
    return f'<h3>{escape(key)}</h3>\n<div class="row">\n' + "\n".join(cells) + "\n</div>"


def _metrics(report: dict[str, Any]) -> list[str]:
    return [n for n in SHOWN if any(n in m["metrics"] for m in report["methods"].values())]


def _truth(report: dict[str, Any], name: str) -> dict[str, Any] | None:
    mean = report["truth"].get(name)
    return None if mean is None else {"mean": mean, "interval": None}


def _cell(name: str, found: dict[str, Any] | None, sign: str = "") -> str:
    if found is None:
        return ""
    return estimate_text(found, SHOWN[name][0], sign)


def _difference_title(report: dict[str, Any]) -> str:
    return f"Difference to {report['bootstrap']['difference_to']}, paired by photo"


def _intervals(report: dict[str, Any]) -> str:
    how = report["bootstrap"]
    return (
        f"In brackets {how['level']:.0%} intervals: percentiles of {how['resamples']} resamples of "
        f"the {report['num_photos']} photos, seed {how['seed']}; they speak of the choice of "
        "photos, not of the training's luck."
    )
