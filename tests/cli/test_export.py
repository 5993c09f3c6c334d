"""`colorjax export` as a user runs it."""

import json

import numpy as np
import pytest
import skimage.data
from PIL import Image

from colorjax.cli import main
from colorjax.errors import RequestError
from colorjax.inference.colorizer import Colorizer

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "cat.png"
    Image.fromarray(skimage.data.chelsea()).convert("L").resize((90, 60)).save(path)
    return path


def export(*words):
    return main.run(["export", "semantic-lite0", *map(str, words)])


@pytest.mark.parametrize(("option", "least"), [("", 99.9), ("--float16", 99.0), ("--int8", 90.0)])
def test_the_model_paints_what_jax_paints(tmp_path, photo, capsys, option, least):
    file = tmp_path / "colors.onnx"
    assert export(file, "--size", "128x96", "--check", photo, *option.split()) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(option.removeprefix("--") or "float32")
    assert float(second.split(": ")[1].split(" %")[0]) >= least
    session = onnxruntime.InferenceSession(file)
    about = json.loads(session.get_modelmeta().custom_metadata_map["colorjax"])
    assert about["weights"] == "semantic-lite0"
    assert about["gray"] == "lightness"
    assert session.get_inputs()[0].shape == [1, 1, 96, 128]


def test_smaller_forms_are_smaller(tmp_path):
    sizes = []
    for number, option in enumerate(
        (["--size=64"], ["--size=64", "--float16"], ["--size=64", "--int8"])
    ):
        file = tmp_path / f"{number}.onnx"
        assert export(file, *option) == 0
        sizes.append(file.stat().st_size)
    assert sizes[1] < 0.52 * sizes[0]
    assert sizes[2] < 0.28 * sizes[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--size", "100"], "sides must be multiples of 32 for these weights"),
        (["--size", "large"], "--size must be PX or WIDTHxHEIGHT"),
        (["--format", "stablehlo"], "--format stablehlo needs --size"),
        (["--part", "encoder", "--check", "x.jpg"], "--check compares whole networks only"),
        (["--size", "64", "--check", "missing.jpg"], "--check 'missing.jpg' cannot be read"),
    ],
)
def test_wrong_requests_are_one_line(tmp_path, capsys, words, message):
    file = tmp_path / "x.onnx"
    assert export(file, *words) == 2
    error = capsys.readouterr().err
    assert error.startswith("colorjax: ")
    assert message in error
    assert error.count("\n") == 1


def test_a_part_is_no_model_to_colorize_with(tmp_path):
    file = tmp_path / "decoder.onnx"
    assert export(file, "--size", "64", "--part", "decoder", "--int8") == 0
    inputs = [field.name for field in onnxruntime.InferenceSession(file).get_inputs()]
    assert inputs == ["global_colors", "features_0", "features_1", "features_2", "features_3"]
    with pytest.raises(RequestError, match="is the decoder of a network; export it without --part"):
        Colorizer.load(file, engine="onnx")


def test_existing_files_stay(tmp_path, capsys):
    file = tmp_path / "x.onnx"
    file.write_bytes(b"mine")
    assert export(file, "--size", "64") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert file.read_bytes() == b"mine"
    assert export(tmp_path / "none" / "x.onnx", "--size", "64") == 2


def test_stablehlo_runs_without_the_network(tmp_path):
    from jax import export as jax_export

    from colorjax import Colorizer

    file = tmp_path / "x.hlo"
    assert export(file, "--format", "stablehlo", "--size", "64x32") == 0
    program = jax_export.deserialize(bytearray(file.read_bytes()))
    gray = np.random.default_rng(0).uniform(-1, 1, (32, 64)).astype(np.float32)
    got = np.asarray(program.call(gray[None, :, :, None]))[0]
    np.testing.assert_allclose(got, Colorizer.load().ab_of_gray(gray), atol=1e-3)
