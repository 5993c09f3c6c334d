"""Color hints of a simulated user (Zhang et al. 2017, section 3.1)."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

MAX_EVALUATION_HINTS = 100
NO_HINT = np.iinfo(np.int16).max
_EVALUATION_SIDE = 6 / 256  # side of a hint / side of the photo, as in the published curve


class HintSquare(NamedTuple):
    """A square of pixels that the user gives one color."""

    top: int
    left: int
    side: int


def draw_for_training(
    rng: np.random.Generator, size: int, stop: float, sides: tuple[int, int]
) -> list[HintSquare]:
    """Draws hints as the released training code does.

    Args:
        rng: random generator.
        size: side of the photo in pixels.
        stop: p of the geometric number of hints, counted from 0; their mean is (1 - p) / p.
        sides: smallest and largest side of a hint in pixels, all equally likely.

    Returns:
        Hints inside the photo. Positions are normally distributed around its center, with a
        standard deviation of a quarter of its side, and clipped to the photo.
    """
    hints = []
    while rng.random() >= stop:
        side = min(size, int(rng.integers(sides[0], sides[1] + 1)))
        room = size - side
        top, left = rng.normal((room + 1) / 2, (room + 1) / 4, 2)
        hints.append(HintSquare(int(np.clip(top, 0, room)), int(np.clip(left, 0, room)), side))
    return hints


def draw_for_evaluation(rng: np.random.Generator, size: int) -> list[HintSquare]:
    """Draws 100 hints with sides of 6/256 of the photo's side, uniformly over the photo."""
    side = max(1, round(size * _EVALUATION_SIDE))
    corners = rng.integers(size - side + 1, size=(MAX_EVALUATION_HINTS, 2))
    return [HintSquare(int(top), int(left), side) for top, left in corners]


def draw_cells(key: jax.Array, number: int, grid: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """Draws hints to train a hint guide, as cells of a grid.

    Half of the photos get the number and position distributions of `draw_for_training` with
    p = 1/8. The other half get 1 to 100 hints, log-uniformly distributed, at uniform positions.

    Args:
        key: random key.
        number: number of photos.
        grid: (height, width) of the grid.

    Returns:
        cells (number, 100, 2) int32, row and column; valid (number, 100), whether a hint is used.
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
    positions = jnp.clip(jnp.where(is_central[..., None], normal, even), 0, 1)
    sides = jnp.array(grid)[None, None]
    return jnp.minimum((positions * sides).astype(jnp.int32), sides - 1), valid


def reveal(ab: np.ndarray, hints: list[HintSquare]) -> tuple[np.ndarray, np.ndarray]:
    """Assigns each hint the mean true color below it; where hints overlap, the first one is used.

    Args:
        ab: (H, W, 2) float32, the true colors on any scale.
        hints: inside the photo.

    Returns:
        hint_ab: (H, W, 2) float32, colors of the hints, 0 elsewhere;
        hint_order: (H, W, 1) int16, index of the hint used at a pixel, from 0; `NO_HINT` for none.
    """
    hint_ab = np.zeros_like(ab)
    order = np.full((*ab.shape[:2], 1), NO_HINT, np.int16)
    for number in reversed(range(len(hints))):
        top, left, side = hints[number]
        square = (slice(top, top + side), slice(left, left + side))
        hint_ab[square] = ab[square].mean(axis=(0, 1))
        order[square] = number
    return hint_ab, order
