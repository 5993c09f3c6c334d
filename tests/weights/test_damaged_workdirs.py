"""Workdirs that are damaged or come from a stranger: data only, and one line for each fault."""

import io
import json
import os
import pickle
import random
import shutil
import sys
import zipfile

import jax
import numpy as np
import pytest
from helpers.synthetic import tiny_config

from colorjax.errors import RequestError
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.working_size import MAX_SIDE
from colorjax.train.log.health import Health
from colorjax.tune.trial import Clock, validations
from colorjax.weights import checkpoint, named, stored_config
from colorjax.weights.open import open_weights
from colorjax.weights.workdir import Workdir

HUGE = b"[" * 200_000


@pytest.fixture
def copy(workdir, tmp_path):
    """A workdir to damage."""
    return shutil.copytree(workdir, tmp_path / "run")


def change(folder, changes):
    """Sets fields of config.json by their dotted names."""
    file = folder / "config.json"
    content = json.loads(file.read_text())
    for name, value in changes.items():
        *sections, field = name.split(".")
        node = content
        for section in sections:
            node = node[section]
        if value is KeyError:
            del node[field]
        else:
            node[field] = value
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "Expecting value"),
        (b"[]", "it is not the config of a run"),
        (b"null", "it is not the config of a run"),
        (b"{}", "it lacks model.name"),
        (b'{"model": []}', "model is \\[\\]"),
        (b'{"model": {"name": "unet"}, "dtype": "float32"}', "it lacks data.image_size"),
        (b'{"model": {}, "mod\xff": 1}', "utf-8"),
        (HUGE, "nested too deeply"),
        (b'{"model": ' + HUGE, "nested too deeply"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
    ],
)
def test_a_damaged_config(content, says, copy):
    (copy / "config.json").write_bytes(content)
    with pytest.raises(RequestError, match=says) as caught:
        open_weights(copy)
    assert "is damaged" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model.name", 3),
        ("model.filters", {"a": 1}),
        ("model.filters", [[[1]]]),
        ("model.filters", 2**40),
        ("model.filters", [1] * 2000),
        ("data", "x"),
        ("data.image_size", "64"),
        ("data.image_size", KeyError),
        ("data.flip", 1),
        ("data.crop_scale", "low"),
        ("inference", KeyError),
        ("inference.saturation", float("nan")),
        ("inference.lightness", None),
        ("optimizer", [1]),
        ("optimizer.learning_rate", "fast"),
        ("optimizer.schedule", KeyError),
        ("total_steps", 1.5),
        ("total_steps", True),
        ("dtype", ["float32"]),
    ],
)
def test_fields_of_the_wrong_type_are_named(name, value, copy):
    change(copy, {name: value})
    with pytest.raises(RequestError, match="is damaged") as caught:
        open_weights(copy)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"model.filters": [4]},
        {"model.filters": ["a"] * 7},
        {"model.filters": [0] * 7},
        {"model.filters": [-4] * 7},
        {"model.filters": []},
        {"model.kernel_size": "x"},
        {"model.kernel_size": -1},
        {"model.unknown": 1},
        {"model.name": "unet"},
        {"dtype": "float99"},
        {"data.image_size": 0},
        {"data.saturation": -1.0},
        {"inference.decode": "annealed"},
        {"inference.saturation": -1.0},
        {"data.image_size": 2**24},
    ],
)
def test_values_that_no_network_has_are_one_line(changes, copy):
    change(copy, changes)
    with pytest.raises(RequestError) as caught:
        Colorizer.load(copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [20_000, -1, MAX_SIDE + 1])
def test_a_stored_working_size_is_bounded_like_an_option(size, copy):
    change(copy, {"inference.size": size})
    with pytest.raises(RequestError, match=r"inference\.size of these weights must be from 0 to"):
        Colorizer.load(copy)
    if size > 0:
        with pytest.raises(RequestError, match=r"^size must be from 0 to 2048 pixels"):
            Colorizer.load(copy, size=size)
    Colorizer.load(copy, size=64)


