"""ONNX Runtime and OpenVINO beside JAX: pictures, hints, tiles, films, and what is imported."""

import dataclasses
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from colorjax.cli.main import run
from colorjax.errors import RequestError
from colorjax.inference import planes
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.engines import choice, loading, model_file
from colorjax.inference.engines.engine import Facts, Spreading
from colorjax.inference.engines.jax import facts_of
from colorjax.inference.film.painter import FramePainter
from colorjax.inference.tiling import Tiling
from colorjax.runtime import jax_setup
from colorjax.serve import saving
from colorjax.weights import store
from colorjax.weights.open import open_weights

ROOT = Path(__file__).parents[3]
ENGINES = ["onnx", "openvino"]
HINTS = [(20, 30, "#c04030"), (60, 10, "#3050c0")]
WORKDIRS = ["semantic", "zhang16", "zhang17", "iizuka", "edge_fusion"]


def photo(height, width, seed=0):
    """Colored squares of 8 px with noise; no side is a multiple of a network's step."""
    rng = np.random.default_rng(seed)
    few = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3))
    pixels = few.repeat(8, 0).repeat(8, 1)[:height, :width] + rng.normal(0, 4, (height, width, 1))
    return pixels.clip(0, 255).astype(np.uint8)


PHOTO, OTHER = photo(61, 83), photo(40, 30, seed=1) // 2


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.FOLDER, str(folder))
        yield folder


@pytest.fixture(scope="module")
def loaded(cache, request):
    """Returns Colorizers of a name or workdir fixture, one for each engine."""
    known = {}

    def load(name, engine):
        if (name, engine) not in known:
            path = name if "-" in name else request.getfixturevalue(f"{name}_workdir")
            known[name, engine] = Colorizer.load(path, engine=engine)
        return known[name, engine]

    return load


def assert_equal(one, two):
    """Asserts the issue's tolerance: at most 1 of 255 levels in 99.9 % of the pixels."""
    assert one.shape == two.shape
    apart = np.abs(one.astype(int) - two).max(axis=-1)
    assert (apart <= 1).mean() >= 0.999, apart.max()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", WORKDIRS)
def test_pictures_equal_those_of_jax(loaded, name, engine):
    pytest.importorskip({"onnx": "onnxruntime"}.get(engine, engine))
    ours, theirs = loaded(name, "jax"), loaded(name, engine)
    assert np.ptp(ours.colorize(PHOTO).astype(int), axis=-1).max() > 3  # it has colors
    assert_equal(ours.colorize(PHOTO), theirs.colorize(PHOTO))
    assert theirs.hint_form == ours.hint_form
    if ours.hint_form != "region":
        assert_equal(ours.colorize(PHOTO, hints=HINTS), theirs.colorize(PHOTO, hints=HINTS))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("semantic", {"quality": "best"}),
        ("semantic", {"quality": "best", "global_image": OTHER}),
        ("semantic", {"global_image": OTHER}),
        ("semantic", {"tiling": Tiling((32, 32), (16, 16), keeps_global=True)}),
        ("semantic", {"tiling": Tiling((32, 32), (32, 32), "distribution")}),
        ("zhang16", {"tiling": "exact"}),
        ("zhang16", {"strength": 0.5, "warmth": 0.3, "saturation": 2.0}),
        ("iizuka", {"global_image": OTHER}),
        ("edge_fusion", {"tiling": Tiling((32, 32), (16, 16), "maximum")}),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value),
)
def test_options_have_the_same_effect(loaded, name, options):
    ours, theirs = (loaded(name, engine).colorize(PHOTO, **options) for engine in ("jax", "onnx"))
    assert np.abs(ours.astype(int) - loaded(name, "jax").colorize(PHOTO)).max() > 1
    assert_equal(ours, theirs)


def test_floats_and_pillow_images(loaded):
    floats = (PHOTO / 255).astype(np.float32)
    ours, theirs = (loaded("semantic", engine).colorize(floats) for engine in ("jax", "onnx"))
    assert theirs.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=2e-3)
    image = loaded("semantic", "onnx").colorize(Image.fromarray(PHOTO).convert("L"))
    assert (image.size, image.mode) == ((83, 61), "RGB")


def test_questions_samples_and_distributions_are_the_same(loaded):
    ours, theirs = loaded("semantic", "jax"), loaded("semantic", "onnx")
    shares = theirs.predict_distribution(PHOTO)
    np.testing.assert_allclose(shares.sum(axis=-1), 1, atol=1e-4)
    np.testing.assert_allclose(ours.predict_distribution(PHOTO), shares, atol=1e-4)
    np.testing.assert_allclose(ours.uncertainty(PHOTO), theirs.uncertainty(PHOTO), atol=1e-4)
    assert [q[:2] for q in ours.ask(PHOTO, 2)] == [q[:2] for q in theirs.ask(PHOTO, 2)]
    assert_equal(ours.sample(PHOTO, 1)[0], theirs.sample(PHOTO, 1)[0])


