"""Lab to the pixels of a photo, in a few compiled shapes."""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np

from colorjax import color

# Full resolution is worked on in bands of rows of at most this many pixels (or one row), so that no
# photo needs more memory than its pixels, its lightness and the result.
BAND_PIXELS = 65536


class Painter:
    """Turns planes of Lab into sRGB; colours outside lose chroma, never lightness.

    Attributes:
        compile_seconds: spent on compilation so far.
    """

    def __init__(self):
        self.compile_seconds = 0.0
        self._compiled: dict[object, jax.stages.Compiled] = {}

    def __call__(self, planes: tuple[np.ndarray, ...], *, is_8_bit: bool) -> np.ndarray:
        """Paints planes of L, a and b, (n, W) each: returns (n, W, 3), uint8 or float32 in [0, 1].

        Rounded to 8 bits L is kept within 0.392 (1/255 of its range), else within 0.01.
        """
        shape, count = planes[0].shape, planes[0].size
        size = -(-count // BAND_PIXELS) * BAND_PIXELS
        lab = np.zeros((3, size), np.float32)  # padded: one shape, one compilation
        for channel, plane in enumerate(planes):
            lab[channel, :count] = plane.ravel()
        paint = _paint_u8 if is_8_bit else _paint_float
        key = (is_8_bit, size)
        if key not in self._compiled:
            start = time.perf_counter()
            self._compiled[key] = jax.jit(paint).lower(lab).compile()
            self.compile_seconds += time.perf_counter() - start
        return jax.device_get(self._compiled[key](lab))[:count].reshape(*shape, 3)


def _paint_u8(lab: jax.Array) -> jax.Array:
    return color.lab_to_rgb_u8(jnp.moveaxis(lab, 0, -1), gamut="shrink_chroma")


def _paint_float(lab: jax.Array) -> jax.Array:
    return color.lab_to_rgb(jnp.moveaxis(lab, 0, -1), gamut="shrink_chroma")
