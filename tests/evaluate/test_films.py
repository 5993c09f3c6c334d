"""`python -m colorjax.evaluate.films`."""

import numpy as np
import pytest

from colorjax import metrics
from colorjax.evaluate import films

pytest.importorskip("av")
from helpers.films import write_film


def test_prints_the_consistency_of_films(tmp_path, capsys):
    rng = np.random.default_rng(0)
    base = rng.integers(60, 180, (1, 32, 48, 3))
    shifts = rng.integers(-40, 41, (8, 1, 1, 3))
    still, flicker = tmp_path / "still.mkv", tmp_path / "flicker.mkv"
    frames = {still: np.repeat(base, 8, 0), flicker: base + shifts}
    for path, each in frames.items():
        write_film(path, each.astype(np.uint8))
    assert films.run([str(still), str(flicker)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [name for _, name in lines] == [str(still), str(flicker)]
    values = [float(value) for value, _ in lines]
    assert values[0] < 0.01 < values[1]
    expected = metrics.cdc(frames[flicker].astype(np.uint8))
    assert values[1] == pytest.approx(expected, rel=0.3)  # the film is encoded with loss
    assert films.run([str(tmp_path / "none.mp4")]) == 2
    assert "none.mp4" in capsys.readouterr().err
