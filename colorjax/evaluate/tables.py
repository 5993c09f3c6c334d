"""Tables in HTML and Markdown, and an HTML page without scripts or network access."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

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
    """Returns an HTML page; the title is text, the body HTML."""
    return f"""<!doctype html>
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


def _markdown_cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def estimate_text(estimate: Mapping[str, Any], decimals: int, sign: str = "") -> str:
    """Returns {mean, interval} as `1.2 [1.0, 1.4]`."""
    form = f"{sign}.{decimals}f"
    text = format(estimate["mean"], form)
    if estimate["interval"] is None:
        return text
    low, high = (format(end, form) for end in estimate["interval"])
    return f"{text} [{low}, {high}]"
