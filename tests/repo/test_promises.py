"""docs/promises.md: each promise is in README.md, and each test that it names exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/promises.md").read_text()
README = " ".join((ROOT / "README.md").read_text().replace("`", "").split())
ROWS = [
    [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in TEXT.splitlines()
    if line.startswith("| ") and not line.startswith("| promise")
]
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`( \(\*\w+\*\))?", TEXT)))
TARGETS = ("faults", "page", "slow")  # of make and markers; the first that a test has runs it


def targets_of(path):
    """Returns which of `TARGETS` runs each test of a file; "": `make test`."""
    tree = ast.parse((ROOT / path).read_text())
    whole = [node for node in tree.body if "pytestmark =" in ast.unparse(node)[:12]]
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            text = " ".join(map(ast.unparse, [*node.decorator_list, *whole]))
            marks = re.findall(r"(?<!marks=)pytest\.mark\.(\w+)", text)
            marks += ["page"] * path.startswith("tests/page/")  # by its conftest.py
            found[node.name] = next((name for name in TARGETS if name in marks), "")
    return found


def test_the_list_is_whole():
    assert len(ROWS) > 30
    assert all(len(row) == 2 and all(row) for row in ROWS)
    assert len({row[0] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("promise", [row[0] for row in ROWS])
def test_a_promise_is_in_the_readme(promise):
    """If this fails, README.md was changed: write its words and its tests into docs/promises.md."""
    assert " ".join(promise.replace("`", "").split()) in README


@pytest.mark.parametrize(("path", "name", "note"), TESTS, ids=lambda value: value)
def test_a_named_test_exists_and_runs_where_the_page_says(path, name, note):
    known = targets_of(path)
    assert name in known, f"{path} has no {name}"
    assert note.strip(" (*)") == known[name], f"{path}::{name}"


def test_every_promise_outside_of_the_last_section_has_a_test():
    held, _, _ = TEXT.partition("## Measured")
    rows = [line for line in held.splitlines() if line.startswith("| ") and "promise" not in line]
    assert len(rows) > 25
    for row in rows:
        assert "::test_" in row, row