def test_frames_of_films_are_the_same(loaded):
    ours, theirs = (FramePainter(loaded("semantic", engine)) for engine in ("jax", "onnx"))
    ab = theirs.predict_ab(PHOTO)
    np.testing.assert_allclose(ours.predict_ab(PHOTO), ab, atol=1e-3)
    assert_equal(ours.paint(PHOTO, ab), theirs.paint(PHOTO, ab))
    assert ours.settings == theirs.settings


@pytest.mark.parametrize("name", WORKDIRS)
def test_the_file_has_the_facts_of_the_method(loaded, name, request):
    stored = open_weights(request.getfixturevalue(f"{name}_workdir"))
    assert loaded(name, "onnx")._engine.facts == facts_of(stored.method)
    about = model_file.read_about(loading.exported(stored))
    assert about["digest"] == stored.digest()
    assert {field.name for field in dataclasses.fields(Facts)} <= about.keys()


@pytest.mark.parametrize(("height", "width"), [(30, 41), (32, 48), (97, 33)])
@pytest.mark.parametrize("name", ["semantic", "edge_fusion"])
def test_fields_fit_as_in_jax(loaded, name, height, width):
    gray = np.random.default_rng(0).uniform(-1, 1, (height, width)).astype(np.float32)
    ours, theirs = (loaded(name, engine)._engine for engine in ("jax", "onnx"))
    one, two = (each.fit(each.fields(gray)) for each in (ours, theirs))
    for key, value in two.items():
        np.testing.assert_allclose(one[key], value, atol=2e-5, err_msg=key)
    colors = np.random.default_rng(1).normal(0, 30, (*two["gray"].shape[1:3], 2))
    backs = (each.fit_back(colors.astype(np.float32), gray.shape) for each in (ours, theirs))
    np.testing.assert_allclose(*backs, atol=2e-3)


def test_hints_spread_as_in_jax(loaded):
    ours, theirs = (loaded("semantic", engine)._engine for engine in ("jax", "onnx"))
    gray = planes.shrunk(PHOTO[..., 0] / np.float32(127.5) - 1, (32, 48))
    colors, keys, _ = theirs.colors_and_keys(theirs.fields(gray))
    grid = keys.features.shape[1:3]
    fields = Spreading(
        planes.enlarged(colors[0], grid),
        keys.part(0),
        np.full(grid, 50, np.float32),
        np.array([[1, 2], [5, 3], [0, 0], [0, 0]]),
        np.array([[40.0, 20], [-30, 5], [0, 0], [0, 0]]),
        np.array([True, True, False, False]),
    )
    spread = theirs.spread(fields)
    assert spread.dtype == np.float32
    np.testing.assert_allclose(ours.spread(fields), spread, atol=1e-3)


def test_a_colorizer_can_be_pickled(loaded):
    colorizer = loaded("semantic", "onnx")
    copy = pickle.loads(pickle.dumps(colorizer))
    np.testing.assert_array_equal(copy.colorize(PHOTO), colorizer.colorize(PHOTO))
    assert (copy.engine, copy.digest()) == ("onnx", colorizer.digest())


