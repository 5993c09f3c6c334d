import contextlib
import json

import jax
import numpy as np
import pytest
from PIL import Image

from colorjax import methods
from colorjax.cli import main as cli
from colorjax.errors import RequestError
from colorjax.weights import named, pack
from colorjax.weights.checkpoint import Checkpoints
from colorjax.weights.named import WeightsFile
from colorjax.weights.open import open_weights
from colorjax.weights.workdir import Workdir
from configs import zhang16


@pytest.fixture
def run(tmp_path):
    """A finished run of a tiny zhang16, without training; and its weights."""
    config = zhang16.get_config("size=32,batch=4,width=0.125,debug")
    folder = Workdir(tmp_path / "run")
    folder.prepare(config)
    shapes = jax.eval_shape(methods.build(config).init, jax.random.key(0))
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda x: rng.normal(1, 0.1, x.shape).astype(np.float32), shapes)
    with contextlib.closing(Checkpoints(folder.checkpoints)) as checkpoints:
        checkpoints.save(7, variables)
    report = {"protocol": "p", "num_images": 3, "metrics": {"mae_ab": 1.0}, "baselines": {}}
    folder.eval_file.write_text(json.dumps(report))
    return folder, variables


def test_what_is_packed_comes_back(run, tmp_path):
    folder, variables = run
    file = tmp_path / "x.npz"
    tried = [{"size": 32, "psnr": 20.0}]
    calibration = {
        "photos": {"data": "/home/me/held_out", "photos": ["a.jpg", "b.jpg"]},
        "sizes": tried,
    }
    (folder.root / "calibration.json").write_text(json.dumps(calibration))
    pack.write(str(folder.root), file, {"command": "the command", "time": "a day"})
    actual = WeightsFile(file.read_bytes())
    assert actual.card["command"] == "the command"
    assert actual.card["time"] == "a day"
    assert actual.card["step"] == 7
    assert actual.card["parameters"] == sum(x.size for x in jax.tree.leaves(variables["params"]))
    photos = {"data": "held_out", "number": 2}
    assert actual.card["calibration"] == {"photos": photos, "sizes": tried}
    assert actual.config.model.name == "zhang16"
    assert "optimizer" not in actual.config
    method = methods.build(actual.config, with_loss=False)
    wanted = jax.eval_shape(method.init, jax.random.key(0))
    actual_variables = actual.variables()
    assert jax.tree.structure(actual_variables) == jax.tree.structure(wanted)
    same = jax.tree.map(lambda a, b: np.allclose(a, b, rtol=1e-3), actual_variables, variables)
    assert all(jax.tree.leaves(same))
    exact = [actual_variables["batch_stats"], variables["batch_stats"]]
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, *exact)))


def test_the_shipped_weights_are_whole_and_small():
    for name in named.SHA256:
        actual = named.read(name)
        assert actual.card["command"].startswith(("python -m colorjax.main", "make results-"))
        assert actual.card["metrics"]["psnr"] > 0
    assert sum(file.stat().st_size for file in named.FOLDER.iterdir()) <= 20e6


def test_damaged_weights_are_reported(monkeypatch, tmp_path):
    (tmp_path / f"{named.DEFAULT}.npz").write_bytes(b"x")
    monkeypatch.setattr(named, "FOLDER", tmp_path)
    with pytest.raises(RequestError, match="damaged"):
        open_weights(named.DEFAULT)
    (tmp_path / f"{named.DEFAULT}.npz").unlink()
    with pytest.raises(RequestError, match="missing"):
        open_weights(named.DEFAULT)


def test_weights_that_shipped_before_name_their_successor(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(named.RETIRED, "old-small", named.DEFAULT)
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save("photo.png")
    says = f"'old-small' are no longer included; use their successor '{named.DEFAULT}'"
    with pytest.raises(RequestError, match=says):
        open_weights("old-small")
    for arguments in (
        ["colorize", "photo.png", "--checkpoint", "old-small"],
        ["compare", "old-small", "--data", ".", "--output", "out"],
        ["evaluate", "old-small", "--suite", "folder", "--data", ".", "--output", "out"],
        ["finetune", "old-small", "--data", ".", "--output", "out"],
        ["calibrate", "old-small", "--data", "."],
    ):
        assert cli.run(arguments) == 2, arguments
        assert says in capsys.readouterr().err
    (tmp_path / "old-small").mkdir()  # an existing workdir has priority
    assert not named.ships("old-small")


def test_the_card_has_the_numbers_of_evaluations(run, tmp_path):
    value = {"mean": 23.5, "interval": [23.0, 24.0]}
    row = {"metrics": dict.fromkeys(("psnr", "mae_ab", "auc", "auc_rebalanced"), value)}
    row["metrics"] |= {"colorfulness": value, "ssim": value}
    rows = {"grey": row, "x": row}
    result = {"suite": "folder", "photos": {"measured": 200}, "compared_with": "x", "rows": rows}
    (tmp_path / "result.json").write_text(json.dumps(result))
    results = {"bsds": tmp_path / "result.json"}
    pack.write(str(run[0].root), tmp_path / "x.npz", {"license": "ours"}, results)
    card = WeightsFile((tmp_path / "x.npz").read_bytes()).card
    assert card["license"] == "ours"
    assert card["results"]["bsds"]["photos"] == 200
    assert card["results"]["bsds"]["these"]["psnr"] == value
    assert card["results"]["bsds"]["these"]["mae_ab_8bit"] == value  # mae_ab of an earlier result
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(RequestError, match=r"not a result\.json of `colorjax evaluate`"):
        pack.write(str(run[0].root), tmp_path / "y.npz", {}, results)
    assert not (tmp_path / "y.npz").exists()
