"""Conversion of Lab to the pixels of a photo, compiled for a few shapes."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from colorjax import color
from colorjax.color.lab import Gamut
from colorjax.inference.engines import kept_programs
from colorjax.inference.engines.programs import Programs
from colorjax.inference.planes import BAND_PIXELS, PIXEL_STEP


class Painter:
    """Converts Lab planes to sRGB; colors outside sRGB lose chroma, never lightness."""

    def __init__(self):
        self._programs = Programs()

    @property
    def compile_seconds(self) -> float:
        """Seconds of compilation so far."""
        return self._programs.compile_seconds

    def __call__(self, planes: tuple[np.ndarray, ...], *, is_8_bit: bool) -> np.ndarray:
        """Returns sRGB (n, W, 3), uint8 or float32 in [0, 1], of planes L, a and b, (n, W) each.

        L is kept within 0.392 (1/255 of its range) for 8 bits, else within 0.01.
        """
        lab = np.stack([plane.ravel() for plane in planes]).astype(np.float32, copy=False)
        rgb, is_inside = self._run(_paint_inside, lab, BAND_PIXELS, is_8_bit)
        outside = np.flatnonzero(~is_inside)
        if outside.size:  # often a tenth of a photo; its chroma takes 16 bisection steps
            rgb = rgb.copy()
            (rgb[outside],) = self._run(_paint_outside, lab[:, outside], PIXEL_STEP, is_8_bit)
        return rgb.reshape(*planes[0].shape, 3)

    def _run(
        self, paint: Callable[..., tuple], lab: np.ndarray, step: int, is_8_bit: bool
    ) -> list[np.ndarray]:
        """Runs a function of (3, n), padded to a multiple of `step` pixels for few compilations."""
        count = lab.shape[1]
        size = -(-count // step) * step
        padded = np.zeros((3, size), np.float32)
        padded[:, :count] = lab
        program = self._programs.get(
            (paint, is_8_bit, size),
            lambda: kept_programs.compiled(
                functools.partial(paint, is_8_bit=is_8_bit),
                (padded,),
                f"{paint.__name__} {is_8_bit}",
            ),
        )
        return [output[:count] for output in jax.device_get(program(padded))]


def _paint_inside(lab: jax.Array, *, is_8_bit: bool) -> tuple[jax.Array, jax.Array]:
    """Returns sRGB clipped to its gamut, and a mask of the pixels inside the gamut."""
    lab = jnp.moveaxis(lab, 0, -1)
    return _encoded(lab, "clip", is_8_bit), color.inside_srgb(lab)


def _paint_outside(lab: jax.Array, *, is_8_bit: bool) -> tuple[jax.Array]:
    return (_encoded(jnp.moveaxis(lab, 0, -1), "shrink_chroma", is_8_bit),)


def _encoded(lab: jax.Array, gamut: Gamut, is_8_bit: bool) -> jax.Array:
    return color.lab_to_rgb_u8(lab, gamut) if is_8_bit else color.lab_to_rgb(lab, gamut)
