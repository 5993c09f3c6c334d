"""The floors of the code: what may import what."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "colorjax"

# A module imports its own floor's packages of the same name, and what is below.
FLOORS = [
    {"errors", "version"},
    {"paths"},
    {"color"},
    {"models", "losses", "metrics", "data", "photos"},
    {"parallel", "startup", "child_process", "config_words"},
    {
        "method",
        "train.state",
        "train.optim",
        "train.checkpoint",
        "train.writers",
        "train.workdir",
        "train.skipped",
        "train.progress",
        "train.stopping",
        "train.chroma_alarm",
        "train.profiling",
        "train.health",
        "peers",
        "train.weights",
        "train.pick",
        "settle",
        "shipped",
    },
    {
        "train.steps",
        "train.adversarial",
        "train.phases",
        "train.candidates",
        "train.start",
        "train.fork",
        "train.ahead",
        "evaluate",
        "feature_metrics",
        "inference",
        "interop",
    },
    {
        "train.reporting",
        "train.generations",
        "train.loop",
        "cli",
        "data_commands",
        "photo_commands",
        "film_commands",
        "color_options",
        "finetune",
        "finetune_config",
        "finetune_command",
        "calibrate",
        "evaluate_command",
        "suites",
        "finetune_report",
        "main",
        "figures",
        "compare",
        "sweep",
        "tune",
        "tune_command",
        "demo",
        "__main__",
        "__init__",
    },
]
# Within a floor: these stand on their neighbours.
ALLOWED_NEIGHBOURS = {
    "metrics": set(),
    "data": set(),
    "photos": {"data"},
    "method": set(),
    "train.state": {"method"},
    "train.weights": {"method", "train.checkpoint", "train.state", "train.workdir"},
    "settle": {"method"},
    "train.adversarial": {"train.steps"},
    "train.phases": {"interop", "train.adversarial", "train.steps"},
    "train.candidates": set(),
    "feature_metrics": {"interop"},
    "train.health": {"train.workdir"},
    "train.profiling": {"train.workdir"},
    "train.start": {"interop", "train.phases"},
    "train.fork": {"train.phases", "train.start"},
    "train.ahead": {"train.phases", "train.steps"},
    "train.generations": set(),
    "shipped": {"method", "train.weights", "train.workdir"},
    "train.reporting": set(),
    "train.loop": {"train.generations", "train.reporting"},
    "main": {"evaluate_command", "suites", "train.loop", "train.reporting"},
    "photo_commands": {"color_options", "film_commands"},
    "film_commands": set(),
    "color_options": set(),
    "calibrate": {"compare", "figures"},
    "suites": {"compare", "figures"},
    "evaluate_command": {"suites"},
    "cli": {
        "calibrate",
        "compare",
        "data_commands",
        "evaluate_command",
        "finetune_command",
        "photo_commands",
        "tune_command",
    },
    "finetune": {"finetune_config", "finetune_report", "train.loop"},
    "finetune_config": set(),
    "finetune_command": {"finetune"},
    "finetune_report": {"compare", "figures"},
    "compare": {"figures"},
    "figures": set(),
    "sweep": {"figures"},
    "tune": set(),
    "tune_command": {"tune"},
    "demo": {"figures"},
    "__main__": {"cli"},
}


def unit_of(module):
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "train" and len(parts) > 1 else parts[0]


def floor_of(unit):
    for number, units in enumerate(FLOORS):
        if unit in units:
            return number
    raise AssertionError(f"{unit} stands on no floor; add it to FLOORS")


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[-1] == "__init__" and len(parts) > 1:
            parts = parts[:-1]
        yield ".".join(parts), path


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = (ROOT / (inner.replace(".", "/") + ".py")).exists() or (
                    ROOT / inner.replace(".", "/")
                ).is_dir()
                yield inner if is_module else node.module


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: str(value))
def test_imports_go_down(module, path):
    if module in ("train", "__init__"):
        return  # a docstring; lazily exported names
    unit = unit_of(module)
    for name in imports_of(path):
        if name == "colorjax" or not name.startswith("colorjax."):
            continue
        other = unit_of(name.removeprefix("colorjax."))
        if other == unit:
            continue
        down = floor_of(other) < floor_of(unit)
        assert down or other in ALLOWED_NEIGHBOURS.get(unit, set()), f"{module} imports {name}"


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
