"""Color hints: parsing, validation, and rendering at the working size."""

from __future__ import annotations

import json
import math
import operator
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from colorjax.errors import RequestError
from colorjax.inference.regions import Area, area_of

_FORM = "x,y,#rrggbb"
_FIELDS = {"x", "y", "color"}  # region is optional
# Training draws sides of 1 to 9 pixels uniformly; 5 is their mean, at the 256 pixels of the
# published network. At other working sizes a hint scales with the photo, within 3 to 9 pixels, as
# training uses the same sides in pixels at every size.
_SIDE, _SIDE_AT, _LEAST_SIDE, _MOST_SIDE = 5, 256, 3, 9


class Hint(NamedTuple):
    """The color of one pixel, given by the user; `checked` validates it.

    Attributes:
        x: column in pixels of the upright photo, from 0 at the left.
        y: row in pixels of the upright photo, from 0 at the top.
        color: sRGB as "#rrggbb". Only its a and b are used; the lightness stays that of the photo.
        region: part of the photo that the hint colors exactly, which contains (x, y), as for
            `regions.area_of`: a boolean array (H, W) of the photo's size, a polygon of three or
            more corners [x, y], or a brush line. None: the hint spreads over similar parts of the
            photo.
    """

    x: int
    y: int
    color: str
    region: Any = None


def parse(text: str) -> Hint:
    """Returns the hint of a command-line argument.

    Args:
        text: "x,y,#rrggbb", whole pixels of the upright photo from its top left.

    Raises:
        RequestError: the text does not have that form.

    >>> parse("120,80,#c04030")
    Hint(x=120, y=80, color='#c04030', region=None)
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or not all(re.fullmatch(r"[0-9]{1,9}", part) for part in parts[:2]):
        raise RequestError(
            f"hint {_short(text)}: give {_FORM} with whole pixels from 0, such as 120,80,#c04030"
        )
    return _sound(Hint(int(parts[0]), int(parts[1]), parts[2]), _short(text))


def read_json(path: str | os.PathLike[str]) -> list[Hint]:
    """Returns the hints of a JSON file.

    Args:
        path: JSON: a list of objects {"x": 120, "y": 80, "color": "#c04030"}, of strings
            "x,y,#rrggbb", or of both. An object may have a "region", a polygon [[x, y], ...] or
            another form of `regions.area_of`.

    Returns:
        The hints in the order of the file.

    Raises:
        RequestError: the file cannot be read, is not such a list, or an entry is not a hint; the
            message names the file, and the entry by its number from 1.
    """
    name = repr(str(path))
    try:
        entries = json.loads(Path(path).expanduser().read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RequestError(f"hints in {name} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise RequestError(
            f"hints in {name} are not valid JSON: {str(error).splitlines()[0]}"
        ) from None
    if not isinstance(entries, list):
        raise RequestError(
            f'hints in {name} must be a list; write [{{"x": 120, "y": 80, "color": "#c04030"}}]'
        )
    result = []
    for number, entry in enumerate(entries, start=1):
        try:
            result.append(_from_json(entry))
        except RequestError as error:
            raise RequestError(f"hints in {name}, number {number}: {error}") from None
    return result


def checked(hints: Iterable[Hint | tuple[Any, ...]], height: int, width: int) -> list[Hint]:
    """Returns validated hints.

    Args:
        hints: `Hint`s, or tuples (x, y, "#rrggbb") or (x, y, "#rrggbb", region).
        height: of the upright photo, in pixels.
        width: likewise.

    Returns:
        The hints, with regions as `Area`s.

    Raises:
        RequestError: a hint has another type, coordinates that are not whole numbers or an invalid
            color, or lies outside the photo or outside its own region.

    >>> checked([(120, 80, "#c04030")], 100, 200)
    [Hint(x=120, y=80, color='#c04030', region=None)]
    """
    result = []
    for given in hints:
        if not (isinstance(given, tuple | list) and len(given) in (3, 4)):
            raise RequestError(f"hint {_short(given)}: give (x, y, '#rrggbb')")
        fields: Any = given
        hint = _sound(Hint(*fields), _short(fields[:3]))
        if hint.x >= width or hint.y >= height:
            raise RequestError(
                f"hint {hint.x},{hint.y},{hint.color} is outside the photo of {width}x{height} "
                "pixels; x and y count from 0 at the top left of the upright photo"
            )
        if hint.region is not None:
            hint = hint._replace(region=_area(hint, height, width))
        result.append(hint)
    return result


def ab_of(hint: Hint) -> np.ndarray:
    """Returns the a and b of a hint's color, (2,) float32."""
    from colorjax import color  # imports JAX, which parsing hints does not need

    return color.rgb_u8_to_lab(np.frombuffer(bytes.fromhex(hint.color[1:]), np.uint8))[1:]


