"""Lowered programs that are kept on disk."""

import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.synthetic import synthetic_images

from colorjax.inference.colorizer import Colorizer
from colorjax.inference.engines import kept_programs

X = np.linspace(-1, 1, 6, dtype=np.float32)


@pytest.fixture
def folder(tmp_path):
    """JAX's compilation cache in an empty folder."""
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path / "programs"
    jax.config.update("jax_compilation_cache_dir", before)


def doubled(x, *, traces):
    traces.append(1)
    return 2 * jnp.sin(x)


def run(about="double", x=X):
    """Returns the result of a new process's program, and how often it was traced."""
    traces = []
    program = kept_programs.compiled(functools.partial(doubled, traces=traces), (x,), about)
    return np.asarray(program(x)), len(traces)


def test_a_kept_program_is_not_traced_again(folder):
    first, traces = run()
    assert traces == 1
    again, traces = run()
    assert traces == 0
    np.testing.assert_array_equal(again, first)
    np.testing.assert_allclose(again, 2 * np.sin(X), rtol=1e-6)
    assert folder.stat().st_mode & 0o077 == 0  # private


@pytest.mark.parametrize(
    "other", [{"about": "another"}, {"x": X[:4]}, {"x": X.astype(np.int32)}], ids=str
)
def test_another_program_is_traced(folder, other):
    run()
    assert run(**other)[1] == 1


def test_settings_and_versions_are_part_of_the_name(folder, monkeypatch):
    run()
    with jax.default_matmul_precision("highest"):
        assert run()[1] == 1
    monkeypatch.setattr(kept_programs, "_versions", lambda: "another")
    assert run()[1] == 1


def damaged(content):
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    "change",
    [damaged, lambda content: content[:50], lambda content: b""],
    ids=["bit", "short", "empty"],
)
def test_a_damaged_program_is_replaced(folder, change):
    first, _ = run()
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(change(whole))
    again, traces = run()
    assert traces == 1
    np.testing.assert_array_equal(again, first)
    assert run()[1] == 0


def test_a_program_under_the_name_of_another_is_replaced(folder):
    run("other", X[:4])
    (file,) = folder.iterdir()
    run()
    (name,) = set(folder.iterdir()) - {file}
    name.write_bytes(file.read_bytes())
    result, traces = run()
    assert traces == 1
    assert result.shape == X.shape


def test_a_valid_program_of_other_shapes_is_replaced(folder, monkeypatch):
    """Its checksum fits, as two versions of colorjax might share a name."""
    monkeypatch.setattr(kept_programs, "_file", lambda about, arguments: folder / "same")
    run(x=X[:4])
    result, traces = run()
    assert traces == 1
    assert result.shape == X.shape


def test_nothing_is_kept_without_a_cache(folder):
    jax.config.update("jax_compilation_cache_dir", None)
    assert [run()[1], run()[1]] == [1, 1]
    assert not folder.exists()


def test_a_function_without_a_name_is_not_kept(folder):
    assert [run("")[1], run("")[1]] == [1, 1]
    assert [run("<object at 0x7f>")[1], run("<object at 0x7f>")[1]] == [1, 1]
    assert not folder.exists()


def test_without_flatbuffers_nothing_is_kept(folder, monkeypatch):
    def missing(self):
        raise ImportError("Please install 'flatbuffers' in order to use Exported serialization")

    monkeypatch.setattr(jax.export.Exported, "serialize", missing)
    assert [run()[1], run()[1]] == [1, 1]
    assert not folder.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_no_error(folder):
    folder.parent.chmod(0o500)
    assert run()[1] == 1


@pytest.mark.parametrize("name", ["workdir", "semantic_workdir"])
def test_pictures_are_the_same_bit_for_bit(folder, request, monkeypatch, name):
    """Without the cache, when it is written, and when it is read."""
    photo = synthetic_images(1, 24)[0]
    hints = [(3, 4, "#c04030")] if name == "semantic_workdir" else []
    jax.config.update("jax_compilation_cache_dir", None)
    wanted = Colorizer.load(request.getfixturevalue(name)).colorize(photo, hints)
    jax.config.update("jax_compilation_cache_dir", str(folder.parent))
    for _ in range(2):
        colorizer = Colorizer.load(request.getfixturevalue(name))
        np.testing.assert_array_equal(colorizer.colorize(photo, hints), wanted)
        monkeypatch.setattr(kept_programs, "_write", lambda *args: pytest.fail("not kept"))
