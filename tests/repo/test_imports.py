"""Imports of the package in documents and in programs that tests start name what exists."""

import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [
    path
    for pattern in ("*.md", "docs/**/*.md", "notebooks/*", "tests/**/*.py", "benchmarks/*.py")
    for path in sorted(ROOT.glob(pattern))
    if path.name != "CHANGELOG.md"
]
# Packages that only training, evaluation, films and exports need.
TRAINING = {
    *("orbax", "optax", "tensorstore", "grain", "array_record", "clu", "tensorflow", "torch"),
    *("matplotlib", "skimage", "pandas", "pyarrow", "av", "onnx", "onnxruntime", "optuna", "scipy"),
}
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


def test_a_first_picture_imports_no_training():
    """Each of these takes from 0.1 to 0.6 s of the start (`python -m benchmarks.first_picture`)."""
    program = (
        "import sys; from colorjax.cli import colorize; "
        "from colorjax.inference.batch import run, work; "
        "from colorjax.inference.colorizer import Colorizer; "
        "from colorjax import methods; from colorjax.inference.engines import jax; "
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = set(result.stdout.split())
    assert {"numpy", "colorjax"} <= loaded
    assert not loaded & TRAINING
