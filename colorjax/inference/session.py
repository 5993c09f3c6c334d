"""The session of a photo: hints, erasures, sliders and reference, as JSON; replays to a picture.

The page of `colorjax serve` writes it beside the result, and `colorjax colorize --hints` reads it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from colorjax.errors import RequestError
from colorjax.inference.hints import Hint
from colorjax.inference.regions import area_of, scaled

KIND = "session"  # value of the key "colorjax" of a session file
VERSION = 1
GRAY = "#808080"  # color of an erasure: its a and b are 0
MOST_STROKES = 500
_MOST_POINTS = 5000  # of a region
_MOST_SATURATION = 3.0
_STATE = {"version", "strokes", "saturation", "warmth", "strength", "reference", "variant"}
_NEUTRAL = {"saturation": 1.0, "warmth": 0.0, "strength": 1.0}


class Source(NamedTuple):
    """A photo or weights that a session refers to.

    Attributes:
        name: for messages.
        digest: SHA-256 in hexadecimal, of the file.
        width: of the upright photo, in pixels; 0 for weights.
        height: likewise.
    """

    name: str
    digest: str
    width: int = 0
    height: int = 0


class Variant(NamedTuple):
    """A sample that a session starts from.

    Attributes:
        seed: of the samples.
        index: of the sample among them.
        hints: the hints that give the sample.
    """

    seed: int
    index: int
    hints: tuple[Hint, ...]


@dataclasses.dataclass(frozen=True)
class State:
    """What a user did to a photo: all that decides its colors, except the weights.

    Attributes:
        strokes: hints and erasures, in order, as JSON objects: {"kind": "hint", "x", "y", "color",
            "region"} or {"kind": "erase", "region"}; see `regions.area_of`.
        saturation: as in `Options`, up to 3.
        warmth: as in `Options`.
        strength: as in `Options`.
        reference: the photo for `Options.global_image`; None: none.
        variant: the sample to start from; None: the plain prediction.
    """

    strokes: tuple[Mapping[str, Any], ...] = ()
    saturation: float = 1.0
    warmth: float = 0.0
    strength: float = 1.0
    reference: Source | None = None
    variant: Variant | None = None

    @classmethod
    def from_json(cls, given: Any) -> State:
        """Returns the state of a JSON object; missing keys have their neutral values.

        Raises:
            RequestError: the object has an unknown key or an invalid value.
        """
        if not isinstance(given, Mapping):
            raise RequestError("the state of a session must be a JSON object")
        if unknown := sorted(set(given) - _STATE):
            raise RequestError(f"the session has an unknown key {unknown[0]!r}")
        _check_version(given)
        strokes = given.get("strokes") or []
        if not isinstance(strokes, list) or len(strokes) > MOST_STROKES:
            raise RequestError(f"strokes must be a list of at most {MOST_STROKES}")
        return cls(
            tuple(_stroke(stroke, number) for number, stroke in enumerate(strokes, start=1)),
            _number(given, "saturation", 0, _MOST_SATURATION),
            _number(given, "warmth", -1, 1),
            _number(given, "strength", 0, 1),
            _reference(given.get("reference")),
            _variant(given.get("variant")),
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON object of the state, with every key."""
        reference = self.reference and {
            "digest": self.reference.digest,
            "name": self.reference.name,
        }
        variant = self.variant and {
            "seed": self.variant.seed,
            "index": self.variant.index,
            "hints": [{"x": h.x, "y": h.y, "color": h.color} for h in self.variant.hints],
        }
        return {
            "version": VERSION,
            "strokes": [dict(stroke) for stroke in self.strokes],
            "saturation": self.saturation,
            "warmth": self.warmth,
            "strength": self.strength,
            "reference": reference,
            "variant": variant,
        }

    def hints(self, height: int, width: int, factor: float = 1.0) -> list[Hint]:
        """Returns the hints that give the picture: of the variant, then of the strokes.

        Args:
            height: of the picture to paint, in pixels.
            width: likewise.
            factor: size of this picture divided by that of the photo that the strokes refer to.

        Raises:
            RequestError: a hint lies outside the picture or outside its region.
        """
        result = [
            _resized(hint, factor, height, width)
            for hint in (self.variant.hints if self.variant else ())
        ]
        for stroke in self.strokes:
            region = stroke.get("region")
            if region is not None and factor != 1:
                region = scaled(region, factor)
            if stroke["kind"] == "erase":
                pixel = area_of(region, height, width, "an erasure").first_pixel()
                if pixel is not None:  # not outside the picture
                    result.append(Hint(*pixel, GRAY, region))
                continue
            hint = Hint(stroke["x"], stroke["y"], stroke["color"])
            hint = _resized(hint, factor, height, width)
            if region is not None:
                hint = _inside(hint._replace(region=region), height, width, moves=factor != 1)
            result.append(hint)
        return result

    def coloring(self, hints: Sequence[Hint], reference: Any = None) -> dict[str, Any]:
        """Returns the fields of `Options` that the state decides; neutral ones may be missing.

        Args:
            hints: from `hints`.
            reference: the picture of `reference`.
        """
        result: dict[str, Any] = {"saturation": self.saturation, "strength": self.strength}
        if self.warmth:
            result["warmth"] = self.warmth
        if reference is not None:
            result["global_image"] = reference
        return result | {"hints": list(hints)}


