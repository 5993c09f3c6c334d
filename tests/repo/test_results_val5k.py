"""`make results-val5k` on stand-ins: weights, photos and InceptionV3 of the test."""

import dataclasses
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from evaluate.test_features import Networks, frechet
from helpers import torch_features as peer
from helpers.synthetic import synthetic_images
from helpers.torch_writing import saved
from PIL import Image
from weights.test_store import files, running, server  # noqa: F401 (fixtures)

from colorjax.cli import main as cli
from colorjax.data import resampling
from colorjax.evaluate import features, protocols
from colorjax.weights.published import PUBLISHED

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


def recipe(**variables):
    """The lines that make would run, without those that install."""
    given = [f"{name}={value}" for name, value in variables.items()]
    command = ["make", "--no-print-directory", "-n", "-o", ".venv/.core", "results-val5k", *given]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def run_all(lines):
    """Runs the commands of a recipe in this process."""
    parts = re.split(r"\|\||;|\n", lines.replace("\\\n", " "))
    commands = [shlex.split(part) for part in parts if "bin/colorjax " in part]
    for command in commands:
        assert cli.run(command[1:]) == 0, command
    return [command[1:3] for command in commands]


@pytest.fixture
def photos(tmp_path):
    """The first four validation photos, and a folder for each class as in the archive."""
    truths = []
    for number in range(1, 5):
        path = tmp_path / "val" / f"n{number % 2}" / f"ILSVRC2012_val_{number:08d}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(synthetic_images(1, 48, seed=number)[0][:40]).save(path, quality=95)
        truths.append(resampling.resized(np.asarray(Image.open(path)), 32, "opencv"))
    return tmp_path / "val", np.stack(truths)


@pytest.fixture
def small(monkeypatch):
    """The protocol at 32 px, where it has 256."""
    protocol = protocols.find("val5k-ddcolor")
    assert (protocol.colorize_size, protocol.resampling, protocol.crop) == (256, "opencv", False)
    changed = dataclasses.replace(protocol, colorize_size=32)
    monkeypatch.setitem(protocols.PROTOCOLS, protocol.name, changed)


def variables_of(tmp_path, data, inception, names="zhang16", limit=4):
    return {
        "DATA": data,
        "INCEPTION": inception,
        "RESULTS": tmp_path / "results",
        "VAL5K": names,
        "LIMIT": limit,
    }


@pytest.mark.slow
def test_the_row_is_measured(server, photos, small, tmp_path, monkeypatch):  # noqa: F811
    data, truths = photos
    opened = []

    def open_networks(*given, **more):
        opened.append((given, more))
        return Networks

    monkeypatch.setattr(features.FeatureNetworks, "open", open_networks)
    monkeypatch.setattr(features, "_FEATURES", {"features": 5, "lite0": 4})
    made = recipe(**variables_of(tmp_path, data, "inception.pth", "zhang16 zhang17"))
    assert made.returncode == 0, made.stderr
    assert run_all(made.stdout) == [
        ["weights", "get"],
        ["weights", "pull"],
        ["weights", "pull"],
        ["evaluate", str(tmp_path / "results/val5k/zhang16")],
    ]
    assert opened[0] == (("inception.pth", "", ""), {"inception_scale": "ddcolor", "lite0": False})
    folder = tmp_path / "results/val5k"
    for name in ("zhang16", "zhang17"):
        assert json.loads((folder / name / "config.json").read_text())["inference"]["size"] == 256
    result = json.loads((folder / "measured/result.json").read_text())
    assert result["photos"]["measured"] == 4
    grays = np.repeat(np.round(_gray(truths))[..., None], 3, -1).astype(np.uint8)
    wanted = frechet(Networks.features(grays), Networks.features(truths))
    assert result["rows"]["grey"]["metrics"]["fid"]["mean"] == pytest.approx(wanted, abs=1e-3)
    for name in ("zhang16", "zhang17"):
        metrics = result["rows"][name]["metrics"]
        for shown in ("fid", "psnr", "colorfulness_abs", "delta_colorfulness_abs"):
            assert np.isfinite(metrics[shown]["mean"]), shown


def _gray(truths):
    """The gray photos of lightness L, by scikit-image."""
    from skimage.color import lab2rgb, rgb2lab

    lab = rgb2lab(truths)
    lab[..., 1:] = 0
    return 255 * lab2rgb(lab)[..., 0]


def test_what_is_missing_is_said(tmp_path):
    made = recipe(DATA=tmp_path)
    assert made.returncode == 2
    assert "give DATA=ILSVRC2012/val INCEPTION=inception_v3_google-1a9a5a14.pth" in made.stderr


def test_the_default_is_the_published_ddcolor(tmp_path):
    made = recipe(DATA="val", INCEPTION="i.pth")
    first = shlex.split(made.stdout.splitlines()[0])
    assert first[1:] == ["weights", "get", "ddcolor", "ddcolor-tiny"]
    assert all(PUBLISHED[name].kind == "ddcolor" for name in first[3:])
    assert "--limit" not in made.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("optimized")
def test_with_a_file_of_inception(server, photos, small, tmp_path):  # noqa: F811
    net = peer.drawn(peer.Inception(1000), torch.rand(2, 3, 299, 299))
    path = saved(tmp_path / "inception.pth", peer.file_of(net, "torchvision"))
    made = recipe(**variables_of(tmp_path, photos[0], path, limit=2))
    run_all(made.stdout)
    result = json.loads((tmp_path / "results/val5k/measured/result.json").read_text())
    stamp = result["feature_networks"]["inception"]
    assert (stamp["kind"], stamp["input"]) == ("torchvision", "ddcolor")
    assert result["rows"]["zhang16"]["metrics"]["fid"]["mean"] > 0
    assert any("FID of 2 and 2 photos" in line for line in result["warnings"])
