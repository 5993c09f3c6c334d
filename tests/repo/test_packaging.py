"""What an index shows of the package, and what its files contain."""

import importlib.util
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from colorjax.cli.main import COMMANDS
from colorjax.version import __version__

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


@pytest.fixture(scope="module")
def wheel_check():
    spec = importlib.util.spec_from_file_location("wheel_check", ROOT / "tests/wheel/check.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def setup_file():
    spec = importlib.util.spec_from_file_location("setup_of_colorjax", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_version_has_one_source(setup_file):
    assert setup_file.version() == __version__
    assert "version" in PROJECT["dynamic"]
    changelog = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## (\S+)", changelog, re.MULTILINE)
    assert versions[:2] == ["Unreleased", __version__]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__


def test_links_of_the_long_description_are_absolute_and_name_files(setup_file):
    text = setup_file.long_description("v9")
    base = re.escape(PROJECT["urls"]["Repository"])
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert len(links) > 20
    for link in links:
        assert link.startswith(("https://", "#")), link
    named = re.findall(rf"{base}/(?:blob|raw)/v9/([^)#]+)", text)
    assert {"docs/photos.md", "docs/images/semantic_lite0.jpg"} <= set(named)
    for name in named:
        assert (ROOT / name).exists(), name
    assert f"]({PROJECT['urls']['Repository']}/raw/v9/docs/images/page.jpg)" in text
    assert f"]({PROJECT['urls']['Repository']}/blob/v9/docs/photos.md)" in text


def test_the_long_description_installs_without_a_clone(setup_file):
    text = setup_file.long_description("v9")
    assert "\npip install colorjax " in text
    assert "pip install 'colorjax[film]'" in text
    assert "`make demo` in a clone" in text
    for words in ("a clone of this repository", "pip install .", "'.["):
        assert words not in text


def test_both_licenses_are_named_and_in_the_package():
    assert PROJECT["license"] == "Apache-2.0 AND CC-BY-NC-4.0"
    assert PROJECT["license-files"] == ["LICENSE", "LICENSE-WEIGHTS"]
    assert "CC BY-NC 4.0" in (ROOT / "LICENSE-WEIGHTS").read_text()


def test_hooks_format_as_the_lock_does():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    [version] = [each["rev"] for each in hooks if "ruff" in each["repo"]]
    lock = (ROOT / "requirements-lock-py311.txt").read_text().splitlines()
    assert f"ruff=={version.removeprefix('v')}" in lock
    assert len(lock) == len(set(lock))


def test_links_to_parts_and_other_sites_stay(setup_file, monkeypatch, tmp_path):
    (tmp_path / "README.md").write_text("[a](#part) [b](https://x.org/y) ![c](d.png) [e](f.md#g)")
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nRepository = "https://r"\n')
    monkeypatch.setattr(setup_file, "HERE", tmp_path)
    assert setup_file.long_description("t") == (
        "[a](#part) [b](https://x.org/y) ![c](https://r/raw/t/d.png) [e](https://r/blob/t/f.md#g)"
    )


def test_all_addresses_are_in_the_repository_that_pyproject_names():
    base = PROJECT["urls"]["Repository"]
    assert all(url.startswith(base) for url in PROJECT["urls"].values())
    for name in (".github/ISSUE_TEMPLATE/config.yml", "CITATION.cff", "SECURITY.md"):
        text = (ROOT / name).read_text()
        assert base in text, name
        for address in re.findall(r"https://github.com/[^/\s]+/colorjax", text):
            assert address == base, name


def test_every_extra_is_installable_by_name_and_listed():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert set(EXTRAS) >= {
        *("film", "heif", "page", "onnx", "openvino", "encoders", "hub", "tune"),
        *("wandb", "cuda", "tpu", "dev", "tf", "torch", "gcs"),
    }
    for extra in EXTRAS:
        assert f"`{extra}`" in text, extra
    in_dev = " ".join(EXTRAS["dev"])
    for extra in ("film", "heif", "page", "onnx", "openvino", "encoders", "hub", "tune", "wandb"):
        for requirement in EXTRAS[extra]:
            assert requirement in in_dev, requirement  # tests need it


def test_the_check_of_the_wheel_asks_every_command_for_help(wheel_check):
    assert wheel_check.commands() == list(COMMANDS)
    assert {command for (command, *_), _ in wheel_check.RUNS + wheel_check.TRAINING} <= {*COMMANDS}


def test_the_check_of_the_wheel_kills_what_ignores_its_signal(wheel_check):
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    deaf += "print(1, flush=True); time.sleep(600)"
    for code, ended in (("print(1)", True), (deaf, False)):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as program:
            program.stdout.read(1)
            program.terminate()
            assert wheel_check.ends(program, 0.5 if code == deaf else 30) == ended
        assert program.returncode is not None


@pytest.mark.slow
def test_a_wheel_has_every_file_of_the_package(tmp_path):
    pytest.importorskip("setuptools")
    code = (
        "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    )
    copy = tmp_path / "copy"
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/", "benchmarks/")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, "-c", code, tmp_path], cwd=copy, check=True)
    [wheel] = tmp_path.glob("*.whl")
    files = set(zipfile.ZipFile(wheel).namelist())
    package = {name for name in names if name.startswith("colorjax/")}
    configs = {f"colorjax/{name}" for name in names if name.startswith("configs/")}
    assert package | configs <= files
    assert {name.split("/")[0] for name in files} == {
        "colorjax",
        f"colorjax-{__version__}.dist-info",
    }
    [metadata] = [name for name in files if name.endswith("METADATA")]
    text = zipfile.ZipFile(wheel).read(metadata).decode()
    assert f"/blob/v{__version__}/docs/photos.md" in text
    assert "Typing :: Typed" in text
