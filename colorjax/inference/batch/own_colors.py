"""Whether a photo already has colors, beyond the tint of a toned or yellowed print.

A tint is a function of lightness: sepia, selenium and cyanotype prints, and gray prints on colored
paper, have one a and b for each L. So the tint, a smooth curve in L, is subtracted from a and b.
What is left on a black-and-white print is noise, which neighboring parts do not share, and stains
or uneven fading, which vary along one hue axis. The colors of a color photo vary along two axes.
In a faded color print, colors and contrast are weaker alike.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from colorjax import color
from colorjax.photos import Photo

# docs/colorize.md has the rates of error (`python -m benchmarks.own_colors`).
COLOR_SPREAD = 1.0
COLORED_PART = 0.002

_SIDE = 48  # cells along the long side
_ROWS = 16  # rows read of each row of cells: enough to average noise
_CURVE_BINS = 16
_CELLS_PER_BIN = 40
_LONGEST = 10.0  # units of ab: small objects of strong color do not dominate
_CONTRAST = 14.0  # standard deviation of L of a print that is not faded
_MOST_FADED = 0.5  # share of _CONTRAST; below it, noise would count
_STRONG = 30.0  # units of ab from the tint: the color of an object, not of a stain


class OwnColors(NamedTuple):
    """Measures of the colors of a photo, without its tint.

    Attributes:
        spread: (s^2 d)^(1/3) in units of ab, where d and s are the standard deviations along the
            hue axis with the larger and the smaller one; divided by the contrast of a faded photo,
            relative to a usual one. About 0 for gray and toned photos.
        share: share of the area with strong colors, in [0, 1].
    """

    spread: float
    share: float

    @property
    def is_color_photo(self) -> bool:
        """Whether the photo as a whole has colors."""
        return self.spread > COLOR_SPREAD

    @property
    def has_colored_part(self) -> bool:
        """Whether a part has strong colors, such as a stamp on a gray photo."""
        return self.share > COLORED_PART


def own_colors(photo: Photo) -> OwnColors:
    """Measures the colors of a photo, in cells of about 1/48 of its long side."""
    lab = color.rgb_to_lab(_cells(photo))
    colors = lab[..., 1:] - _tint(lab)
    length = np.linalg.norm(colors, axis=-1, keepdims=True)
    limited = colors * np.minimum(1, _LONGEST / np.maximum(length, 1e-6))
    small, large = np.sqrt(np.maximum(np.linalg.eigvalsh(_neighbor_covariance(limited)), 0))
    contrast = np.clip(lab[..., 0].std() / _CONTRAST, _MOST_FADED, 1)
    spread = np.cbrt(small**2 * large) / contrast
    return OwnColors(float(spread), float((length > _STRONG).mean()))


def _cells(photo: Photo) -> np.ndarray:
    """Returns the mean sRGB of cells, (h, w, 3) float32 in [0, 1]."""
    side = max(1, -(-max(photo.height, photo.width) // _SIDE))
    across = max(1, photo.width // side)
    cells = []
    for top in range(0, max(1, photo.height - side + 1), side):
        srgb = photo.srgb(slice(top, min(top + min(side, _ROWS), photo.height)))
        parts = srgb[:, : across * side].reshape(len(srgb), across, -1, 3)
        cells.append(parts.mean((0, 2), dtype=np.float32))
    return np.stack(cells) / np.float32(255 if photo.is_8_bit else 1)


def _tint(lab: np.ndarray) -> np.ndarray:
    """Returns a and b of the tint of each cell: medians of cells of equal L, interpolated."""
    flat = lab.reshape(-1, 3)
    order = np.argsort(flat[:, 0], kind="stable")
    num_bins = max(1, min(_CURVE_BINS, len(order) // _CELLS_PER_BIN))
    ends = max(3, len(order) // 50)
    bins = [order[:ends], *np.array_split(order, num_bins), order[-ends:]]
    knots = np.array([np.median(flat[one], axis=0) for one in (bins if num_bins > 1 else [order])])
    return np.stack([np.interp(lab[..., 0], knots[:, 0], knots[:, n]) for n in (1, 2)], axis=-1)


def _neighbor_covariance(colors: np.ndarray) -> np.ndarray:
    """Returns the 2 x 2 covariance of neighboring cells; independent noise adds nothing to it."""
    pairs = ((colors[1:], colors[:-1]), (colors[:, 1:], colors[:, :-1]))
    number = sum(one.shape[0] * one.shape[1] for one, _ in pairs)
    total = np.zeros((2, 2))
    for one, other in pairs:
        total += np.einsum("ijk,ijl->kl", one, other)
    return (total + total.T) / (2 * max(number, 1))
