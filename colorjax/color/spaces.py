"""Output color spaces of networks, on a scale of about [-1, 1]."""

from __future__ import annotations

from typing import Any

from colorjax.color.arrays import Array, namespace
from colorjax.color.lab import lab_to_rgb, rgb_to_lab
from colorjax.color.scaling import (
    denormalize_ab,
    denormalize_lightness,
    normalize_ab,
    normalize_lightness,
)

SPACES = {"ab": 2, "lab": 3, "rgb": 3}  # name -> channels


def lab_to_space(lab: Any, space: str) -> Array:
    """Converts CIE Lab to the output space of a network.

    Args:
        lab: (..., 3) floating point; L in [0, 100].
        space: "ab": ab / 110; "lab": L / 50 - 1 and ab / 110; "rgb": sRGB, clipped to its gamut,
            in [-1, 1].

    Returns:
        (..., 2) or (..., 3), in the kind and dtype of `lab`.

    Raises:
        ValueError: unknown space.
    """
    _check(space)
    if space == "rgb":
        return lab_to_rgb(lab) * 2 - 1
    ab = normalize_ab(lab[..., 1:])
    if space == "ab":
        return ab
    return namespace(lab).concatenate([normalize_lightness(lab[..., :1]), ab], axis=-1)


def space_to_lab(values: Any, space: str, lightness: Any) -> Array:
    """Inverts `lab_to_space`; for "lab" and "rgb" the lightness is the predicted one.

    Args:
        values: (..., 2) or (..., 3) floating point, in the given space.
        space: as in `lab_to_space`.
        lightness: (..., 1), L in [0, 100], which "ab" does not contain.

    Raises:
        ValueError: unknown space.
    """
    _check(space)
    if space == "rgb":
        xp = namespace(values)
        return rgb_to_lab(xp.clip((values + 1) / 2, 0, 1))
    if space == "lab":
        lightness = denormalize_lightness(values[..., :1])
    ab = denormalize_ab(values[..., -2:])
    return namespace(values).concatenate([lightness, ab], axis=-1)


def _check(space: str) -> None:
    if space not in SPACES:
        raise ValueError(f"space must be one of {', '.join(SPACES)}, not {space!r}")
