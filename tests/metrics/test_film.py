"""Color distribution consistency against SciPy and plain loops."""

import numpy as np
import pytest
from scipy.spatial import distance

from colorjax import metrics


def film(number: int, spread: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    base = rng.normal(120, 30, (1, 12, 16, 3))
    levels = base + rng.normal(0, spread, (number, 1, 1, 3))
    return np.clip(levels, 0, 255).astype(np.uint8)


def by_loops(frames: np.ndarray) -> float:
    values = []
    for channel in range(3):
        for step in (1, 2, 4):
            pairs = []
            for i in range(len(frames) - step):
                p, q = (
                    np.histogram(frames[k, ..., channel], bins=256, range=(0, 256))[0]
                    for k in (i, i + step)
                )
                pairs.append(distance.jensenshannon(p, q) ** 2)  # SciPy's is the root
            values.append(np.mean(pairs))
    return float(np.mean(values))


@pytest.mark.parametrize("number", [5, 9])
def test_equals_scipy(number):
    frames = film(number, 10)
    expected = by_loops(frames)
    assert expected > 0.05
    assert metrics.cdc(frames) == pytest.approx(expected, rel=1e-9)
    assert metrics.cdc(iter(frames)) == pytest.approx(expected, rel=1e-9)


def test_still_and_flickering_films():
    assert metrics.cdc(film(6, 0)) == 0
    assert metrics.cdc(film(6, 2)) < metrics.cdc(film(6, 20))
    # Black and white in turn: ln 2 at distance 1, 0 at distances 2 and 4.
    frames = np.repeat(np.arange(8) % 2 * 255, 4 * 4 * 3).reshape(8, 4, 4, 3).astype(np.uint8)
    assert metrics.cdc(frames) == pytest.approx(np.log(2) / 3)


def test_refuses_short_films_and_other_frames():
    with pytest.raises(ValueError, match="at least 5 frames, got 4"):
        metrics.cdc(film(4, 1))
    with pytest.raises(ValueError, match="must be \\(H, W, 3\\) uint8"):
        metrics.cdc(film(6, 1) / 255)
