"""The HTML page and its parts, tables in HTML and Markdown, and tables of metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from colorjax.metrics import table
from colorjax.runtime.file_names import printable

Table = list[list[str]]  # the first row is the header

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 70rem; padding: 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
h1, h3, dd, figcaption { overflow-wrap: anywhere; }
dt { font-weight: 600; } dd { margin: 0 0 .5rem; }
code { font-size: .85rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #8886; padding: .3rem .6rem; text-align: right; }
th, td { white-space: nowrap; } th:first-child, td:first-child { text-align: left; }
img { display: block; height: auto; max-width: 100%; }
.row { display: grid; gap: .5rem; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); }
.row img { width: 100%; } h3 { font-size: .95rem; margin: 1.2rem 0 .3rem; }
figure { margin: 0; } figcaption { font-size: .8rem; }
"""


def document(title: str, body: str) -> str:
    """Returns an HTML page without scripts or network access; the title is text, the body HTML."""
    text = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
{body}
</body>
</html>
"""
    return text.encode(errors="backslashreplace").decode()  # names that are not UTF-8


def facts(values: Mapping[str, Any]) -> str:
    """Returns names and values as an HTML list; a list has one line for each item."""
    lines = []
    for name, value in values.items():
        items = value if isinstance(value, list) else [value]
        text = "<br>".join(escape(printable(item)) for item in items)
        lines.append(f"<dt>{escape(name)}</dt><dd>{text}</dd>")
    return "<dl>\n" + "\n".join(lines) + "\n</dl>"


def figure(link: str, alt: str, caption: str) -> str:
    """Returns a picture in HTML, with a link to its file and a caption."""
    alt, caption = escape(printable(alt)), escape(printable(caption))
    return (
        f'<figure><a href="{link}"><img loading="lazy" src="{link}" alt="{alt}"></a>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def html_table(rows: Table) -> str:
    """Returns a table in HTML; the first row is the header."""
    lines = [
        "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row) + "</tr>"
        for tag, row in zip(["th"] + ["td"] * (len(rows) - 1), rows, strict=True)
    ]
    return '<div class="wide"><table>\n' + "\n".join(lines) + "\n</table></div>"


def markdown_table(rows: Table) -> str:
    """Returns a table in Markdown; the first row is the header."""
    lines = [rows[0], ["---"] + ["---:"] * (len(rows[0]) - 1), *rows[1:]]
    return "".join(f"| {' | '.join(_markdown_cell(c) for c in line)} |\n" for line in lines)


def text_table(rows: Table) -> str:
    """Returns a table as columns for a terminal; the first column is aligned to the left."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if k == 0 else cell.rjust(w)
            for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def _markdown_cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def estimate_text(estimate: Mapping[str, Any] | None, metric: str, sign: str = "") -> str:
    """Returns {mean, interval} as `1.2 [1.0, 1.4]`, with the decimals of a metric; None: empty."""
    if estimate is None:
        return ""
    text = table.text(metric, estimate["mean"], sign)
    if estimate["interval"] is None:
        return text
    low, high = (table.text(metric, end, sign) for end in estimate["interval"])
    return f"{text} [{low}, {high}]"


def row_title(name: str) -> str:
    """Returns the title of a row in tables and pictures; results keep the key "grey"."""
    return {"grey": "gray"}.get(name, name)


def metrics_table(
    rows: Mapping[str, Mapping[str, Any]],
    metrics: Sequence[str],
    truth: Mapping[str, Any] | None = None,
) -> Table:
    """Returns a row for each method and, if given, one of the true photos.

    Args:
        rows: name -> {"metrics": {metric: {mean, interval}}}, of `summary.summarize_rows`.
        metrics: the columns.
        truth: metric -> value.
    """
    lines = [["method", *map(table.labeled, metrics)]]
    for name, row in rows.items():
        lines.append([row_title(name), *(estimate_text(row["metrics"].get(m), m) for m in metrics)])
    if truth is not None:
        lines.append(["truth", *(table.text(m, truth[m]) if m in truth else "" for m in metrics)])
    return lines


def difference_title(reference: str) -> str:
    """Returns the title of a table of differences."""
    return f"Difference to {reference}, paired by photo"


def differences_table(
    rows: Mapping[str, Mapping[str, Any]], metrics: Sequence[str]
) -> Table | None:
    """Returns the paired differences of all rows that have any; None if none has."""
    compared = {name: row["difference"] for name, row in rows.items() if row.get("difference")}
    if not compared:
        return None
    metrics = [m for m in metrics if any(m in difference for difference in compared.values())]
    lines = [["method", *map(table.labeled, metrics)]]
    for name, difference in compared.items():
        lines.append(
            [row_title(name), *(estimate_text(difference.get(m), m, "+") for m in metrics)]
        )
    return lines
