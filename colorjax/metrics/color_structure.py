"""Color structure: a metric of ours, compared with human opinions in the suite `hecd`."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from colorjax.color.arrays import Array, namespace
from colorjax.metrics.inputs import image_pair

SIDE = 60  # pixels of the longer side of the reduced picture, roughly
SIGMA = 1 / 20  # of the window, in longer sides
CONSTANT = 400.0  # squared Lab units: color contrasts far below 20 units do not count
CENTER = 0.15  # standard deviation of the weights of positions, in sides
LOSS = 0.3  # weight of lost color
_EXPLAINED = 1.0  # squared units of L, so that flat lightness explains nothing


def color_structure(lab: Any, true_lab: Any) -> Array:
    """Returns how alike the color is that lightness does not explain, minus the color lost.

    The pictures are reduced to about 60 pixels. In a Gaussian window, R_x and R_y are the residual
    covariances of ab of the picture and the truth after a linear regression on L (partial
    covariances), with v their traces and c that of the cross covariance:
    s = (2 c + C) / (v_x + v_y + C), as the second factor of SSIM but of a and b together, and
    l = max(0, sqrt(v_y) - sqrt(v_x)) / sqrt(v_y + C).
    The result is the mean of s - 0.3 l, in which the middle of the picture weighs more.

    People forgive a tint, a white balance, and colors that change with the lightness; they do not
    forgive colors that leave their objects, and lost color more than added color. A tint of the
    whole picture costs nothing here, so it is no measure of error: read it with CIEDE2000. The
    constants were chosen on HECD: see docs/evaluate.md for the values on scenes left out.

    Args:
        lab: (..., H, W, 3) Lab of the picture, L in [0, 100].
        true_lab: the same shape; its L is used for both.

    Returns:
        (...,) floating point, at most 1, which is reached by equal pictures; above -1.3.

    Raises:
        ValueError: if a shape is not (..., H, W, 3), or the shapes differ.
    """
    lab, true_lab = image_pair(lab, true_lab, ("lab", "true_lab"), 3)
    similarity, loss = similarity_and_loss(
        *residual_covariances(reduced(lab), reduced(true_lab), SIGMA), CONSTANT, CENTER
    )
    return similarity - LOSS * loss


def residual_covariances(lab: Array, true_lab: Array, sigma: float) -> tuple[Array, Array, Array]:
    """Returns v_x, v_y and c of `color_structure` at each position, (..., h, w) each.

    Args:
        lab: (..., h, w, 3), `reduced`.
        true_lab: the same shape.
        sigma: of the window, in longer sides; at least one pixel is used.
    """
    xp = namespace(lab, true_lab)
    height, width = lab.shape[-3:-1]
    pixels = max(1.0, sigma * max(height, width))
    rows, columns = _blur_matrix(height, pixels), _blur_matrix(width, pixels)
    # The middle of the range rounds least in float32.
    light, ab, true_ab = true_lab[..., :1] - 50, lab[..., 1:], true_lab[..., 1:]

    def mean(x: Array) -> Array:
        x = _sum(xp, "ij,...jkc->...ikc", xp.asarray(rows, x.dtype), x)
        return _sum(xp, "ij,...kjc->...kic", xp.asarray(columns, x.dtype), x)

    mean_light, mean_ab, mean_true = mean(light), mean(ab), mean(true_ab)
    of_light = xp.maximum(mean(light * light) - mean_light * mean_light, 0)[..., 0] + _EXPLAINED
    with_light = mean(ab * light) - mean_ab * mean_light
    true_with_light = mean(true_ab * light) - mean_true * mean_light

    def residual(product: Array, explained: Array) -> Array:
        return xp.sum(product, axis=-1) - xp.sum(explained, axis=-1) / of_light

    v_x = residual(mean(ab * ab) - mean_ab * mean_ab, with_light * with_light)
    v_y = residual(mean(true_ab * true_ab) - mean_true * mean_true, true_with_light**2)
    c = residual(mean(ab * true_ab) - mean_ab * mean_true, with_light * true_with_light)
    return xp.maximum(v_x, 0), xp.maximum(v_y, 0), c


def similarity_and_loss(
    v_x: Array, v_y: Array, c: Array, constant: float, center: float
) -> tuple[Array, Array]:
    """Returns the weighted means of s and of l of `color_structure`, (...,) each.

    Args:
        v_x: (..., h, w); the results of `residual_covariances`.
        v_y: the same shape.
        c: the same shape.
        constant: C, in squared Lab units.
        center: standard deviation of the weights of positions, in sides.
    """
    xp = namespace(c)
    similarity = (2 * c + constant) / (v_x + v_y + constant)
    loss = xp.maximum(xp.sqrt(v_y) - xp.sqrt(v_x), 0) / xp.sqrt(v_y + constant)
    weights = [xp.asarray(_center_weights(size, center), c.dtype) for size in c.shape[-2:]]
    return tuple(_sum(xp, "...ij,i,j->...", x, *weights) for x in (similarity, loss))


def _sum(xp: Any, subscripts: str, *arrays: Array) -> Array:
    """Returns `einsum` in the full precision of the arrays: a GPU or TPU would use less."""
    options = {} if xp is np else {"precision": "highest"}
    return xp.einsum(subscripts, *arrays, **options)


def reduced(lab: Array) -> Array:
    """Returns means of squares of pixels, so that the longer side has about `SIDE` pixels.

    The last rows and columns that do not fill a square are dropped.
    """
    *batch, height, width, channels = lab.shape
    factor = max(1, round(max(height, width) / SIDE))
    down, across = min(factor, height), min(factor, width)
    height, width = height // down, width // across
    lab = lab[..., : height * down, : width * across, :]
    return lab.reshape(*batch, height, down, width, across, channels).mean(axis=(-4, -2))


@functools.lru_cache(maxsize=64)
def _blur_matrix(size: int, sigma: float) -> np.ndarray:
    """Returns (size, size): Gaussian means up to 3 sigma, the borders reflected."""
    radius = int(3 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * np.square(offsets / sigma))
    positions = (np.arange(size)[:, None] + offsets) % (2 * size)
    positions = np.minimum(positions, 2 * size - 1 - positions)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.arange(size)[:, None], positions), weights / weights.sum())
    return matrix


def _center_weights(size: int, center: float) -> np.ndarray:
    from_middle = (np.arange(size) - (size - 1) / 2) / size
    weights = np.exp(-0.5 * np.square(from_middle / center))
    return weights / weights.sum()
