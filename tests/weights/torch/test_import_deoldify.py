"""`colorjax import-weights deoldify`, and what is done with the workdir."""

import hashlib
import json

import numpy as np
import pytest
import torch
from helpers.synthetic import quick
from helpers.torch_deoldify import BASE, generator, gray_photos, make_narrow
from PIL import Image

from colorjax import color
from colorjax.cli import main as cli
from colorjax.errors import RequestError
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.tiling import Tiling
from colorjax.train import loop
from colorjax.train import report as train_report
from colorjax.weights.open import open_weights
from colorjax.weights.torch import deoldify as deoldify_weights
from colorjax.weights.torch.import_published import import_weights
from configs import deoldify as deoldify_config

# As fastai saves it; a learning rate was given as a slice.
OPTIMIZER = {"state": {}, "param_groups": [{"lr": slice(1e-6, 1e-4), "params": [140_000_000_000]}]}


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """The published networks with few channels and layers: 2 MB instead of 255 or 874."""
    make_narrow(monkeypatch)


def saved(tmp_path, kind="artistic", *, wraps=True, as_zip=False, drop=()):
    state = {n: a for n, a in generator(kind).state_dict().items() if not n.startswith(drop)}
    content = {"model": state, "opt": OPTIMIZER} if wraps else state
    path = tmp_path / f"{kind}.pth"
    torch.save(content, path, _use_new_zipfile_serialization=as_zip)
    return path


@pytest.fixture
def workdir(tmp_path):
    import_weights("deoldify", saved(tmp_path), tmp_path / "run", render_factor=3)
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("kind", "wraps", "as_zip", "says"),
    [
        (
            "artistic",
            True,
            False,
            "resnet34 with the deep decoder; colors are predicted at 560x560",
        ),
        ("artistic", False, True, "resnet34"),
        ("stable", True, True, "resnet101 with the wide decoder; colors are predicted at 560x560"),
    ],
)
def test_a_file_comes_in(kind, wraps, as_zip, says, tmp_path, capsys):
    path = str(saved(tmp_path, kind, wraps=wraps, as_zip=as_zip))
    arguments = ["import-weights", "deoldify", path, "--output", str(tmp_path / "run")]
    assert cli.run(arguments) == 0
    output = capsys.readouterr().out
    assert "none of the three published files" in output
    assert says in output
    assert "not used" not in output
    weights = open_weights(tmp_path / "run")
    _, variables = weights.load()
    state = deoldify_weights.to_torch(variables, weights.config.model)
    for name, array in generator(kind).state_dict().items():
        assert np.array_equal(state[name], array.numpy()) or name.endswith("num_batches_tracked")


def test_a_photo_is_squeezed_to_a_square_and_gets_the_colors_of_pytorch(workdir):
    """A gray photo of 48 px, so that nothing is resized; its own lightness is kept."""
    gray = (255 * gray_photos(1, 48, 48, seed=5)[0, 0]).round().to(torch.uint8).numpy()
    colorizer = Colorizer.load(workdir)
    assert colorizer.working_size.of(300, 400) == (48, 48)
    colored = colorizer.colorize(gray)
    with torch.no_grad():
        rgb = generator("artistic")(torch.tensor(gray[None, None] / np.float32(255)))[0]
    lab = color.rgb_to_lab(np.clip(rgb.permute(1, 2, 0).numpy(), 0, 1))
    lightness = color.rgb_u8_to_lab(np.repeat(gray[..., None], 3, -1))[..., :1]
    assert np.abs(lab[..., :1] - lightness).mean() > 5  # the network's own lightness differs
    expected = np.concatenate([lightness, lab[..., 1:]], axis=-1)
    expected = color.lab_to_rgb_u8(expected, gamut="shrink_chroma")
    assert np.abs(colored.astype(int) - expected).max() <= 1
    assert colored.std(axis=-1).mean() > 5


def test_an_aspect_that_is_given_replaces_the_stored_one(workdir):
    assert Colorizer.load(workdir, aspect="short").working_size.of(300, 400) == (48, 64)
    assert Colorizer.load(workdir, size=96).working_size.of(300, 400) == (96, 96)


def test_the_published_file_is_recognized(tmp_path, monkeypatch):
    path = saved(tmp_path, "stable")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    kind = deoldify_weights.KINDS["video"]
    monkeypatch.setitem(
        deoldify_weights.KINDS, "video", kind.__class__(**vars(kind) | {"sha256": digest})
    )
    notices = import_weights("deoldify", path, tmp_path / "run")
    assert notices[0] == f"sha256 {digest}: the published ColorizeVideo_gen.pth"


