"""Parses durations such as 1h30m."""

from __future__ import annotations

import re

from colorjax.errors import RequestError


def parse_duration(text: str, flag: str = "--time_limit") -> float:
    """Returns the seconds of a text such as 55m, 1h30m or 90s; a plain number is in seconds.

    Args:
        text: the duration.
        flag: name of the option, for the error message.

    Raises:
        RequestError: the text is not a duration, or it is 0.

    >>> parse_duration("1h30m"), parse_duration("90")
    (5400.0, 90.0)
    """
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text.strip())
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if not total:
        raise RequestError(f"{flag} must be a time such as 55m, 1h30m or 90s, not {text!r}")
    return float(total)
