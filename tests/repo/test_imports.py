"""Imports of the package in documents and in programs that tests start name what exists."""

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [
    path
    for pattern in ("*.md", "docs/*.md", "notebooks/*", "tests/**/*.py", "benchmarks/*.py")
    for path in sorted(ROOT.glob(pattern))
    if path.name != "CHANGELOG.md"
]
IMPORT = re.compile(r"^\W*from (colorjax[\w.]*) import \(?([\w, ]+)", re.MULTILINE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_name_what_exists(path):
    for module, names in IMPORT.findall(path.read_text()):
        for name in re.findall(r"(\w+)(?: as \w+)?(?:,|$)", names.strip()):
            assert exists(module, name), f"from {module} import {name}"


def exists(module, name):
    if hasattr(importlib.import_module(module), name):
        return True
    return importlib.util.find_spec(f"{module}.{name}") is not None
