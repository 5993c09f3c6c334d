"""The floors of the code: what may import what."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "colorjax"

# From the ground up. A module imports its own folder and the storeys below, nothing else.
# CONTRIBUTING.md and docs/design.md show the same list.
STOREYS = """
errors version color
runtime
models losses metrics photos parallel
data config
methods
weights
train inference
evaluate serve
finetune tune
main
cli
"""
STOREY_OF = {
    room: storey for storey, rooms in enumerate(STOREYS.split("\n")) for room in rooms.split()
}
# Of the top of the package; __init__ and __main__ are its two doors.
DOORS = {"__init__", "__main__"}


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] not in DOORS:
            yield ".".join(parts), path


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: str(value))
def test_imports_go_down(module, path):
    room = module.split(".")[0]
    for name in imports_of(path):
        if not name.startswith("colorjax."):
            continue
        other = name.split(".")[1]
        assert other == room or STOREY_OF[other] < STOREY_OF[room], f"{module} imports {name}"


def test_the_top_of_the_package_is_what_the_list_says():
    found = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    found.discard("__pycache__")
    assert found - DOORS == STOREY_OF.keys()


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/design.md"])
def test_the_docs_show_the_same_list(page):
    assert STOREYS in (ROOT / page).read_text()


def test_configs_import_nothing_of_colorjax():
    for path in (ROOT / "configs").glob("*.py"):
        assert not [name for name in imports_of(path) if name.startswith("colorjax")], path


def test_the_training_loop_loads_neither_tensorflow_nor_torch(tmp_path):
    """With packages of those names at hand, so that an import of them would succeed."""
    for name in ("tensorflow", "torch", "optuna"):
        (tmp_path / f"{name}.py").write_text("")
    code = (
        "import sys, colorjax.main, colorjax.train.loop, tensorflow_datasets\n"
        "print({'tensorflow', 'torch', 'optuna'} & set(sys.modules))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": "", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "set()"
