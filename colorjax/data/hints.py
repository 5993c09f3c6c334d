"""Color hints of a simulated user (Zhang et al. 2017, section 3.1)."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

MAX_EVALUATION_HINTS = 100
# Positions of the hints of an evaluation. "gaussian": the default of the released test code
# (util/util.py, samp='normal'), with which its curve of PSNR by number of hints is drawn, and of
# its training; "uniform": its other choice.
PLACES = ("uniform", "gaussian")
NO_HINT = np.iinfo(np.int16).max
_EVALUATION_SIDE = 6 / 256  # side of a hint / side of the photo (test_sweep.py there)


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
        top, left = (_gaussian(rng, size - side) for _ in range(2))
        hints.append(HintSquare(top, left, side))
    return hints


def _gaussian(rng: np.random.Generator, room: int) -> int:
    """Draws a corner from 0 to `room`, normally distributed around the middle."""
    return int(np.clip(rng.normal((room + 1) / 2, (room + 1) / 4), 0, room))


def evaluation_side(size: int) -> int:
    """Returns the side of an evaluation's hints, in pixels: 6/256 of the photo's shorter side."""
    return max(1, round(size * _EVALUATION_SIDE))


def draw_corner(rng: np.random.Generator, room: int, places: str) -> int:
    """Draws the top or left of a hint.

    Args:
        rng: random generator.
        room: side of the photo minus side of the hint, in pixels.
        places: one of `PLACES`. "gaussian": normal around the middle with a standard deviation of
            a quarter of `room` + 1, clipped; "uniform".
    """
    return _gaussian(rng, room) if places == "gaussian" else int(rng.integers(room + 1))


def draw_for_evaluation(
    rng: np.random.Generator, size: int, places: str = "uniform"
) -> list[HintSquare]:
    """Draws 100 hints of `evaluation_side`, at positions of one of `PLACES`."""
    side = evaluation_side(size)
    if places == "gaussian":
        corners = [[_gaussian(rng, size - side) for _ in range(2)] for _ in range(100)]
    else:
        corners = rng.integers(size - side + 1, size=(MAX_EVALUATION_HINTS, 2)).tolist()
    return [HintSquare(top, left, side) for top, left in corners]


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
