"""The command `colorjax warm`."""

import jax
import numpy as np
import pytest
from helpers.synthetic import synthetic_images
from PIL import Image

from colorjax.cli import main
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.engines import kept_programs
from colorjax.inference.engines.compiled_painter import Painter


@pytest.fixture
def cache(tmp_path):
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path
    jax.config.update("jax_compilation_cache_dir", before)


@pytest.mark.slow
def test_a_later_process_traces_nothing(cache, workdir, monkeypatch, capsys):
    assert main.run(["warm", "--checkpoint", str(workdir)]) == 0
    assert "ready for" in capsys.readouterr().out
    monkeypatch.setattr(jax.export, "export", lambda function: pytest.fail("traced"))
    monkeypatch.setattr(kept_programs, "_write", lambda *args: pytest.fail("not kept"))
    colorizer = Colorizer.load(workdir)
    for number, size in enumerate([(30, 40), (60, 40), (90, 160), (20, 20)]):
        gray = synthetic_images(1, 24, seed=number)[0]
        photo = np.asarray(Image.fromarray(gray).resize(size))
        assert colorizer.colorize(photo).shape == photo.shape


@pytest.mark.slow
def test_every_number_of_pixels_outside_sRGB_has_a_program(cache, workdir):
    """They are rounded up to eight shapes."""
    colorizer = Colorizer.load(workdir)
    assert colorizer.warm([(24, 24)]) == 1
    painter: Painter = colorizer._engine._painter
    sizes = {key[2] for key in painter._programs._programs if key[0].__name__ == "_paint_outside"}
    assert sizes == {8192 * n for n in range(1, 9)}


def test_wrong_weights_are_refused(capsys):
    assert main.run(["warm", "--checkpoint", "no-such-weights"]) == 2
    assert "not found" in capsys.readouterr().err
