"""Colour hints of a simulated user (Zhang et al. 2017, section 3.1)."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

MAX_EVALUATION_HINTS = 100
NO_HINT = np.iinfo(np.int16).max
_EVALUATION_SIDE = 6 / 256  # side of a hint over that of the photo, as in the published curve


class Hint(NamedTuple):
    """A square of pixels that the user gives one colour."""

    top: int
    left: int
    side: int


def draw_for_training(
    rng: np.random.Generator, size: int, stop: float, sides: tuple[int, int]
) -> list[Hint]:
    """Draws hints as the released training code does.

    Args:
        rng: where chance comes from.
        size: side of the photo in pixels.
        stop: p of the geometric number of hints, counted from 0; their mean is (1 - p) / p.
        sides: smallest and largest side of a hint in pixels, all equally likely.

    Returns:
        Hints inside the photo; places are normal around its middle, with a standard deviation of a
        quarter of its side, clipped to the photo.
    """
    hints = []
    while rng.random() >= stop:
        side = min(size, int(rng.integers(sides[0], sides[1] + 1)))
        room = size - side
        top, left = rng.normal((room + 1) / 2, (room + 1) / 4, 2)
        hints.append(Hint(int(np.clip(top, 0, room)), int(np.clip(left, 0, room)), side))
    return hints


def draw_for_evaluation(rng: np.random.Generator, size: int) -> list[Hint]:
    """Draws 100 hints of 6/256 of the photo's side, evenly over it."""
    side = max(1, round(size * _EVALUATION_SIDE))
    places = rng.integers(size - side + 1, size=(MAX_EVALUATION_HINTS, 2))
    return [Hint(int(top), int(left), side) for top, left in places]


def draw_cells(key: jax.Array, number: int, grid: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """Draws hints for the training of a hint guide, as cells of a grid.

    One half of the photos gets as many hints as `draw_for_training` with p = 1/8 gives, with the
    same places; the other half 1 to 100, evenly drawn on a logarithmic scale, evenly placed.

    Args:
        key: where chance comes from.
        number: of photos.
        grid: its (height, width).

    Returns:
        cells (number, 100, 2) int32, row and column; valid (number, 100), whether a hint counts.
    """
    keys = jax.random.split(key, 5)
    is_central = jax.random.bernoulli(keys[0], 0.5, (number, 1))
    uniform = jax.random.uniform(keys[1], (number, 1), minval=1e-6)
    few = jnp.floor(jnp.log(uniform) / math.log(7 / 8))
    many = jnp.floor(jnp.exp(uniform * math.log(MAX_EVALUATION_HINTS + 1)))
    valid = jnp.arange(MAX_EVALUATION_HINTS)[None] < jnp.where(is_central, few, many)
    shape = (number, MAX_EVALUATION_HINTS, 2)
    normal = 0.5 + 0.25 * jax.random.normal(keys[2], shape)
    even = jax.random.uniform(keys[3], shape)
    places = jnp.clip(jnp.where(is_central[..., None], normal, even), 0, 1)
    sides = jnp.array(grid)[None, None]
    return jnp.minimum((places * sides).astype(jnp.int32), sides - 1), valid


def reveal(ab: np.ndarray, hints: list[Hint]) -> tuple[np.ndarray, np.ndarray]:
    """Gives each hint the mean true colour below it; where hints overlap the first one counts.

    Args:
        ab: (H, W, 2) float32, the true colours on any scale.
        hints: inside the photo.

    Returns:
        hint_ab: (H, W, 2) float32, colours of the hints, 0 elsewhere;
        hint_order: (H, W, 1) int16, number of the hint that counts at a pixel, from 0; `NO_HINT`
        where there is none.
    """
    hint_ab = np.zeros_like(ab)
    order = np.full((*ab.shape[:2], 1), NO_HINT, np.int16)
    for number in reversed(range(len(hints))):
        top, left, side = hints[number]
        place = (slice(top, top + side), slice(left, left + side))
        hint_ab[place] = ab[place].mean(axis=(0, 1))
        order[place] = number
    return hint_ab, order