def test_a_fuzzed_config_is_read_or_refused_in_one_line(copy):
    chance = random.Random(25)
    file = copy / "config.json"
    whole = file.read_bytes()
    values = [None, True, -1, 0, 1e308, "", "x", [], {}, [[]], 2**70, "\ud800", float("inf")]
    refused = 0
    for number in range(300):
        if number % 2:  # bytes
            content = bytearray(whole)
            for _ in range(chance.randint(1, 4)):
                content[chance.randrange(len(content))] = chance.randrange(256)
            file.write_bytes(content)
        else:  # one value
            file.write_bytes(whole)
            fields = json.loads(whole)
            section = chance.choice([n for n in fields if isinstance(fields[n], dict)])
            name = chance.choice(list(fields[section]))
            change(copy, {f"{section}.{name}": chance.choice(values)})
        try:
            assert open_weights(copy).method is not None
        except RequestError as error:
            refused += "\n" not in str(error)
    assert 100 < refused < 300


def test_configs_of_all_shipped_weights_are_whole(tmp_path):
    for name in named.SHA256:
        file = tmp_path / "config.json"
        file.write_text(json.dumps(named.read(name).config.to_dict()))
        assert stored_config.read(file).model.name


def test_a_network_inside_the_workdir_is_not_imported(copy, monkeypatch):
    (copy / "payload.py").write_text("raise SystemExit('the payload ran')")
    monkeypatch.setattr(sys, "path", [str(copy.parent), str(copy), *sys.path])
    for module in ("run.payload", "payload"):
        change(copy, {"model.name": f"{module}:Net"})
        with pytest.raises(RequestError, match="is code inside that workdir, which is data only"):
            open_weights(copy)
        assert module not in sys.modules


METRICS = [{"step": 1, "train/loss": 0.5}, {"step": 2, "validation/mae_ab": 9.0, "train/loss": 0.4}]
BAD = [
    b"{",
    b"[1]",
    b"3",
    b"\xff\xfe",
    HUGE,
    b'{"train/loss": 1}',
    b'{"step": "1"}',
    b'{"step": true}',
    b'{"step": 2, "validation/mae_ab": "low"}',
    b'{"step": 2, "validation/mae_ab": null}',
    b'{"step": 1e400}',
    b"",
]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_line_of_the_metrics_is_left_out_with_a_warning(bad, tmp_path, caplog):
    folder = Workdir(tmp_path)
    first, second = (json.dumps(line).encode() for line in METRICS)
    folder.metrics_file.write_bytes(b"\n".join([first, bad, second]) + b"\n")
    assert list(folder.read_metrics()) == METRICS
    assert validations(tmp_path, "mae_ab") == {2: 9.0}
    folder.cut_metrics(2)
    assert "left out 1 damaged lines" in caplog.text
    assert folder.metrics_file.read_bytes() == first + b"\n" + second + b"\n"
    folder.cut_metrics(1)
    assert folder.metrics_file.read_bytes() == first + b"\n"


def test_the_half_line_of_a_crash_is_no_warning(tmp_path, caplog):
    folder = Workdir(tmp_path)
    folder.metrics_file.write_text(json.dumps(METRICS[0]) + "\n" + '{"step": 2, "tra')
    folder.cut_metrics(2)
    assert list(folder.read_metrics()) == METRICS[:1]
    assert not caplog.records


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", HUGE, b'{"saved": 1e999}', b"7"])
def test_other_small_files_count_as_missing(content, tmp_path):
    for name in ("heartbeat.json", "clock.json"):
        (tmp_path / name).write_bytes(content)
    assert Health(Workdir(tmp_path).root / "heartbeat.json").last_saved() == 0
    assert Clock(tmp_path).newest_step == 0
    assert Clock(tmp_path).seconds == 0


