import json

import numpy as np
import pytest
import torch
from helpers.torch_signal import photos_lightness
from PIL import Image
from weights.torch.test_zhang import WIDTH, zhang16, zhang17

from colorjax import color
from colorjax.cli import main as cli
from colorjax.errors import RequestError
from colorjax.inference.colorizer import Colorizer
from colorjax.train import loop
from colorjax.train import report as train_report
from colorjax.weights.torch import zhang as zhang_weights
from colorjax.weights.torch.import_published import import_weights
from configs import zhang16 as zhang16_config
from configs import zhang17 as zhang17_config

NETS = {"zhang16": zhang16, "zhang17": zhang17}


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """The published networks with few channels: 2 MB instead of 130."""
    for name, kind in zhang_weights.KINDS.items():
        changed = kind.model | {"width": WIDTH}
        published = zhang_weights.Kind(changed, kind.file, kind.sha256, kind.entries)
        monkeypatch.setitem(zhang_weights.KINDS, name, published)


def saved(tmp_path, kind, *, as_zip=True, drop=()):
    state = {n: a for n, a in NETS[kind](WIDTH).state_dict().items() if not n.startswith(drop)}
    path = tmp_path / f"{kind}.pth"
    torch.save(state, path, _use_new_zipfile_serialization=as_zip)
    return path


@pytest.mark.parametrize("as_zip", [True, False])
def test_zhang16_comes_in_and_colors_a_photo(as_zip, tmp_path, capsys):
    path, workdir = saved(tmp_path, "zhang16", as_zip=as_zip), tmp_path / "run"
    assert cli.run(["import-weights", "zhang16", str(path), "--output", str(workdir)]) == 0
    assert "neither of the two published files" in capsys.readouterr().out
    # A gray ramp at the published size, so that nothing is resized.
    gray = np.round(2.55 * photos_lightness(1, 256, 256)[0, 0].numpy()).astype(np.uint8)
    colored = Colorizer.load(workdir).colorize(gray)
    lightness = color.rgb_u8_to_lab(np.repeat(gray[..., None], 3, -1))[..., :1]
    with torch.no_grad():
        wanted = zhang16(WIDTH)(torch.tensor(lightness).permute(2, 0, 1)[None])[0]
    lab = np.concatenate([lightness, wanted.permute(1, 2, 0).numpy()], axis=-1)
    rgb = color.lab_to_rgb_u8(lab, gamut="shrink_chroma")
    assert np.abs(colored.astype(int) - rgb).max() <= 1
    assert rgb.std(axis=-1).mean() > 5


def test_the_published_file_is_recognized(tmp_path, monkeypatch):
    path = saved(tmp_path, "zhang17")
    import hashlib

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    kind = zhang_weights.KINDS["zhang17"]
    published = zhang_weights.Kind(kind.model, kind.file, digest, kind.entries)
    monkeypatch.setitem(zhang_weights.KINDS, "zhang17", published)
    notices = import_weights("zhang17", path, tmp_path / "run")
    assert notices == [f"sha256 {digest}: the published siggraph17-df00044c.pth"]


def test_published_sums():
    """systems_b.md 1.1 and 1.2, from the model.yml files of Open Model Zoo."""
    sums = {name: kind.sha256 for name, kind in zhang_weights.KINDS.items()}
    assert sums == {
        "zhang16": "9b330a0bae53f4ded77b1e23defbf78beaa09c10ebc4c4999e8e4f4a160b93f9",
        "zhang17": "df00044c0a4d7c3edcecf6f75437ce346a66e7a42612d9b968e1a7e17dbc6f66",
    }


