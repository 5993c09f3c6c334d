"""Hub folders: round trips bit for bit, PyTorch twins, bad input."""

import json
import re
import shutil
import struct
import tracemalloc

import jax
import numpy as np
import pytest
import torch
import yaml
from helpers.synthetic import tiny_config
from helpers.workdirs import fresh_workdir
from ml_collections import ConfigDict
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch

from benchmarks import torch_zhang
from colorjax import config as config_files
from colorjax import methods
from colorjax.cli import main as cli
from colorjax.errors import RequestError
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.engines.jax import JaxEngine
from colorjax.weights import hub, tensor_file
from colorjax.weights.open import are_weights, open_weights
from colorjax.weights.torch import state_dicts
from colorjax.weights.workdir import Workdir
from configs import (
    cgan,
    ddcolor,
    edge_fusion,
    iizuka,
    nogan,
    plain_cnn,
    semantic,
    unet,
    zhang16,
    zhang17,
)

CONFIGS = {
    "plain_cnn": (plain_cnn, "size=32"),
    "iizuka": (iizuka, "size=32,width=0.125"),
    "edge_fusion": (edge_fusion, "size=32,width=0.125"),
    "unet": (unet, "size=64,width=0.125"),
    "cgan": (cgan, "size=64,width=0.125"),
    "nogan": (nogan, "size=64,width=0.125"),
    "zhang16": (zhang16, "size=32,width=0.125"),
    "zhang16_l2": (zhang16, "size=32,width=0.125,variant=l2"),
    "zhang17": (zhang17, "size=32,width=0.125"),
    "semantic": (semantic, "encoder=tiny,size=32,width=0.125"),
    "ddcolor_small": (ddcolor, "small,size=64"),
}
PUBLISHED = ("ddcolor", "deoldify")  # in test_hub_published.py, with weights that carry signal
PLAIN = {"plain_cnn": {"model.filters": (4, 8, 8, 8, 8, 8, 8)}}
GRAY = np.random.default_rng(0).integers(0, 256, (40, 56), dtype=np.uint8)


def run_of(name, root):
    """A workdir with fresh weights of a config of this name."""
    module, arguments = CONFIGS[name]
    config = module.get_config(arguments)
    with config.unlocked():
        config.update_from_flattened_dict(PLAIN.get(name, {}))
        config.optimizer.ema_decay = 0.0
    return fresh_workdir(root, config, deviation=0.1)


def push(run, folder, *options):
    assert cli.run(["weights", "push", str(run), str(folder), *options]) == 0
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fresh_workdir(tmp_path_factory.mktemp("runs") / "run", tiny_config("secret_photos"))


@pytest.fixture(scope="module")
def pushed(run, tmp_path_factory):
    """A hub folder, for tests that do not change it."""
    folder = tmp_path_factory.mktemp("hub") / "plain"
    return push(run, folder, "--license", "CC-BY-4.0", "--data", "our-photos")


@pytest.fixture
def folder(pushed, tmp_path):
    shutil.copytree(pushed, tmp_path / "copy")
    return tmp_path / "copy"


def same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    assert all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "ddcolor_small")) for n in CONFIGS]
)
def test_every_network_goes_out_and_comes_back_bit_for_bit(name, tmp_path, monkeypatch):
    monkeypatch.setattr("colorjax.cli.weights._write_previews", lambda weights, folder: [])
    run = run_of(name, tmp_path / "run")
    folder = push(run, tmp_path / "folder")
    assert cli.run(["weights", "pull", str(folder), str(tmp_path / "back")]) == 0
    first, second, third = (open_weights(path) for path in (run, folder, tmp_path / "back"))
    step, variables = first.load()
    for other in (second, third):
        assert other.load()[0] == step == 7
        same(other.load()[1], variables)
        assert other.method.network == first.method.network
    push(tmp_path / "back", tmp_path / "again")
    for file in (hub.CONFIG, hub.ARRAYS):  # the same bytes
        assert (tmp_path / "again" / file).read_bytes() == (folder / file).read_bytes()


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n != "plain_cnn")) for n in CONFIGS]
)
def test_predictions_are_the_same_bit_for_bit(name, tmp_path, monkeypatch):
    monkeypatch.setattr("colorjax.cli.weights._write_previews", lambda weights, folder: [])
    run = run_of(name, tmp_path / "run")
    folder = push(run, tmp_path / "folder")
    assert cli.run(["weights", "pull", str(folder), str(tmp_path / "back")]) == 0
    wanted = Colorizer.load(run).predict_ab(GRAY)
    assert np.abs(wanted).max() > 0.1
    for path in (folder, tmp_path / "back"):
        np.testing.assert_array_equal(Colorizer.load(path).predict_ab(GRAY), wanted)