@pytest.mark.parametrize("content", [b"{", b"{}", b"\xff", HUGE, b"[1]", b'"ab"'])
def test_damaged_class_names(content, tmp_path):
    folder = Workdir(tmp_path)
    folder.classes_file.write_bytes(content)
    with pytest.raises(RequestError, match="is damaged"):
        folder.read_classes()


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def bomb():
    """2 GiB of zeros in 2 MB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file, file.open("a.npy", "w") as out:
        out.write(b"x" * 100)
    content = bytearray(buffer.getvalue())
    at = content.index(b"PK\1\2") + 24
    content[at : at + 4] = (2**31).to_bytes(4, "little")
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\3\4",
        npz(train=np.array([{"a": 1}], object)),
        npz(train=np.arange(3))[:-30],
        bomb(),
    ],
)
def test_a_damaged_split_is_not_read(content, tmp_path):
    (tmp_path / "split.npz").write_bytes(content)
    assert Workdir(tmp_path)._read_split() is None


def test_devices_and_pipes_are_not_read(tmp_path):
    folder = Workdir(tmp_path)
    for name in ("split.npz", "heartbeat.json", "eval.json", "config.json"):
        (tmp_path / name).symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "clock.json")
    assert folder._read_split() is None
    assert Health(folder.root / "heartbeat.json").last_saved() == 0
    assert Clock(tmp_path).seconds == 0
    with pytest.raises(RequestError, match=r"config.json.*it is not a file"):
        folder.read_config()


@pytest.fixture
def step(copy):
    """The folder of a checkpoint, and its list of checksums."""
    (folder,) = (copy / "checkpoints").iterdir()
    return folder, folder / checkpoint.SEAL


@pytest.mark.parametrize(
    "name", ["/dev/zero", "../../config.json", "weights/../../x", "/etc/passwd"]
)
def test_checksums_name_only_files_of_the_checkpoint(name, step):
    folder, seal = step
    seal.write_text(seal.read_text() + f"{'0' * 64}  {name}\n")
    assert checkpoint.find_damage(folder) == "SHA256SUMS names a file outside the checkpoint"


def test_an_impossible_name_in_the_checksums(step):
    folder, seal = step
    seal.write_text(f"{'0' * 64}  a\0b\n")
    assert checkpoint.find_damage(folder) == "a\0b is missing"


def test_a_sealed_checkpoint_with_damaged_arrays_is_one_line(step, copy):
    folder, _ = step
    for file in (folder / "weights").rglob("*"):
        if file.is_file() and file.stat().st_size > 1000:
            file.write_bytes(bytes(file.stat().st_size))
    checkpoint._write_seal(checkpoint.paths.locate(folder))
    with pytest.raises(RequestError, match="do not fit") as caught:
        open_weights(copy).load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"x", b"\xff\xfe  a\n", b"abc\n"])
def test_damaged_checksums(content, step):
    folder, seal = step
    seal.write_bytes(content)
    assert checkpoint.find_damage(folder) in ("SHA256SUMS is unreadable", "SHA256SUMS is empty")


@pytest.mark.parametrize("target", ["/dev/zero", "/etc/hostname", "/dev"])
def test_links_and_pipes_in_a_checkpoint_are_refused(target, step, copy):
    folder, _ = step
    file = next(path for path in sorted((folder / "weights").rglob("*")) if path.is_file())
    file.unlink()
    file.symlink_to(target)
    assert checkpoint.find_damage(folder).endswith(f"{file.name} is a link or a device")
    file.unlink()
    os.mkfifo(file)
    assert checkpoint.find_damage(folder).endswith(f"{file.name} is a link or a device")
    with pytest.raises(RequestError, match="no intact checkpoint"):
        open_weights(copy).load()


def test_no_pickle_is_loaded_from_a_workdir(copy, monkeypatch):
    """Also holds what the docs say: workdirs of strangers are data only."""
    opened = []

    def audit(event, arguments):
        if event == "pickle.find_class":
            opened.append(arguments)

    sys.addaudithook(audit)
    pickle.loads(pickle.dumps(np.dtype("int8")))
    assert opened  # the hook sees them
    opened.clear()
    weights = open_weights(copy)
    weights.load()
    weights.workdir.read_classes()
    assert not opened
    (copy / "split.npz").write_bytes(npz(train=np.array([jax.numpy.dtype("int8")], object)))
    assert weights.workdir._read_split() is None
    assert not opened


def test_the_tiny_config_is_whole(tmp_path):
    folder = Workdir(tmp_path)
    folder.prepare(tiny_config("unused"))
    assert folder.read_config().model.name == "plain_cnn"
