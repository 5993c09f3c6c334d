import numpy as np
import pytest

from colorjax.inference.chroma import Chroma
from colorjax.serve.upsampling import Upsampler, heightened, widened


@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize(
    ("small", "large"),
    [((16, 20), (96, 128)), ((16, 20), (97, 131)), ((16, 20), (17, 22)), ((16, 20), (12, 40))],
)
def test_the_kept_upsampling_is_that_of_chroma(small, large, channels):
    rng = np.random.default_rng(0)
    colors = rng.normal(0, 30, (*small, channels)).astype(np.float32)
    lightness = rng.uniform(0, 100, large).astype(np.float32)
    upsampler = Upsampler(lightness)
    for scale in (1, 0.5):  # the second one uses what the first one kept
        wanted, got = Chroma(scale * colors, large), upsampler(scale * colors, large)
        for guided in (False, True):
            if guided:
                wanted.guide(lightness)
                got = upsampler(scale * colors, large)
                got.guide(lightness)
            for rows in (slice(0, 5), slice(5, large[0])):
                planes = zip(
                    wanted.rows(rows, lightness[rows]), got.rows(rows, lightness[rows]), strict=True
                )
                for one, other in planes:
                    np.testing.assert_allclose(other, one, atol=2e-2)


def test_an_enlarged_ramp_is_a_ramp():
    ramp = np.arange(8, dtype=np.float32)[None, None].repeat(8, 1)
    result = heightened(widened(ramp, 32), 32, slice(0, 32))
    np.testing.assert_allclose(result[0, 0, 2:-2], (np.arange(2, 30) + 0.5) / 4 - 0.5, atol=1e-6)
    np.testing.assert_allclose(result[0, 0, [0, -1]], [0, 7], atol=1e-6)
    down = heightened(np.moveaxis(ramp, 1, 2), 32, slice(4, 20))
    np.testing.assert_allclose(down[0, :, 3], result[0, 0, 4:20], atol=1e-6)
