"""Regions of a photo that bound a hint: polygons, brush lines and masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from colorjax.errors import RequestError

Corners: TypeAlias = list[tuple[float, float]]

_MOST = 1e6  # of a coordinate: Pillow draws with 32-bit integers


class Area(NamedTuple):
    """Pixels of a photo, as a mask of their bounding box.

    Attributes:
        top: first row of the box.
        left: first column of the box.
        mask: (h, w) bool, which pixels of the box belong to the area.
    """

    top: int
    left: int
    mask: np.ndarray

    def contains(self, x: int, y: int) -> bool:
        """Returns whether a pixel of the photo belongs to the area."""
        row, column = y - self.top, x - self.left
        is_in_box = 0 <= row < self.mask.shape[0] and 0 <= column < self.mask.shape[1]
        return is_in_box and bool(self.mask[row, column])

    def fill(self, rows: slice, plane: np.ndarray, value: Any) -> None:
        """Sets the pixels of the area that lie in some rows of the photo.

        Args:
            rows: rows of the photo.
            plane: (n, W, ...) these rows; changed in place.
            value: the new value of each pixel.
        """
        first = max(rows.start, self.top)
        last = min(rows.stop, self.top + self.mask.shape[0])
        if first < last:
            columns = slice(self.left, self.left + self.mask.shape[1])
            part = plane[first - rows.start : last - rows.start, columns]
            part[self.mask[first - self.top : last - self.top]] = value

    def first_pixel(self) -> tuple[int, int] | None:
        """Returns (x, y) of one pixel of the area; None: it is empty."""
        if not self.mask.any():
            return None
        row, column = np.unravel_index(np.argmax(self.mask), self.mask.shape)
        return int(column) + self.left, int(row) + self.top


def area_of(region: Any, height: int, width: int, name: str = "region") -> Area:
    """Returns the pixels of a region.

    Args:
        region: a boolean array (height, width); a polygon of three or more corners [x, y]; or
            {"polygon": corners}, or a brush line with round ends, {"brush": points, "width": w},
            in pixels of the photo.
        height: of the photo, in pixels.
        width: likewise.
        name: of the region, for messages.

    Raises:
        RequestError: the region has none of these forms.
    """
    if isinstance(region, np.ndarray) and region.dtype == bool:
        if region.shape != (height, width):
            raise RequestError(
                f"{name}: the array must have the photo's shape {(height, width)}, not "
                f"{region.shape}"
            )
        return Area(0, 0, region)
    if isinstance(region, Mapping) and region.keys() == {"brush", "width"}:
        return _brushed(region, height, width, name)
    if isinstance(region, Mapping) and region.keys() == {"polygon"}:
        region = region["polygon"]
    corners = _points(region)
    if len(corners) < 3:
        raise RequestError(
            f"{name}: give three corners or more, such as [[10, 10], [90, 10], [50, 80]]"
        )
    picture, shifted, corner = _canvas(corners, 0, height, width)
    ImageDraw.Draw(picture).polygon(shifted, fill=1, outline=1)
    return Area(*corner, np.asarray(picture, bool))


def scaled(region: Any, factor: float) -> Any:
    """Returns a region, polygon or brush line, for the same photo at another size."""
    if isinstance(region, Mapping) and "brush" in region:
        points = [_moved(point, factor) for point in region["brush"]]
        return {"brush": points, "width": region["width"] * factor}
    corners = region["polygon"] if isinstance(region, Mapping) else region
    return {"polygon": [_moved(corner, factor) for corner in corners]}


def _moved(point: Any, factor: float) -> tuple[float, float]:
    """Returns a point of the resized photo; whole numbers are centers of pixels."""
    x, y = point
    return (x + 0.5) * factor - 0.5, (y + 0.5) * factor - 0.5


def _brushed(brush: Mapping[str, Any], height: int, width: int, name: str) -> Area:
    points, thickness = _points(brush["brush"]), brush["width"]
    is_width = isinstance(thickness, int | float) and not isinstance(thickness, bool)
    if not points or not (is_width and 0 < thickness < _MOST):
        raise RequestError(
            f'{name}: give the points and the width of the brush, such as {{"brush": [[10, 10], '
            '[90, 10]], "width": 12}'
        )
    radius = max(thickness, 1) / 2
    picture, shifted, corner = _canvas(points, radius, height, width)
    draw = ImageDraw.Draw(picture)
    draw.line(shifted, fill=1, width=max(1, round(thickness)))
    for x, y in shifted:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1)
    return Area(*corner, np.asarray(picture, bool))


def _points(given: Any) -> Corners:
    """Returns points as pairs of numbers; none if one of them is not such a pair."""
    try:
        points = [(float(x), float(y)) for x, y in given]
    except (TypeError, ValueError):
        return []
    is_sound = all(abs(value) < _MOST for point in points for value in point)
    return points if is_sound else []


def _canvas(
    points: Corners, margin: float, height: int, width: int
) -> tuple[Image.Image, list[tuple[int, int]], tuple[int, int]]:
    """Returns an empty picture of the bounding box, the pixels of the points, and its top left."""
    xs, ys = zip(*points, strict=True)
    left, right = (int(min(max(x, 0), width)) for x in (min(xs) - margin - 1, max(xs) + margin + 2))
    top, bottom = (
        int(min(max(y, 0), height)) for y in (min(ys) - margin - 1, max(ys) + margin + 2)
    )
    picture = Image.new("1", (max(right - left, 1), max(bottom - top, 1)))
    # Rounded here: Pillow cuts fractions off, which moves a region up and to the left.
    return picture, [(round(x - left), round(y - top)) for x, y in points], (top, left)