def test_no_config_is_forgotten():
    networks = {module.__name__.rpartition(".")[2] for module, _ in CONFIGS.values()}
    assert networks | set(PUBLISHED) == set(config_files.names())


def test_weights_by_name_go_out_and_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr("colorjax.cli.weights._write_previews", lambda weights, folder: [])
    folder = push("zhang16-small", tmp_path / "folder")
    card = (folder / hub.CARD).read_text()
    assert "license: cc-by-nc-4.0" in card
    wanted, back = open_weights("zhang16-small").load(), open_weights(folder).load()
    assert back[0] == wanted[0] == 1200
    same(back[1], wanted[1])


def test_what_is_in_the_folder(pushed):
    names = sorted(path.name for path in pushed.iterdir())
    pictures = ["preview_astronaut.png", "preview_chelsea.png", "preview_coffee.png"]
    assert names == ["README.md", "config.json", "model.safetensors", *pictures]
    about = json.loads((pushed / hub.CONFIG).read_text())
    assert about["license"] == "cc-by-4.0"
    assert set(about["config"]) == {"dtype", "model", "data", "inference"}
    assert "secret_photos" not in (pushed / hub.CONFIG).read_text()
    _, front, body = (pushed / hub.CARD).read_text().split("---\n", 2)
    fields = yaml.safe_load(front)
    assert fields["license"] == "cc-by-4.0"
    assert fields["library_name"] == "colorjax"
    assert fields["pipeline_tag"] == "image-to-image"
    assert {"jax", "image-colorization", "plain_cnn"} <= set(fields["tags"])
    assert fields["datasets"] == ["our-photos"]
    assert "metrics" not in fields
    for name in pictures:
        assert f"({name})" in body
    modes = {path.stat().st_mode & 0o777 for path in pushed.iterdir()}
    assert len(modes) == 1
    arrays = load_file(pushed / hub.ARRAYS)
    assert all(name.split(".")[0] in ("params", "batch_stats") for name in arrays)


def test_no_path_of_a_config_goes_out():
    config = plain_cnn.get_config("size=32")
    names = ("path", "eval_path", "parts", "labels")
    with config.unlocked():
        for name in names:
            config.data[name] = f"/home/me/{name}"
        config.data.weights = (("my_album", 2.0),)
        config.loss.prior = config.features.path = config.init_from = "/home/me/file"
    fields = hub.for_prediction(config)
    text = json.dumps(fields)
    assert "/home/me" not in text
    assert "my_album" not in text
    kept = methods.build(ConfigDict(fields), with_loss=False)
    assert kept.network == methods.build(config, with_loss=False).network
    for label in ("folder", "path", "none"):
        config.data.labels = label
        assert hub.for_prediction(config)["data"]["labels"] == label


