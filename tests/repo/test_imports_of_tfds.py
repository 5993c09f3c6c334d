"""tensorflow-datasets, which brings pyarrow, is imported only where data is read through it."""

import subprocess
import sys

import pytest
from helpers.program import TINY, command

IMPORTED = """
def imported():
    return sorted({"tensorflow_datasets", "pyarrow"} & set(sys.modules))
"""

EVERYTHING = f"""
import importlib, pkgutil, sys
import colorjax
{IMPORTED}
for module in pkgutil.walk_packages(colorjax.__path__, "colorjax."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from colorjax.data import pipeline
from colorjax.data.sources.source import FolderSource
from configs import default
source = FolderSource.open(sys.argv[1], labels="none")
data = default.get_config().data
batches = pipeline.train_batches(source, data, seed=0, batch_size=2)
next(batches)
batches.close()
print(imported())
from colorjax.data.sources.tfds import TfdsSource
try:
    TfdsSource("cifar10", "train", sys.argv[1])
except ValueError as error:
    print("not prepared" in str(error), imported()[-1:])
"""

TRAINING = f"""
import sys
from colorjax import main
{IMPORTED}
assert main.run(["main", *sys.argv[1:]]) == 0
print(imported())
"""


def last_lines(program, *arguments):
    result = subprocess.run(
        **command() | {"args": [sys.executable, "-c", program, *map(str, arguments)]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_no_module_imports_it_and_a_folder_is_read_without(photos):
    assert last_lines(EVERYTHING, photos) == ["[]", "True ['tensorflow_datasets']"]


@pytest.mark.slow
def test_a_training_runs_without(photos, tmp_path):
    flags = [*TINY, f"--config.data.path={photos}", f"--workdir={tmp_path / 'run'}"]
    assert last_lines(TRAINING, *flags)[-1] == "[]"