FRESH = """
import sys
from colorjax.cli.main import run
status = run(sys.argv[1:])
loaded = {"jax", "jaxlib", "flax", "orbax", "onnx", "colorjax.methods.method"} & set(sys.modules)
print(status, sorted(loaded))
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_a_program_with_another_engine_imports_no_jax(loaded, engine, semantic_workdir, tmp_path):
    pytest.importorskip({"onnx": "onnxruntime"}.get(engine, engine))
    loaded("semantic", engine)  # exports
    Image.fromarray(PHOTO).convert("L").save(tmp_path / "a.png")
    command = ["colorize", str(tmp_path / "a.png"), "--checkpoint", str(semantic_workdir)]
    command += ["--engine", engine, "--hint", "20,30,#c04030"]
    result = subprocess.run(
        [sys.executable, "-c", FRESH, *command],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.splitlines()[-1] == "0 []", result.stdout
    wanted = loaded("semantic", "jax").colorize(
        Image.open(tmp_path / "a.png"), hints=[(20, 30, "#c04030")]
    )
    assert_equal(np.asarray(wanted), np.asarray(Image.open(tmp_path / "a.color.png")))


def test_results_have_the_marks_of_the_same_weights(loaded, semantic_workdir, tmp_path, capsys):
    from colorjax import photos

    model = loading.exported(open_weights(semantic_workdir))
    Image.fromarray(PHOTO).convert("L").save(tmp_path / "a.png")
    marks = {}
    for name, weights, engine in (
        ("jax", semantic_workdir, "jax"),
        ("onnx", semantic_workdir, "onnx"),
        ("file", model, "onnx"),
    ):
        command = ["colorize", str(tmp_path / "a.png"), "--output", str(tmp_path / name)]
        assert run([*command, "--checkpoint", str(weights), "--engine", engine]) == 0
        marks[name] = photos.read_mark(tmp_path / name / "a.png")
    for key in ("by", "weights", "input", "tool"):
        assert marks["jax"][key] == marks["onnx"][key] == marks["file"][key]
    assert "engine" not in marks["jax"]["settings"]
    assert marks["onnx"]["settings"] == "engine=onnx; " + marks["jax"]["settings"]
    capsys.readouterr()
    assert run([*command, "--checkpoint", str(model), "--engine", "onnx"]) == 0
    assert "1 skipped" in capsys.readouterr().out


def test_the_page_marks_its_results_likewise(loaded, semantic_workdir):
    name = str(semantic_workdir)
    origins = {
        engine: saving.work_of(loaded("semantic", engine), name, {}, max_pixels=10**6).origin
        for engine in ("jax", "onnx")
    }
    assert origins["onnx"].settings == "engine=onnx; " + origins["jax"].settings
    assert origins["onnx"].weights == origins["jax"].weights


def test_auto_takes_the_fastest_equal_engine(loaded, semantic_workdir, monkeypatch):
    weights = open_weights(semantic_workdir)
    model = loading.exported(weights)
    notes = model.with_suffix(".json")
    notes.unlink(missing_ok=True)
    open_model = lambda path: loading._open("onnx", path)  # noqa: E731

    def wrong(path):
        engine = open_model(path)
        colors = engine.colors
        engine.colors = lambda fields: colors(fields) + 3
        return engine

    monkeypatch.setattr(choice, "installed", lambda: {"openvino": "1", "onnx": "1"})
    assert choice.fastest(model, {"openvino": wrong, "onnx": open_model}) == "onnx"
    known = json.loads(notes.read_text())
    assert [known[key]["equal"] for key in ("openvino 1", "onnx 1")] == [False, True]

    def must_not_open(path):
        raise AssertionError

    both = dict.fromkeys(("openvino", "onnx"), must_not_open)  # measured once
    assert choice.fastest(model, both) == "onnx"
    notes.unlink()
    assert choice.fastest(model, {"onnx": wrong}) is None
    monkeypatch.setattr(choice, "installed", dict)
    assert loading.resolved("auto", str(semantic_workdir), None, None) == "jax"
    notes.unlink()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"engine": "tensorrt"}, "engine"),
        ({"engine": "jax"}, "is an exported model; give --engine"),
        ({"engine": "onnx", "temperature": 0.5}, "has its decoding inside"),
    ],
)
def test_requests_that_cannot_be_met(loaded, semantic_workdir, given, message):
    model = loading.exported(open_weights(semantic_workdir))
    with pytest.raises(RequestError, match=message):
        Colorizer.load(model, **given)


@pytest.mark.parametrize("engine", ["jax", "onnx"])
def test_without_jax_a_line_says_what_to_do(cache, semantic_workdir, monkeypatch, engine):
    monkeypatch.setenv(store.FOLDER, str(cache / "empty"))
    monkeypatch.setattr(jax_setup.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match="JAX is not installed; give --engine onnx"):
        Colorizer.load(semantic_workdir, engine=engine)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x08", b"\xff" * 40, b"\x72\x05ab"])
def test_files_that_are_no_models(cache, content, tmp_path):
    path = tmp_path / "wrong.onnx"
    path.write_bytes(content)
    with pytest.raises(RequestError, match="is no model of `colorjax export`"):
        Colorizer.load(path, engine="onnx")


def test_decoding_is_exported_with_the_weights(cache, semantic_workdir):
    options = {"decode": "annealed", "temperature": 0.2}
    ours, theirs = (
        Colorizer.load(semantic_workdir, engine=engine, **options) for engine in ("jax", "onnx")
    )
    assert (theirs.decode, theirs.saturation) == ("annealed", ours.saturation)
    assert_equal(ours.colorize(PHOTO), theirs.colorize(PHOTO))


@pytest.mark.slow
def test_sizes_and_aspects(cache, semantic_workdir):
    for options in ({"size": 64}, {"aspect": "pad_square"}, {"size": "own"}):
        ours, theirs = (
            Colorizer.load(semantic_workdir, engine=engine, **options) for engine in ("jax", "onnx")
        )
        assert ours.working_size == theirs.working_size
        assert_equal(ours.colorize(PHOTO), theirs.colorize(PHOTO))