def test_the_metrics_of_the_run_are_on_the_card(run, tmp_path, monkeypatch):
    monkeypatch.setattr("colorjax.cli.weights._write_previews", lambda weights, folder: [])
    copy = shutil.copytree(run, tmp_path / "run")
    report = {"metrics": {"psnr": 23.456, "top1": 0.5, "x y": 1, "ssim": "0.9"}}
    report |= {"dataset": "folder /home/me/secret_album", "num_images": 12}
    (copy / "eval.json").write_text(json.dumps(report))
    folder = push(copy, tmp_path / "folder")
    text = (folder / hub.CARD).read_text()
    fields = yaml.safe_load(text.split("---\n")[1])
    assert fields["metrics"] == ["psnr"]
    result = fields["model-index"][0]["results"][0]
    assert result["dataset"]["name"] == "12 photos of the run's evaluation"
    for file in folder.iterdir():
        assert b"secret_album" not in file.read_bytes()
    assert result["metrics"] == [{"type": "psnr", "name": "psnr", "value": 23.456}]
    assert "| PSNR, dB | 23.46 |" in text
    assert "license: unknown" in text


def test_pull_keeps_what_the_card_says(pushed, tmp_path):
    assert cli.run(["weights", "pull", str(pushed), str(tmp_path / "run")]) == 0
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "checkpoints",
        "config.json",
        "source.json",
    ]
    push(tmp_path / "run", tmp_path / "again")
    again = json.loads((tmp_path / "again" / hub.CONFIG).read_text())
    assert again == json.loads((pushed / hub.CONFIG).read_text())


def test_names_of_classes_come_along(tmp_path, monkeypatch):
    monkeypatch.setattr("colorjax.cli.weights._write_previews", lambda weights, folder: [])
    config = iizuka.get_config("size=32,width=0.125")
    with config.unlocked():
        config.model.num_classes = 2
    fresh_workdir(tmp_path / "run", config, deviation=0.1)
    (tmp_path / "run/classes.json").write_text('["beach", "forest"]')
    folder = push(tmp_path / "run", tmp_path / "folder")
    assert open_weights(folder).classes == ("beach", "forest")
    assert cli.run(["weights", "pull", str(folder), str(tmp_path / "back")]) == 0
    assert Workdir(tmp_path / "back").read_classes() == ("beach", "forest")


def test_an_existing_folder_is_kept(run, folder, tmp_path, capsys):
    before = (folder / hub.CONFIG).read_bytes()
    assert cli.run(["weights", "push", str(run), str(folder)]) == 2
    assert "already holds weights; add --overwrite" in capsys.readouterr().err
    assert (folder / hub.CONFIG).read_bytes() == before
    (folder / ".git").mkdir()  # a clone
    (folder / ".git/HEAD").write_text("x")
    push(run, folder, "--overwrite", "--license", "mit")
    assert b'"mit"' in (folder / hub.CONFIG).read_bytes()
    assert (folder / ".git/HEAD").read_text() == "x"
    for other in (run, tmp_path):  # a workdir, and some folder
        assert cli.run(["weights", "push", str(run), str(other), "--overwrite"]) == 2
        assert "exists; give another folder" in capsys.readouterr().err
    assert cli.run(["weights", "pull", str(folder), str(run)]) == 2
    assert "exists; give another workdir" in capsys.readouterr().err


def test_commands_take_a_hub_folder(pushed, tmp_path, capsys):
    from PIL import Image

    Image.fromarray(GRAY).save(tmp_path / "a.png")
    photo, out = str(tmp_path / "a.png"), str(tmp_path / "out")
    command = ["colorize", photo, "--output", out, "--checkpoint", str(pushed)]
    assert cli.run(command) == 0
    assert are_weights(pushed)
    weights = open_weights(pushed)
    assert weights.workdir is None
    assert weights.card["license"] == "cc-by-4.0"
    assert weights.digest() == open_weights(pushed).digest()