@pytest.mark.parametrize(
    ("drop", "text"),
    [
        (("layers.11",), r"4 missing: layers\.11\.0\.weight_orig, layers\.11\.0\.weight_u"),
        (("layers.1.",), r"4 missing: layers\.1\.weight"),
        (("layers.",), "holds no tensors"),
        (("layers.4",), "not weights of deoldify"),
    ],
)
def test_missing_arrays_are_listed(drop, text, tmp_path, capsys):
    path = str(saved(tmp_path, drop=drop))
    arguments = ["import-weights", "deoldify", path, "--output", str(tmp_path / "run")]
    assert cli.run(arguments) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    with pytest.raises(RequestError, match=text):
        import_weights("deoldify", path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_other_networks_are_reported(tmp_path):
    path = saved(tmp_path)
    with pytest.raises(RequestError, match="these are not weights of zhang16"):
        import_weights("zhang16", path, tmp_path / "run")
    with pytest.raises(RequestError, match="known: ddcolor, deoldify, zhang16"):
        import_weights("deoldify2", path, tmp_path / "run")
    with pytest.raises(RequestError, match="weights of deoldify have no mask_cent"):
        import_weights("deoldify", path, tmp_path / "run", mask_cent=0.5)
    with pytest.raises(RequestError, match="weights of zhang16 have no render_factor"):
        import_weights("zhang16", path, tmp_path / "run", render_factor=35)
    for factor in (0, 129, 2.5):
        with pytest.raises(
            RequestError, match="--render-factor must be a whole number from 1 to 128"
        ):
            import_weights("deoldify", path, tmp_path / "run", render_factor=factor)
    assert not (tmp_path / "run").exists()


def tiny(photos, **changes):
    config = deoldify_config.get_config(f"size=32,batch=4,width={BASE / 64},debug")
    return quick(config, photos, **changes)


@pytest.mark.slow
def test_the_workdir_serves_every_command(workdir, photos, tmp_path):
    """evaluate, compare, --mode=eval, finetune, tiles; its colors are not gray."""
    run, data = str(workdir), str(photos)
    assert (
        cli.run(["evaluate", run, "--suite", "folder", "--data", data, "--output", f"{tmp_path}/e"])
        == 0
    )
    assert cli.run(["compare", run, "--data", data, "--output", f"{tmp_path}/c"]) == 0
    assert train_report.evaluate_only(tiny(photos), run) == 0
    metrics = json.loads((workdir / "eval.json").read_text())["metrics"]
    assert metrics["chroma_ratio"] > 0.1
    command = ["finetune", run, "--data", data, "--output", f"{tmp_path}/f", "--steps", "2"]
    assert cli.run([*command, "--batch-size", "4", "--size", "32", "--min-side", "16"]) == 0
    gray = np.asarray(Image.open(next(photos.rglob("*.png"))).convert("L"))
    colorizer = Colorizer.load(f"{tmp_path}/f")
    assert colorizer.working_size.aspect == "squash"
    tiles = Tiling((24, 24), (12, 12))
    for options in ({}, {"tiling": tiles}, {"quality": "best"}, {"hints": [(3, 4, "#c04030")]}):
        assert colorizer.colorize(gray, **options).shape == (*gray.shape, 3)


@pytest.mark.slow
def test_it_trains_from_a_config_and_from_imported_weights(workdir, photos, tmp_path):
    assert loop.train_and_evaluate(tiny(photos, total_steps=2), str(tmp_path / "fresh")) == 0
    config = tiny(photos, total_steps=1, init_from=str(workdir))
    assert loop.train_and_evaluate(config, str(tmp_path / "on")) == 0
    before, after = (open_weights(path).load()[1] for path in (workdir, tmp_path / "on"))
    for path in ("params/middle1/conv/kernel", "batch_stats/middle1/conv/spectral/u"):
        old, new = before, after
        for part in path.split("/"):
            old, new = old[part], new[part]
        assert not np.array_equal(old, new)


def test_predicted_lightness_is_that_of_the_network(workdir):
    config = json.loads((workdir / "config.json").read_text())
    config["inference"]["lightness"] = "predicted"
    (workdir / "config.json").write_text(json.dumps(config))
    gray = (255 * gray_photos(1, 48, 48, seed=5)[0, 0]).round().to(torch.uint8).numpy()
    colored = Colorizer.load(workdir).colorize(gray)
    with torch.no_grad():
        rgb = generator("artistic")(torch.tensor(gray[None, None] / np.float32(255)))[0]
    expected = 255 * np.clip(rgb.permute(1, 2, 0).numpy(), 0, 1)
    assert np.abs(colored - expected).max() < 1.5
