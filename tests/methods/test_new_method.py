"""The guide docs/new_method.md, verbatim: only two files outside of the package."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from colorjax import color, models
from colorjax.cli import main as cli
from colorjax.errors import RequestError
from colorjax.train import loop
from colorjax.train import report as train_report

GUIDE = (Path(__file__).parents[2] / "docs" / "new_method.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Returns the two files of the guide."""
    folder = tmp_path_factory.mktemp("toy")
    actual = re.findall(r"`(\w+\.py)`:\n\n```python\n(.*?)```", GUIDE, flags=re.DOTALL)
    for name, text in actual:
        (folder / name).write_text(text, encoding="utf-8")
    assert {path.name for path in folder.iterdir()} == {"toy_network.py", "toy.py"}
    return folder


@pytest.fixture
def config(files, photos, monkeypatch):
    monkeypatch.syspath_prepend(str(files))
    spec = importlib.util.spec_from_file_location("toy", files / "toy.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    config.data.path = str(photos)
    config.log_every = 1
    config.evaluation.batch_size = 4
    config.progress = False
    return config


def test_two_files_train_evaluate_and_colorize(config, photos, tmp_path):
    workdir = tmp_path / "run"
    assert loop.train_and_evaluate(config, str(workdir)) == loop.DONE
    steps = [json.loads(line)["step"] for line in (workdir / "metrics.jsonl").open()]
    assert sorted(set(steps)) == [1, 2, 3]
    (workdir / "eval.json").unlink()
    assert train_report.evaluate_only(config, str(workdir)) == loop.DONE
    assert json.loads((workdir / "eval.json").read_text())["step"] == 3

    photo = sorted(photos.rglob("*.png"))[0]
    argv = ["colorize", str(photo), "--output", str(tmp_path), "--checkpoint", str(workdir)]
    assert cli.run([*argv, "--recolor"]) == 0
    before, after = (
        np.asarray(Image.open(p).convert("RGB")) for p in (photo, tmp_path / photo.name)
    )
    assert before.shape == after.shape
    lightness = [color.rgb_u8_to_lab(rgb)[..., 0] for rgb in (before, after)]
    assert np.abs(lightness[0] - lightness[1]).max() < 0.4
    assert not np.array_equal(before, after)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no_such_module:Toy", "cannot be imported"),
        ("toy_network:Other", "cannot be imported"),
        ("subprocess:Popen", "is not a flax.linen.Module"),
        ("os:system", "is not a flax.linen.Module"),
        ("flax.linen:Dense", "lacks fit, fixed_size, inputs, outputs, size_multiple"),
    ],
)
def test_other_things_are_refused(name, says, config):
    with pytest.raises(RequestError, match=says):
        models.create(name)
