"""Published networks: file -> workdir -> hub folder -> PyTorch twin and workdir, without loss."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from helpers import torch_deoldify
from helpers.torch_deoldify import make_narrow
from helpers.torch_writing import NUMBERS, in_container, state_of, tensor, text
from safetensors.torch import load_file, save_file
from weights.test_hub import push, same
from weights.torch import test_ddcolor
from weights.torch.test_pickle import EVIL, marker  # noqa: F401 (a fixture)
from weights.torch.test_zhang import WIDTH, zhang16, zhang17

from benchmarks import torch_ddcolor
from benchmarks.torch_zhang import Zhang16, Zhang17
from colorjax.cli import main as cli
from colorjax.inference.colorizer import Colorizer
from colorjax.weights import hub, store
from colorjax.weights.open import open_weights
from colorjax.weights.published import PUBLISHED
from colorjax.weights.torch import file as torch_file
from colorjax.weights.torch import import_published
from colorjax.weights.torch import zhang as zhang_weights
from colorjax.weights.torch.import_published import import_weights

NAMES = ("zhang16", "zhang17", "ddcolor", "deoldify-artistic", "deoldify-stable")
SOME_SLOW = [
    pytest.param(name, marks=[pytest.mark.slow] * (name not in ("zhang16", "ddcolor")))
    for name in NAMES
]
GRAY = np.random.default_rng(0).integers(0, 256, (40, 56), dtype=np.uint8)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The published networks with few channels, and no pictures in the folders."""
    monkeypatch.setattr("colorjax.cli.weights._write_previews", lambda weights, folder: [])
    make_narrow(monkeypatch)
    for name, kind in zhang_weights.KINDS.items():
        changed = kind.model | {"width": WIDTH}
        narrow = zhang_weights.Kind(changed, kind.file, kind.sha256, kind.entries)
        monkeypatch.setitem(zhang_weights.KINDS, name, narrow)


def published(name):
    """A twin with weights that carry signal, and a fresh one of the same class."""
    if name.startswith("zhang"):
        net, make = (zhang16, Zhang16) if name == "zhang16" else (zhang17, Zhang17)
        return net(WIDTH), make(WIDTH)
    if name == "ddcolor":
        return test_ddcolor.peer(), torch_ddcolor.DDColor("convnext_test", **test_ddcolor.TINY)
    kind = name.removeprefix("deoldify-")
    encoder, deep = {"artistic": ("resnet34", True), "stable": ("resnet101", False)}[kind]
    narrow = {"base": torch_deoldify.BASE, "depths": torch_deoldify.SHALLOW[encoder][0]}
    fresh = torch_deoldify.DeOldify(encoder, deep=deep, **narrow)
    return torch_deoldify.generator(kind), fresh


def run_of(name, net, root):
    torch.save(net.state_dict(), root / "weights.pth")
    import_weights(name.partition("-")[0], root / "weights.pth", root / "run")
    return root / "run"


@pytest.mark.parametrize("name", SOME_SLOW)
def test_the_twin_gets_back_its_own_state(name, tmp_path):
    net, other = published(name)
    run = run_of(name, net, tmp_path)
    folder = push(run, tmp_path / "folder", "--format", "torch-safetensors")
    about = json.loads((folder / hub.CONFIG).read_text())
    assert about["names"] == name.partition("-")[0]
    state, wanted = load_file(folder / hub.ARRAYS), net.state_dict()
    counters = {n for n in wanted if n.endswith("num_batches_tracked")}
    assert wanted.keys() - counters <= state.keys() <= wanted.keys()
    for each in state.keys() - counters:
        assert torch.equal(state[each], wanted[each]), each
    other.load_state_dict(state)  # strict
    other.eval()
    largest = 50 if name.startswith("zhang") else 1  # L, or sRGB
    inputs = [torch.rand(1, count, 64, 64) * largest for count in inputs_of(name)]
    with torch.no_grad():
        outputs = net.eval()(*inputs)
        assert outputs.std() > 0.01
        assert torch.equal(other(*inputs), outputs)
    same(open_weights(folder).load()[1], open_weights(run).load()[1])