@dataclasses.dataclass(frozen=True)
class Session:
    """A session file.

    Attributes:
        photo: the photo.
        weights: the weights.
        state: what the user did.
        editor: JSON of the page, such as what can be undone; it does not affect the picture.
    """

    photo: Source
    weights: Source
    state: State = State()
    editor: Any = None

    @classmethod
    def from_json(cls, given: Any) -> Session:
        """Returns the session of a JSON object.

        Raises:
            RequestError: the object is no session of this version.
        """
        if not is_session(given):
            raise RequestError('it is no session: it lacks "colorjax": "session"')
        _check_version(given)
        state = {key: value for key, value in given.items() if key in _STATE}
        photo, weights = (_source(given, key) for key in ("photo", "weights"))
        return cls(photo, weights, State.from_json(state), given.get("editor"))

    def to_json(self, program: str) -> dict[str, Any]:
        """Returns the JSON object of the file.

        Args:
            program: name and version of the program that writes it.
        """
        photo = self.photo._asdict()
        weights = {"name": self.weights.name, "digest": self.weights.digest}
        return {
            "colorjax": KIND,
            "program": program,
            "photo": photo,
            "weights": weights,
            **self.state.to_json(),
            "editor": self.editor,
        }


def is_session(given: Any) -> bool:
    """Returns whether a JSON value is a session file, and not a list of hints."""
    return isinstance(given, Mapping) and given.get("colorjax") == KIND


def read_if_session(path: str | os.PathLike[str]) -> Session | None:
    """Returns the session of a file; None: the file holds something else, such as hints.

    Raises:
        RequestError: the file is a session that this version cannot read.
    """
    try:
        given = json.loads(Path(path).expanduser().read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None
    try:
        return Session.from_json(given) if is_session(given) else None
    except RequestError as error:
        raise RequestError(f"session {str(path)!r}: {error}") from None


def _check_version(given: Mapping[str, Any]) -> None:
    version = given.get("version", VERSION)
    if version != VERSION:
        raise RequestError(
            f"the session has version {version!r}, and this colorjax reads version {VERSION}; "
            "install the version that wrote it"
        )


def _number(given: Mapping[str, Any], key: str, least: float, most: float) -> float:
    value = given.get(key, _NEUTRAL[key])
    is_sound = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_sound and math.isfinite(value) and least <= value <= most):
        raise RequestError(f"{key} must be from {least:g} to {most:g}, not {str(value)[:40]!r}")
    return float(value)