def side_at(height: int, width: int) -> int:
    """Returns the side of the square of a hint, in pixels of a working size.

    >>> side_at(256, 340), side_at(512, 512), side_at(64, 64)
    (5, 9, 3)
    """
    wanted = round(_SIDE * min(height, width) / _SIDE_AT)
    return min(max(_LEAST_SIDE, wanted), _MOST_SIDE)


def paint(
    hints: Sequence[Hint], photo: tuple[int, ...], working: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Returns the hint inputs of a network: hints as squares, later ones over earlier ones.

    The center of pixel (x, y) of a W x H photo maps to ((x + 0.5) w / W, (y + 0.5) h / H) of the
    working size w x h. The square around it has `side_at` pixels, clipped at the photo's edges.

    Args:
        hints: from `checked`.
        photo: (height, width) of the photo, in pixels.
        working: (height, width) of the working size, in pixels.

    Returns:
        hint_ab: (1, h, w, 2) float32, ab / 110 of the hints' colors, 0 elsewhere;
        hint_mask: (1, h, w, 1) float32, 1 in the squares, 0 elsewhere.
    """
    from colorjax import color  # imports JAX, which parsing hints does not need

    hint_ab = np.zeros((1, *working, 2), np.float32)
    hint_mask = np.zeros((1, *working, 1), np.float32)
    side = side_at(*working)
    for hint in hints:
        rows = _span((hint.y + 0.5) * working[0] / photo[0], side, working[0])
        columns = _span((hint.x + 0.5) * working[1] / photo[1], side, working[1])
        hint_ab[0, rows, columns] = color.normalize_ab(ab_of(hint))
        hint_mask[0, rows, columns] = 1
    return {"hint_ab": hint_ab, "hint_mask": hint_mask}


def _span(middle: float, side: int, size: int) -> slice:
    """Returns the `side` pixels whose centers are nearest to `middle`, clipped to the size."""
    start = math.floor(middle - side / 2 + 0.5)
    return slice(max(start, 0), min(start + side, size))


def _sound(hint: Hint, text: str) -> Hint:
    """Returns the hint with Python integers, or raises a RequestError that quotes `text`."""
    if not all(_is_whole(value) and value >= 0 for value in (hint.x, hint.y)):
        raise RequestError(f"hint {text}: x and y must be whole numbers from 0, in pixels")
    if not (isinstance(hint.color, str) and re.fullmatch(r"#[0-9A-Fa-f]{6}", hint.color)):
        raise RequestError(f"hint {text}: give the color as #rrggbb, such as #c04030")
    return hint._replace(x=operator.index(hint.x), y=operator.index(hint.y))


def _area(hint: Hint, height: int, width: int) -> Area:
    """Returns the region of a hint, or raises RequestError."""
    name = f"region of hint {hint.x},{hint.y},{hint.color}"
    area = area_of(hint.region, height, width, name)
    if not area.contains(hint.x, hint.y):
        raise RequestError(f"{name} does not contain the hint; move the hint into the region")
    return area


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _from_json(entry: Any) -> Hint:
    if isinstance(entry, str):
        return parse(entry)
    if not isinstance(entry, dict) or entry.keys() - {"region"} != _FIELDS:
        raise RequestError(
            f'hint {_short(entry)}: give {{"x": 120, "y": 80, "color": "#c04030"}} or "{_FORM}"'
        )
    return _sound(Hint(**entry), _short(entry))


def _short(value: Any) -> str:
    """Returns the repr of a value, cut to 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