def inputs_of(name):
    """Channels of the twin's inputs."""
    return {"zhang16": (1,), "zhang17": (1, 2, 1)}.get(name, (3,))


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n != "zhang16")) for n in NAMES],
)
@pytest.mark.parametrize("layout", hub.FORMATS)
def test_predictions_are_the_same_bit_for_bit(name, layout, tmp_path):
    run = run_of(name, published(name)[0], tmp_path)
    folder = push(run, tmp_path / "folder", "--format", layout)
    assert cli.run(["weights", "pull", str(folder), str(tmp_path / "back")]) == 0
    first = Colorizer.load(run, size=64)
    wanted = first.predict_ab(GRAY)
    assert np.abs(wanted).max() > 1
    for path in (folder, tmp_path / "back"):
        back = Colorizer.load(path, size=64)
        np.testing.assert_array_equal(back.predict_ab(GRAY), wanted)
        assert back.working_size == first.working_size
    sizes = [Colorizer.load(path).working_size for path in (run, folder, tmp_path / "back")]
    assert sizes[0] == sizes[1] == sizes[2]


@pytest.mark.parametrize("name", SOME_SLOW)
def test_a_safetensors_file_is_imported_as_the_other_containers(name, tmp_path):
    net, _ = published(name)
    wanted = open_weights(run_of(name, net, tmp_path)).load()[1]
    state = {each: tensor.contiguous() for each, tensor in net.state_dict().items()}
    save_file(state, tmp_path / "weights.safetensors")
    kind, file = name.partition("-")[0], str(tmp_path / "weights.safetensors")
    assert cli.run(["import-weights", kind, file, "--output", str(tmp_path / "other")]) == 0
    same(open_weights(tmp_path / "other").load()[1], wanted)


@pytest.mark.parametrize("kind", import_published.kinds())
@pytest.mark.parametrize("damage", ["cut", "a huge header", "no arrays", "other arrays"])
def test_a_bad_safetensors_file_is_one_line(kind, damage, tmp_path, capsys):
    path = tmp_path / "x.safetensors"
    tensors = {} if damage == "no arrays" else {"a": torch.zeros(1000)}
    save_file(tensors, path)
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[:-1])
    if damage == "a huge header":
        path.write_bytes((10**7).to_bytes(8, "little") + content[8:] + bytes(10**7))
    assert cli.run(["import-weights", kind, str(path), "--output", str(tmp_path / "run")]) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", SOME_SLOW)
def test_every_name_is_imported_and_opens(name, tmp_path, monkeypatch, capsys):
    """From a file that was copied into the cache, as `--offline` says."""
    monkeypatch.setenv(store.FOLDER, str(tmp_path / "cache"))
    net, _ = published(name)
    torch.save(net.state_dict(), tmp_path / "weights.pth")
    digest = torch_file.sha256(tmp_path / "weights.pth")
    monkeypatch.setitem(PUBLISHED, name, dataclasses.replace(PUBLISHED[name], sha256=digest))
    place = tmp_path / "cache/files" / PUBLISHED[name].file
    place.parent.mkdir(parents=True)
    shutil.copy(tmp_path / "weights.pth", place)
    assert cli.run(["weights", "get", name, "--offline"]) == 0
    assert f"license {PUBLISHED[name].license}" in capsys.readouterr().out
    weights = open_weights(name)
    assert weights.config.model.name == name.partition("-")[0]
    same(weights.load()[1], open_weights(run_of(name, net, tmp_path)).load()[1])
    folder = push(name, tmp_path / "folder")
    about = json.loads((folder / hub.CONFIG).read_text())
    assert about["license"] == PUBLISHED[name].license.lower()
    assert about["origin"] == PUBLISHED[name].origin


@pytest.mark.parametrize("kind", import_published.kinds())
@pytest.mark.parametrize("container", [True, False], ids=["zip", "stream"])
def test_hostile_pickles_of_every_kind_are_refused(kind, container, tmp_path, marker, capsys):  # noqa: F811
    """All attacks of test_pickle, as the whole file, as a value, and in fastai's optimizer."""
    path, run = tmp_path / "x.pth", tmp_path / "run"
    for attack, evil in EVIL.items():
        optimizer = text("model") + b"}" + text("a") + tensor() + b"s" + text("opt") + evil
        for program in (
            b"\x80\x04" + evil + b".",
            state_of(tensor(), evil),
            b"\x80\x02}(" + optimizer + b"u.",
        ):
            in_container(path, program, container, NUMBERS)
            command = ["import-weights", kind, str(path), "--output", str(run)]
            assert cli.run(command) == 2, attack
            said = capsys.readouterr().err
            assert said.count("\n") == 1, attack
            assert "is refused: " in said, attack
            assert not marker.exists(), attack
            assert not run.exists(), attack
