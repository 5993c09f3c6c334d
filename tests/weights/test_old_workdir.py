"""A workdir of an earlier version: later versions open and resume it.

`semantic_workdir.tar.xz` contains the checkpoint of step 3 and the losses of six steps of

    python -m colorjax.main --config=configs/semantic.py:encoder=tiny,size=32,batch=4,width=0.125 \
        --workdir=semantic --config.data.name=sample_photos --config.total_steps=6 \
        --config.checkpoint_every=3 --config.log_every=1 --config.eval_every=0 \
        --config.optimizer.warmup_steps=0 --config.optimizer.ema_decay=0.9

when `loss.lam` of that config was 0.9.

Never regenerate it: newer versions must be able to resume a training that runs for weeks.
"""

import tarfile
from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict

from colorjax import Colorizer, color
from colorjax.data.sources.source import read_sample
from colorjax.train import loop
from colorjax.weights.workdir import Workdir
from configs import semantic

ARCHIVE = Path(__file__).with_name("semantic_workdir.tar.xz")


@pytest.fixture
def old(tmp_path):
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return Workdir(tmp_path / "ow")


def command(**changes) -> ConfigDict:
    """Returns the config of the same command in this version."""
    config = semantic.get_config("encoder=tiny,size=32,batch=4,width=0.125")
    config.update_from_flattened_dict(
        {
            "data.name": "sample_photos",
            "total_steps": 5,
            "checkpoint_every": 3,
            "log_every": 1,
            "eval_every": 0,
            "optimizer.warmup_steps": 0,
            "optimizer.ema_decay": 0.9,
            "loss.lam": 0.9,
            "progress": False,
            "evaluation.report": False,
        }
        | changes
    )
    return config.lock()


@pytest.mark.slow
def test_the_same_command_goes_on_exactly(old):
    before = {line["step"]: line for line in old.read_metrics()}
    assert sorted(before) == [1, 2, 3, 4, 5, 6]
    assert loop.train_and_evaluate(command(), str(old.root)) == loop.DONE
    after = {line["step"]: line for line in old.read_metrics() if "train/loss" in line}
    assert sorted(after) == [1, 2, 3, 4, 5]
    for step in (4, 5):
        for name in ("train/loss", "train/l1", "train/class"):
            assert after[step][name] == pytest.approx(before[step][name], rel=2e-3), (step, name)


def test_its_weights_colorize(old):
    colorizer = Colorizer.load(old.root)
    assert colorizer.step == 3
    photo = read_sample("coffee.png")[:64, :64]
    ab = colorizer.predict_ab(color.gray_photo(photo))
    assert ab.shape == (32, 32, 2)
    # What the version that wrote it predicts.
    np.testing.assert_allclose(ab.mean(axis=(0, 1)), [-0.1552, -0.4395], atol=2e-3)
    assert ab.std() == pytest.approx(0.3333, abs=2e-3)
