"""What do photo files keep when they are colorized?

    python -m benchmarks.conformance
    python -m benchmarks.conformance --update docs/photos.md

Every file of the test zoo (tests/helpers/photos/zoo.py) is read, painted with made-up colors at its
own lightness and written again; other readers compare what came in and what came out: the exiv2
binding, tifffile, Pillow, imagecodecs, and exiftool and ImageMagick where they are installed. The
table is Markdown. Exit status 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from colorjax.evaluate.tables import markdown_table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

COLUMNS = (
    *("size", "depth", "orientation", "alpha", "L", "exif", "xmp", "iptc", "icc", "dpi"),
    *("encoding", "mark", "said so", "exiftool", "ImageMagick"),
)
START, END = "<!-- table: python -m benchmarks.conformance -->", "<!-- end of table -->"


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    rows = all_rows()
    table = as_markdown(rows)
    if args.update:
        path = Path(args.update)
        head, _, rest = path.read_text().partition(START)
        _, _, tail = rest.partition(END)
        path.write_text(f"{head}{START}\n{table}\n{END}{tail}")
    else:
        print(table)
    return 1 if any(False in row.values() for row in rows.values()) else 0


def all_rows() -> dict[str, Mapping[str, object]]:
    """Returns, by the name of a file, what was kept of it."""
    from helpers.photos import conformance, programs, zoo

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        further = programs.compare(Path(folder))
        return {
            animal.name: conformance.check(animal) | further.get(animal.name, {})
            for animal in zoo.animals()
        }


def as_markdown(rows: Mapping[str, Mapping[str, object]]) -> str:
    """Returns a table of the files that were written, and a list of those refused."""
    labels = {True: "yes", False: "LOST"}
    table = [["file", *COLUMNS]]
    refused = []
    for name, row in rows.items():
        if "refused" in row:
            refused.append(name if row["refused"] else f"{name} (NOT REFUSED)")
            continue
        cells = [row.get(column, "-") for column in COLUMNS]
        texts = [labels[cell] if isinstance(cell, bool) else str(cell) for cell in cells]
        table.append([name, *texts])
    lines = [markdown_table(table), f"Refused in one line ({len(refused)}): {', '.join(refused)}."]
    lost = sum(False in row.values() for row in rows.values())
    lines += ["", f"{len(rows)} files; {lost} of them lost anything."]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.conformance",
        description="A table of what photo files keep when they are colorized.",
    )
    parser.add_argument("--update", metavar="FILE", help="replace the table in this file")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
