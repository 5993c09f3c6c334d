"""Metrics of one picture against its true photo."""

import jax.numpy as jnp
import numpy as np
import pytest

from colorjax import metrics
from colorjax.metrics.picture import hues_of


@pytest.mark.parametrize("xp", [np, jnp])
def test_hues_are_chroma_by_angle(xp):
    angles = np.array([5.0, 95.0, 355.0])
    chroma = np.array([10.0, 20.0, 40.0])
    radians = np.deg2rad(angles)
    ab = np.stack([chroma * np.cos(radians), chroma * np.sin(radians)], axis=-1)
    ab = np.concatenate([ab, [[3.0, 0.0]]])[None].astype(np.float32)  # chroma too low for a hue
    hues = np.asarray(hues_of(xp.asarray(ab)))
    wanted = np.zeros(36)
    wanted[[0, 9, 35]] = chroma / 4
    np.testing.assert_allclose(hues, wanted, rtol=1e-5)


def test_psnr_is_of_rgb():
    """field.md 4a (6): an MSE of 0.0026 of [0, 1] is 25.9 dB, not 51."""
    truth = np.full((16, 16, 3), 100, np.uint8)
    off = np.full_like(truth, 113)  # (13 / 255)^2 = 0.0026
    assert float(metrics.psnr(off, truth)) == pytest.approx(25.85, abs=0.01)