def test_from_pretrained_and_save_pretrained(run, tmp_path):
    colorizer = Colorizer.from_pretrained(run, size=16, aspect="long")
    assert (colorizer.working_size.side, colorizer.working_size.aspect) == (16, "long")
    colorizer.save_pretrained(tmp_path / "a", license="mit", data="ours")
    assert (tmp_path / "a" / hub.CARD).read_text().startswith("---\nlicense: mit\n")
    back = Colorizer.from_pretrained(tmp_path / "a")
    assert back.working_size == colorizer.working_size
    np.testing.assert_array_equal(back.predict_ab(GRAY), colorizer.predict_ab(GRAY))
    with pytest.raises(RequestError, match="add --overwrite"):
        colorizer.save_pretrained(tmp_path / "a")
    back.save_pretrained(tmp_path / "a", overwrite=True)
    assert (tmp_path / "a" / hub.CARD).read_text().startswith("---\nlicense: mit\n")
    plain = Colorizer(JaxEngine(back._engine.method, back._engine.variables), back.working_size)
    with pytest.raises(RequestError, match="was not loaded by name or path"):
        plain.save_pretrained(tmp_path / "b")
    assert not (tmp_path / "b").exists()


def torch_ab(name, folder, lightness):
    """The output of the published program's network with the exported file."""
    net = (torch_zhang.Zhang16 if name == "zhang16" else torch_zhang.Zhang17)(0.125)
    net.load_state_dict(load_torch(folder / hub.ARRAYS))  # strict
    net.eval()
    lightness = torch.tensor(lightness)[None, None]
    hints = (torch.zeros(1, 2, *lightness.shape[2:]), torch.zeros_like(lightness))
    with torch.no_grad():
        return net(*((lightness,) if name == "zhang16" else (lightness, *hints)))[0].numpy()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("zhang16", {}),
        pytest.param("zhang16", {"model.temperature": 1.0}, marks=pytest.mark.slow),
        ("zhang17", {"model.mask_cent": 0.0}),
    ],
)
def test_a_pytorch_twin_loads_the_export(name, changes, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("colorjax.cli.weights._write_previews", lambda weights, folder: [])
    module, arguments = CONFIGS[name]
    config = module.get_config(arguments)
    with config.unlocked():
        config.optimizer.ema_decay = 0.0
        config.update_from_flattened_dict(changes)
        if name == "zhang17":
            config.model.class_head = True
    run = fresh_workdir(tmp_path / "run", config)
    folder = push(run, tmp_path / "folder", "--format", "torch-safetensors")
    lightness = np.random.default_rng(1).uniform(0, 100, (32, 32)).astype(np.float32)
    wanted = torch_ab(name, folder, lightness)
    gray = (lightness / 50 - 1)[None, ..., None]
    fields = {"gray": gray}
    if name == "zhang17":
        fields |= {"hint_ab": np.zeros((1, 32, 32, 2), np.float32), "hint_mask": 0 * gray}
    for path in (run, folder):  # ours, before and after
        weights = open_weights(path)
        outputs = weights.method.network.apply(weights.load()[1], fields, train=False)
        ab = 110 * np.asarray(outputs["ab"][0]).transpose(2, 0, 1)
        assert np.abs(wanted).max() > 5
        np.testing.assert_allclose(ab, wanted, atol=2e-3)


def test_exports_without_a_twin_are_refused(run, tmp_path, capsys):
    target = tmp_path / "folder"
    command = ["weights", "push", str(run), str(target), "--format"]
    assert cli.run([*command, "torch-safetensors"]) == 2
    assert "no published PyTorch program has the network plain_cnn" in capsys.readouterr().err
    assert cli.run([*command, "pickle"]) == 2
    assert "--format must be colorjax or torch-safetensors" in capsys.readouterr().err
    other = run_of("zhang16_l2", tmp_path / "l2")
    command[2] = str(other)
    assert cli.run([*command, "torch-safetensors"]) == 2
    assert "has layers that the published program lacks" in capsys.readouterr().err
    assert not target.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["l2"]
    with pytest.raises(RequestError, match="this variant of ddcolor has layers that the"):
        state_dicts.export(ddcolor.get_config("small"), {})


def refused(folder, capsys, tmp_path):
    """The one line with which a folder is refused; nothing is written."""
    before = sorted(tmp_path.rglob("*"))
    says = []
    for command in (
        ["weights", "pull", str(folder), str(tmp_path / "new")],
        ["weights", "push", str(folder), str(tmp_path / "new")],
    ):
        assert cli.run(command) == 2, command
        text = capsys.readouterr().err
        assert text.startswith("colorjax: ")
        assert text.count("\n") == 1
        assert text.strip().isprintable()
        assert len(text) < 700
        says.append(text.strip())
    assert sorted(tmp_path.rglob("*")) == before
    assert says[0] == says[1]
    return says[0]


def header_of(folder):
    content = (folder / hub.ARRAYS).read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def write_header(folder, header, numbers, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(text) if length is None else length
    (folder / hub.ARRAYS).write_bytes(struct.pack("<Q", size) + text + numbers)


def lie(change):
    """Changes the first array's entry in the header."""

    def damage(folder):
        header, numbers = header_of(folder)
        first = next(name for name in header if name != "__metadata__")
        change(header[first])
        write_header(folder, header, numbers)

    return damage


def drop_first(folder):
    arrays = load_file(folder / hub.ARRAYS)
    arrays.pop(next(iter(arrays)))
    save_file(arrays, folder / hub.ARRAYS)


def add_one(folder):
    arrays = load_file(folder / hub.ARRAYS)
    save_file(arrays | {"params.more": np.zeros(4, np.float32)}, folder / hub.ARRAYS)


def as_half(folder):
    arrays = {name: x.astype(np.float16) for name, x in load_file(folder / hub.ARRAYS).items()}
    padding = {"params.z": np.zeros(10**5, np.float32)}
    save_file(arrays | padding, folder / hub.ARRAYS)


def flip(folder):
    content = bytearray((folder / hub.ARRAYS).read_bytes())
    content[-1] ^= 1
    (folder / hub.ARRAYS).write_bytes(content)


def bytes_of(make):
    def damage(folder):
        path = folder / hub.ARRAYS
        path.write_bytes(make(path.read_bytes()))

    return damage


DAMAGES = {
    "truncated": (bytes_of(lambda x: x[: len(x) // 2]), "bytes, but the network of its config"),
    "only a bit too short": (bytes_of(lambda x: x[:-1]), "truncated or damaged"),
    "header only": (bytes_of(lambda x: x[:8]), "bytes, but the network"),
    "empty": (bytes_of(lambda x: b""), "bytes, but the network"),
    "more at the end": (bytes_of(lambda x: x + b"more"), "truncated or damaged"),
    "a huge header": (
        bytes_of(lambda x: struct.pack("<Q", 2**62) + x[8:]),
        "a header of 4611686018427387904 bytes",
    ),
    "a header of 90 MB": (
        bytes_of(lambda x: struct.pack("<Q", 90_000_000) + x[8:]),
        "a header of 90000000 bytes",
    ),
    "a negative header": (bytes_of(lambda x: b"\xff" * 8 + x[8:]), "a header of"),
    "a web page": (bytes_of(lambda x: b"<html>" + x), "a header of"),
    "a pickle": (bytes_of(lambda x: b"\x80\x02}" + x), "a header of"),
    "a deep header": (
        lambda folder: write_header(folder, b'{"a":' * 10**5, header_of(folder)[1]),
        "truncated or damaged",
    ),
    "a huge shape": (lie(lambda x: x.update(shape=[2**60, 2**60])), "truncated or damaged"),
    "a large shape": (lie(lambda x: x.update(shape=[2**40])), "truncated or damaged"),
    "a negative shape": (lie(lambda x: x.update(shape=[-1])), "truncated or damaged"),
    "offsets outside": (
        lie(lambda x: x.update(data_offsets=[0, 2**50])),
        "truncated or damaged",
    ),
    "offsets backwards": (
        lie(lambda x: x.update(data_offsets=x["data_offsets"][::-1])),
        "truncated or damaged",
    ),
    "another dtype": (lie(lambda x: x.update(dtype="I32")), "I32, not"),
    "a dtype of another size": (lie(lambda x: x.update(dtype="F64")), "truncated or damaged"),
    "an unknown dtype": (lie(lambda x: x.update(dtype="FN")), "truncated or damaged"),
    "an array is missing": (drop_first, "BatchNorm_0.norm.mean is missing"),
    "an array too many": (add_one, "params.more is unknown"),
    "half precision": (as_half, "F16, not"),
    "a flipped bit": (flip, "has the SHA-256"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_arrays_are_one_line_and_nothing_is_written(damage, folder, tmp_path, capsys):
    change, says = DAMAGES[damage]
    change(folder)
    assert says in refused(folder, capsys, tmp_path)


def test_arrays_with_hostile_names(folder, tmp_path, capsys):
    arrays = load_file(folder / hub.ARRAYS)
    save_file(arrays | {"a\n\x1b[31mb": np.zeros(4, np.float32)}, folder / hub.ARRAYS)
    assert "has an array of another kind" in refused(folder, capsys, tmp_path)


def test_arrays_of_another_network(folder, tmp_path, capsys, monkeypatch):
    run = fresh_workdir(tmp_path / "other", tiny_config("", **{"model.kernel_size": 5}))
    monkeypatch.setattr("colorjax.cli.weights._write_previews", lambda weights, folder: [])
    push(run, tmp_path / "pushed")
    shutil.copy(tmp_path / "pushed" / hub.ARRAYS, folder / hub.ARRAYS)
    says = refused(folder, capsys, tmp_path)
    assert "has other arrays than the network of its config.json" in says
    assert "[5, 5, 1, 4] F32, not [3, 3, 1, 4] F32" in says


def test_nothing_is_allocated_for_a_network_that_the_file_cannot_hold(folder, capsys, tmp_path):
    edit(folder, lambda about: about["config"]["model"].update(filters=[2**19] * 7))
    tracemalloc.start()
    try:
        says = refused(folder, capsys, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()
    assert re.search(r"has \d+ bytes, but the network of its config.json needs \d{13}", says)


def edit(folder, change):
    path = folder / hub.CONFIG
    about = json.loads(path.read_text())
    about = change(about) or about
    path.write_text(json.dumps(about))


EDITS = {
    "of another library": (lambda x: {"architectures": ["DDColor"]}, "was not written by"),
    "a list": (lambda x: [x], "was not written by"),
    "of a later version": (lambda x: x.update(format=2), "install a newer colorjax"),
    "no format": (lambda x: x.pop("format") and None, "format is not of type int"),
    "a wrong step": (lambda x: x.update(step="7"), "step is not of type int"),
    "a wrong sum": (lambda x: x.update(sha256="0" * 64), "has the SHA-256"),
    "no config": (lambda x: x.update(config=[]), "config is not of type dict"),
    "an empty config": (lambda x: x.update(config={}), "it lacks model.name"),
    "a wrong field": (lambda x: x["config"]["data"].update(image_size="big"), "image_size is"),
    "an unknown network": (lambda x: x["config"]["model"].update(name="vgg"), "unknown model"),
    "unknown names": (lambda x: x.update(names="caffe"), "names is unknown"),
    "names of another network": (lambda x: x.update(names="zhang16"), "names and config"),
    "classes": (lambda x: x.update(classes=[1]), "classes is not a list of names"),
    "an unknown layer": (
        lambda x: x["config"]["model"].update(depth=3),
        "unexpected keyword argument",
    ),
}


@pytest.mark.parametrize("change", EDITS)
def test_a_config_from_elsewhere(change, folder, tmp_path, capsys):
    make, says = EDITS[change]
    edit(folder, make)
    assert says in refused(folder, capsys, tmp_path)


@pytest.mark.parametrize(
    "values",
    [
        {"metrics": [1]},
        {"metrics": {"psnr": "x", "a\nb": 1, "ssim": float("nan"), "auc": 10**400, "top1": []}},
        {"metrics": "psnr", "license": {"a": "---\n"}, "data": ["\x1b[31m"], "origin": 7},
        {"num_images": "12", "license": "x\n---\n# y", "data": "a: b\n"},
    ],
    ids=range(4),
)
def test_claims_from_elsewhere_are_text(values, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("colorjax.cli.weights._write_previews", lambda weights, folder: [])
    edit(folder, lambda about: about.update(values))
    push(folder, tmp_path / "again")
    text = (tmp_path / "again" / hub.CARD).read_text()
    assert all(line.isprintable() for line in text.splitlines())
    assert isinstance(yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n")), dict)
    assert json.loads((tmp_path / "again" / hub.CONFIG).read_text())["metrics"] == {}
    assert "\n# y" not in text


def test_a_model_without_names_is_one_line(folder, tmp_path, capsys, monkeypatch):
    def fail(variables, model):
        raise KeyError("encoder")

    naming = state_dicts.NAMINGS["zhang16"]._replace(to_torch=fail)
    monkeypatch.setitem(state_dicts.NAMINGS, "plain_cnn", naming)
    edit(folder, lambda about: about.update(names="plain_cnn"))
    assert "plain_cnn has no such model: KeyError" in refused(folder, capsys, tmp_path)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff\xfe", b"[" * 10**5, b'{"a": NaN}', b"null"], ids=range(6)
)
def test_a_config_that_is_no_json(text, folder, tmp_path, capsys):
    (folder / hub.CONFIG).write_bytes(text)
    refused(folder, capsys, tmp_path)


def test_code_inside_the_folder_is_not_imported(folder, tmp_path, capsys, monkeypatch):
    (folder / "evil.py").write_text("raise SystemExit('executed')")
    monkeypatch.syspath_prepend(str(folder))
    edit(folder, lambda about: about["config"]["model"].update(name="evil:Network"))
    assert "is code inside that workdir" in refused(folder, capsys, tmp_path)


def test_pull_of_other_weights(run, pushed, tmp_path, capsys):
    new = tmp_path / "new"
    for source in (tmp_path, tmp_path / "nowhere"):
        assert cli.run(["weights", "pull", str(source), str(new)]) == 2
        assert "not found" in capsys.readouterr().err
    assert cli.run(["weights", "pull", str(pushed), str(new), "--size", "0"]) == 2
    assert "--size must be at least 1" in capsys.readouterr().err
    assert not new.exists()
    assert cli.run(["weights", "pull", str(run), str(new), "--size", "48"]) == 0
    assert Colorizer.load(new).working_size.side == 48
    assert open_weights(new).workdir is not None  # `calibrate` may store its choice


def test_a_pull_that_cannot_write(pushed, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.run(["weights", "pull", str(pushed), str(tmp_path / "file/run")]) == 2
    assert "give another workdir" in capsys.readouterr().err


def test_a_push_that_fails_leaves_nothing(run, tmp_path, capsys, monkeypatch):
    def fail(path, arrays, metadata):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(tensor_file, "write", fail)
    assert cli.run(["weights", "push", str(run), str(tmp_path / "folder")]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_tensor_files_of_other_programs(tmp_path):
    """Written by safetensors' own writer for PyTorch, in all types that are read."""
    from safetensors.torch import save_file as save_torch

    tensors = {
        "f": torch.tensor([[1.5, -2.0]], dtype=torch.float64),
        "b": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "i": torch.tensor(7),
        "e": torch.zeros(0, 3),
    }
    save_torch(tensors, tmp_path / "x.safetensors")
    found = tensor_file.read(tmp_path / "x.safetensors")
    assert found["f"].dtype == np.float64
    assert found["b"].dtype == np.float32
    assert found["b"].tolist() == [1.5, -2.0]
    assert found["i"].shape == ()
    assert found["i"] == 7
    assert found["e"].shape == (0, 3)
    described = tensor_file.describe(tmp_path / "x.safetensors")
    assert described["b"] == ("BF16", (2,))


def test_all_namings_are_of_networks_that_there_are():
    from colorjax import models

    for name in state_dicts.NAMINGS:
        assert models.create(name) is not None
    assert methods.build(zhang16.get_config("size=32"), with_loss=False)