def _source(given: Mapping[str, Any], key: str) -> Source:
    value = given.get(key)
    if not isinstance(value, Mapping) or not _is_digest(value.get("digest")):
        raise RequestError(f'"{key}" must have a name and a digest')
    sides = (value.get("width", 0), value.get("height", 0))
    if not all(isinstance(side, int) for side in sides):
        raise RequestError(f'width and height of "{key}" must be whole numbers')
    return Source(str(value.get("name", "")), value["digest"], *sides)


def _reference(given: Any) -> Source | None:
    if given is None:
        return None
    if not isinstance(given, Mapping) or not _is_digest(given.get("digest")):
        raise RequestError("the reference must have a name and a digest")
    return Source(str(given.get("name", ""))[:200], given["digest"])


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None


def _variant(given: Any) -> Variant | None:
    if given is None:
        return None
    try:
        seed, index, hints = (given[key] for key in ("seed", "index", "hints"))
        if not all(_is_whole(value) for value in (seed, index)) or len(hints) > MOST_STROKES:
            raise ValueError
        return Variant(seed, index, tuple(_point(hint) for hint in hints))
    except (TypeError, KeyError, ValueError):
        raise RequestError("the variant must have seed, index and hints") from None


def _stroke(given: Any, number: int) -> Mapping[str, Any]:
    """Returns a valid stroke; further keys with short values are kept."""
    try:
        kind = given["kind"]
        kept = {
            str(key)[:40]: value
            for key, value in given.items()
            if isinstance(value, str | int | float) and len(str(value)) <= 200
        }
        region = given.get("region")
        if kind == "hint":
            hint = _point(given)
            kept |= {"x": hint.x, "y": hint.y, "color": hint.color}
        elif kind != "erase" or region is None:
            raise ValueError
        return kept | {"kind": kind, "region": None if region is None else _region(region)}
    except (TypeError, KeyError, ValueError, AttributeError):
        raise RequestError(
            f'stroke {number}: give {{"kind": "hint", "x": 120, "y": 80, "color": "#c04030"}} or '
            '{"kind": "erase", "region": {"brush": [[10, 10], [90, 10]], "width": 12}}'
        ) from None


def _point(given: Mapping[str, Any]) -> Hint:
    x, y, code = given["x"], given["y"], given["color"]
    if not (_is_whole(x) and _is_whole(y) and re.fullmatch(r"#[0-9A-Fa-f]{6}", code)):
        raise ValueError
    return Hint(x, y, code)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _region(given: Mapping[str, Any]) -> dict[str, Any]:
    key = "brush" if "brush" in given else "polygon"
    points = [[float(x), float(y)] for x, y in given[key]]
    if not (3 if key == "polygon" else 1) <= len(points) <= _MOST_POINTS:
        raise ValueError
    if not all(abs(value) < 1e6 for point in points for value in point):
        raise ValueError
    if key == "polygon":
        return {"polygon": points}
    if not 0 < (width := float(given["width"])) < 1e6:
        raise ValueError
    return {"brush": points, "width": width}


def _resized(hint: Hint, factor: float, height: int, width: int) -> Hint:
    """Returns a hint of the photo on a picture of another size."""
    if factor == 1:
        return hint
    x, y = int((hint.x + 0.5) * factor), int((hint.y + 0.5) * factor)
    return hint._replace(x=min(x, width - 1), y=min(y, height - 1))


def _inside(hint: Hint, height: int, width: int, *, moves: bool) -> Hint:
    """Returns a hint that its region contains; `moves`: it may be moved there, after resizing."""
    area = area_of(hint.region, height, width, f"region of hint {hint.x},{hint.y}")
    if area.contains(hint.x, hint.y):
        return hint
    pixel = area.first_pixel() if moves else None
    if pixel is None:
        raise RequestError(
            f"the region of hint {hint.x},{hint.y},{hint.color} does not contain the hint; move "
            "the hint into the region"
        )
    return hint._replace(x=pixel[0], y=pixel[1])
