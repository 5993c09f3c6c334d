import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from colorjax import config as config_files
from colorjax.errors import RequestError

ROOT = Path(__file__).parents[1]


def test_a_config_is_read_by_name_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = config_files.read_config(["--config=unet:size=64", "--config.seed=3"])
    by_path = config_files.read_config([f"--config={ROOT}/configs/unet.py:size=64"])
    assert named.seed == 3
    assert named.copy_and_resolve_references().to_dict() | {"seed": 0} == by_path.to_dict()


def test_the_names_are_the_files_of_methods():
    files = {file.stem for file in (ROOT / "configs").glob("*.py")}
    assert set(config_files.names()) == files - {"__init__", "default", "from_json"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("unett", r"unett does not exist \(did you mean unet\?\); known: cgan, ddcolor"),
        ("configs/unett.py", r"configs/unett.py does not exist \(did you mean unet\?\)"),
        ("runs/config.json", r"runs/config.json does not exist"),
    ],
)
def test_a_config_that_does_not_exist(value, text):
    with pytest.raises(RequestError, match=text):
        config_files.read_config([f"--config={value}"])


def test_a_path_outside_a_checkout_is_the_config_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    by_path, by_name = (
        config_files.read_config([f"--config={name}:size=32,debug"])
        for name in ("configs/unet.py", "unet")
    )
    assert by_path.to_dict() == by_name.to_dict()
    with pytest.raises(RequestError, match=r"mine/unet.py does not exist; use --config=unet"):
        config_files.read_config(["--config=mine/unet.py"])


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("data.image_sise", r"config.data has no field 'image_sise' \(did you mean image_size\?\)"),
        ("image_size", r"config has no field 'image_size' \(did you mean config.data.image_size"),
        ("optimiser.name", r"config has no field 'optimiser' \(did you mean optimizer\?\)"),
        ("zzz", r"config has no field 'zzz'; it has: batch_size, "),
    ],
)
def test_a_misspelled_field(field, text):
    with pytest.raises(RequestError, match=text):
        config_files.read_config(["--config=unet", f"--config.{field}=1"])


def stored(tmp_path, **changes):
    config = config_files.read_config(["--config=zhang16:size=32", "--config.remat=('a',)"])
    fields = json.loads(json.dumps(config.to_dict())) | changes
    path = tmp_path / "config.json"
    path.write_text(json.dumps(fields))
    return path, config


def test_a_run_is_replayed_from_its_config(tmp_path):
    path, config = stored(tmp_path)
    again = config_files.read_config([f"--config={path}", "--config.seed=7"])
    assert again.seed == 7
    assert again.to_dict() | {"seed": 0} == config.to_dict()
    assert again.remat == ("a",)  # a tuple, as in a config file


def test_a_config_of_an_earlier_version_takes_defaults(tmp_path):
    path, config = stored(tmp_path)
    fields = json.loads(path.read_text())
    del fields["fork_from"], fields["data"]["aged"], fields["model"]["width"]
    path.write_text(json.dumps(fields))
    again = config_files.read_config([f"--config={path}"])
    assert again.fork_from == ""
    assert again.data.aged == 0.0
    assert "width" not in again.model  # the network has its own default
    assert again.optimizer == config.optimizer


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("[]", "is not the config.json of a run"),
        ("{}", "is not the config.json of a run"),
        ("{", "is damaged"),
        ("[" * 200_000, "nested too deeply"),
        ('{"model": 3}', "model is 3"),
        ('{"model": {}, "optimizer": {}}', "it lacks model.name"),
        ('{"model": {"name": "unet", "width": {}}, "optimizer": {}}', r"model\.width is {}"),
        ('{"model": {"name": "unet"}, "data": {"image_size": "64"}}', r"data\.image_size is '64'"),
        ('{"model": {"name": "zhang16"}}', "belongs to imported weights"),
    ],
)
def test_a_json_file_that_is_no_config(content, text, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(RequestError, match=text):
        config_files.read_config([f"--config={path}"])


def test_the_defaults_are_those_of_the_config_file():
    fields = config_files.defaults()
    assert isinstance(fields, ConfigDict)
    by_flag = config_files.read_config([f"--config={ROOT}/configs/default.py"])
    assert fields.to_dict() == by_flag.to_dict()


@pytest.mark.slow
def test_configs_are_inside_the_package_of_a_wheel(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, ROOT], check=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    top = {path.name for path in (tmp_path / "site").iterdir() if "dist-info" not in path.name}
    assert top == {"colorjax"}
    code = (
        "from colorjax import config; c = config.read_config(['--config=unet']); "
        "print(config.__file__, c.model.name)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "site", capture_output=True, text=True
    )
    assert result.stdout.split() == [str(tmp_path / "site/colorjax/config.py"), "unet"]
