"""Rows of docs/results.md on the pages of the methods.

A page names a section and rows of it in a comment, `<!-- rows: HEADING | ROW | ROW -->`. The table
below the comment is written by

    python docs/site/result_rows.py

from the first table of that section that has the rows. A row is named by its first cell, or by
its first two: `BSDS (200) / semantic-lite0`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

DOCS = Path(__file__).parents[1]
_MARKED = re.compile(r"^(<!-- rows: (.*?) -->\n)\n?(?:\|.*\n)*", re.MULTILINE)
_TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)


def refreshed(page: str, results: str) -> str:
    """Returns the text of a page with the rows that the results have now.

    Raises:
        ValueError: a section or a row is missing.
    """

    def table(match: re.Match) -> str:
        heading, *names = (part.strip() for part in match[2].split(" | "))
        return match[1] + "\n" + rows_of(results, heading, names)

    return _MARKED.sub(table, page)


def rows_of(results: str, heading: str, names: list[str]) -> str:
    """Returns the header and the named rows of a table; see the module's docstring."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", results, re.M | re.S)
    if not found:
        raise ValueError(f"docs/results.md has no section {heading!r}")
    for text in _TABLE.findall(found[1]):
        lines = text.splitlines(keepends=True)
        by_name = {name: line for line in lines[2:] for name in _names(line)}
        if all(name in by_name for name in names):
            return "".join([*lines[:2], *(by_name[name] for name in names)])
    raise ValueError(f"no table of {heading!r} in docs/results.md has all the rows {names}")


def _names(line: str) -> tuple[str, str]:
    first, second = (re.sub("[`*]", "", cell).strip() for cell in line.split("|")[1:3])
    return first, f"{first} / {second}"


def main() -> None:
    """Writes the tables of all pages."""
    results = (DOCS / "results.md").read_text()
    for path in sorted(DOCS.rglob("*.md")):
        text = path.read_text()
        new = refreshed(text, results)
        if new != text:
            path.write_text(new)
            print(f"wrote {path.relative_to(DOCS)}", file=sys.stderr)


if __name__ == "__main__":
    main()