@pytest.mark.parametrize(
    ("kind", "drop", "text"),
    [
        ("zhang16", ("model8.6",), r"2 missing: model8.6.weight, model8.6.bias"),
        ("zhang16", ("model_out",), r"1 missing: model_out.weight"),
        ("zhang17", ("model9up",), r"2 missing: model9up.0.weight, model9up.0.bias"),
    ],
)
def test_missing_arrays_are_listed(kind, drop, text, tmp_path):
    with pytest.raises(RequestError, match=text):
        import_weights(kind, saved(tmp_path, kind, drop=drop), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_other_network_is_reported(tmp_path, capsys):
    path = str(saved(tmp_path, "zhang17"))
    assert cli.run(["import-weights", "zhang16", path, "--output", str(tmp_path / "run")]) == 2
    message = capsys.readouterr().err
    assert "these are not weights of zhang16" in message
    assert "model1.0.weight (8, 4, 3, 3), not (8, 1, 3, 3)" in message
    assert message.count("\n") == 1


def test_a_file_without_the_class_head_serves(tmp_path):
    path = saved(tmp_path, "zhang17", drop=("model_class",))
    notices = import_weights("zhang17", path, tmp_path / "run")
    assert any("no class head" in notice for notice in notices)
    gray = np.full((16, 24), 90, np.uint8)
    assert Colorizer.load(tmp_path / "run").colorize(gray).shape == (16, 24, 3)


def test_other_centers_are_reported_and_used(tmp_path):
    state = dict(zhang16(WIDTH).state_dict())
    state["model_out.weight"] = state["model_out.weight"] * 0.5
    torch.save(state, tmp_path / "half.pth")
    notices = import_weights("zhang16", tmp_path / "half.pth", tmp_path / "run")
    assert any("model_out.weight is up to 55.0 ab units" in notice for notice in notices)


def test_a_run_is_never_replaced(tmp_path):
    path = saved(tmp_path, "zhang16")
    import_weights("zhang16", path, tmp_path / "run")
    before = (tmp_path / "run/config.json").read_bytes()
    with pytest.raises(RequestError, match="already holds a run"):
        import_weights("zhang16", path, tmp_path / "run")
    assert (tmp_path / "run/config.json").read_bytes() == before


def tiny(module, photos, **changes):
    config = module.get_config("size=32,batch=4,debug")
    fields = {"data.path": str(photos), "evaluation.batch_size": 4, "progress": False}
    with config.unlocked():
        config.update_from_flattened_dict(fields | changes)
    return config.lock()


@pytest.mark.parametrize(
    ("kind", "module"), [("zhang16", zhang16_config), ("zhang17", zhang17_config)]
)
@pytest.mark.slow
def test_imported_weights_are_evaluated(kind, module, photos, tmp_path):
    import_weights(kind, saved(tmp_path, kind), tmp_path / "run")
    assert train_report.evaluate_only(tiny(module, photos), str(tmp_path / "run")) == 0
    actual = json.loads((tmp_path / "run/eval.json").read_text())["metrics"]
    assert actual["chroma_ratio"] > 0.1
    assert ("bits_per_pixel" in actual) == (kind == "zhang16")
    assert ("psnr_hints_5" in actual) == (kind == "zhang17")


@pytest.mark.slow
def test_training_from_imported_weights_keeps_their_meaning(photos, tmp_path):
    import_weights("zhang16", saved(tmp_path, "zhang16"), tmp_path / "run")
    changes = {"init_from": str(tmp_path / "run"), "model.width": WIDTH, "total_steps": 1}
    config = tiny(zhang16_config, photos, **changes)
    with pytest.raises(RequestError, match=r"set --config\.model\.folded_temperature=0\.38"):
        loop.train_and_evaluate(config, str(tmp_path / "new"))
    config = tiny(zhang16_config, photos, **changes, **{"model.folded_temperature": 0.38})
    assert loop.train_and_evaluate(config, str(tmp_path / "newer")) == 0


def test_training_on_in_the_imported_folder_is_refused(photos, tmp_path):
    import_weights("zhang16", saved(tmp_path, "zhang16"), tmp_path / "run")
    with pytest.raises(RequestError, match="init_from"):
        loop.train_and_evaluate(tiny(zhang16_config, photos), str(tmp_path / "run"))


@pytest.mark.parametrize("kind", ["zhang16", "zhang17"])
def test_wrong_meaning_is_reported(kind, tmp_path, capsys):
    flag = {"zhang16": "--mask-cent", "zhang17": "--folded-temperature"}[kind]
    arguments = [
        "import-weights",
        kind,
        str(saved(tmp_path, kind)),
        "--output",
        str(tmp_path / "run"),
    ]
    assert cli.run([*arguments, flag, "0.5"]) == 2
    assert f"weights of {kind} have no" in capsys.readouterr().err


def test_picture_from_the_command_line(tmp_path):
    import_weights("zhang17", saved(tmp_path, "zhang17"), tmp_path / "run")
    Image.fromarray(np.full((20, 30), 120, np.uint8)).save(tmp_path / "grey.png")
    arguments = ["colorize", str(tmp_path / "grey.png"), "--checkpoint", str(tmp_path / "run")]
    assert cli.run(arguments) == 0
    assert Image.open(tmp_path / "grey.color.png").size == (30, 20)
