"""Checks of options that several networks share."""

from __future__ import annotations

from collections.abc import Sequence

from colorjax.errors import RequestError


def check_norm(section: str, momentum: float, epsilon: float) -> None:
    """Raises a RequestError for invalid options of BatchNorm; `section` is that of the config."""
    if not (0 <= momentum < 1 and epsilon > 0):
        raise RequestError(
            f"{section}.norm_momentum must be at least 0 and below 1, and {section}.norm_epsilon "
            f"above 0, not {momentum} and {epsilon}"
        )


def check_gray_range(section: str, bounds: Sequence[float]) -> None:
    """Raises a RequestError unless there are two values, of black and of a larger white."""
    if len(bounds) != 2 or not bounds[0] < bounds[1]:
        raise RequestError(
            f"{section}.gray_range must be (black, white), such as (-1, 1), not {bounds}"
        )
