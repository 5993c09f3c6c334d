"""hf:OWNER/NAME through huggingface_hub, against a local stand-in for the hub."""

import sys

import numpy as np
import pytest
from helpers import hub_stand_in
from helpers.synthetic import tiny_config
from helpers.workdirs import fresh_workdir

from colorjax.cli import main as cli
from colorjax.errors import RequestError
from colorjax.inference.colorizer import Colorizer
from colorjax.weights import hub_site, store
from colorjax.weights.open import are_weights, open_weights

NAME = "hf:someone/colors"
GRAY = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fresh_workdir(tmp_path_factory.mktemp("runs") / "run", tiny_config("unused"))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub without repositories, and an empty cache; huggingface_hub reads both when imported."""
    monkeypatch.setattr("colorjax.cli.weights._write_previews", lambda weights, folder: [])
    for name in [n for n in sys.modules if n.partition(".")[0] == "huggingface_hub"]:
        monkeypatch.delitem(sys.modules, name)
    with hub_stand_in.serving() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("HF_TOKEN", hub_stand_in.TOKEN)
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE", store.OFFLINE):
            monkeypatch.delenv(name, raising=False)
        yield running
    for name in [n for n in sys.modules if n.partition(".")[0] == "huggingface_hub"]:
        del sys.modules[name]


def last_line(capsys):
    return capsys.readouterr().err.splitlines()[-1]


def test_weights_go_to_the_hub_and_come_back(hub, run, tmp_path, capsys):
    assert cli.run(["weights", "push", str(run), NAME, "--license", "mit"]) == 0
    assert "a new repository is private" in capsys.readouterr().out
    assert hub.visibility["someone/colors"] in ("private", True)
    files = hub.repositories["someone/colors"]
    assert sorted(files) == ["README.md", "config.json", "model.safetensors"]
    assert are_weights(NAME)
    with pytest.raises(RequestError, match=r"run `colorjax weights get hf:someone/colors`, or add"):
        open_weights(NAME)
    hub.asked.clear()
    assert cli.run(["weights", "get", NAME]) == 0
    said = capsys.readouterr().out.splitlines()
    size = sum(map(len, files.values()))
    assert said[:2] == [
        f"{NAME}: license mit, as its card states",
        f"{NAME}: {size} bytes ({store.size_text(size)})",
    ]
    colorizer = Colorizer.load(NAME)
    assert colorizer.name == "colors"
    wanted = Colorizer.load(run).predict_ab(GRAY)
    np.testing.assert_array_equal(colorizer.predict_ab(GRAY), wanted)
    number = len(hub.asked)
    assert cli.run(["weights", "pull", NAME, str(tmp_path / "back"), "--offline"]) == 0
    assert len(hub.asked) == number  # from the cache
    np.testing.assert_array_equal(Colorizer.load(tmp_path / "back").predict_ab(GRAY), wanted)
    assert open_weights(NAME).digest() == open_weights(NAME).digest()


def test_a_command_downloads_on_request_only(hub, run, tmp_path, capsys):
    from PIL import Image

    Image.fromarray(GRAY).save(tmp_path / "a.png")
    assert cli.run(["weights", "push", str(run), NAME]) == 0
    command = ["colorize", str(tmp_path / "a.png"), "--checkpoint", NAME]
    hub.asked.clear()
    assert cli.run(command) == 2
    assert "or add --download" in last_line(capsys)
    assert hub.asked == []
    assert cli.run([*command, "--download"]) == 0
    assert "license unknown, as its card states" in capsys.readouterr().err
    assert (tmp_path / "a.color.png").exists()
    back = Colorizer.from_pretrained(NAME, download=True)
    assert back.step == 7


def test_a_second_push_replaces_the_weights(hub, run):
    for license in ("mit", "cc0-1.0"):
        assert cli.run(["weights", "push", str(run), NAME, "--license", license]) == 0
    assert b"license: cc0-1.0" in hub.repositories["someone/colors"]["README.md"]


def test_offline(hub, run, monkeypatch, capsys):
    assert cli.run(["weights", "push", str(run), NAME]) == 0
    hub.asked.clear()
    assert cli.run(["weights", "get", NAME, "--offline"]) == 2
    assert "are not on this machine" in last_line(capsys)
    monkeypatch.setenv(store.OFFLINE, "1")
    assert cli.run(["weights", "get", NAME]) == 2
    assert hub.asked == []


def test_errors_are_one_line(hub, run, tmp_path, monkeypatch, capsys):
    def refusal(*command):
        assert cli.run(["weights", *command]) == 2
        text = capsys.readouterr().err
        assert text.count("\n") == 1, text
        assert hub_stand_in.TOKEN not in text
        return text

    assert "hf:someone/nothing" in refusal("get", "hf:someone/nothing")
    assert "is malformed; give hf:OWNER/NAME" in refusal("get", "hf:colors")
    assert "is malformed" in refusal("push", str(run), "hf:../../x/y")
    hub.repositories["someone/other"] = {"config.json": b"{}", "pytorch_model.bin": b"x"}
    assert "has no model.safetensors: not a hub folder" in refusal("get", "hf:someone/other")
    hub.repositories["someone/other"]["model.safetensors"] = b"x" * 100
    target = tmp_path / "new"
    assert "was not written by" in refusal("pull", "hf:someone/other", str(target))
    assert not target.exists()
    monkeypatch.setenv("HF_TOKEN", "wrong")
    assert "login (`hf auth login`)" in refusal("push", str(run), NAME)
    assert NAME.removeprefix("hf:") not in hub.repositories


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(RequestError, match=r"pip install 'colorjax\[hub\]'"):
        hub_site.find(NAME)
