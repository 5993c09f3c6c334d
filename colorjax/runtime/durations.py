"""Times as people write them."""

from __future__ import annotations

import re

from colorjax.errors import RequestError


def parse_duration(text: str, flag: str = "--time_limit") -> float:
    """Returns the seconds of a text such as 55m, 1h30m or 90s; a bare number is of seconds.

    Args:
        text: the time.
        flag: that it was given to, for the error.

    Raises:
        RequestError: it is no such text, or 0.

    >>> parse_duration("1h30m"), parse_duration("90")
    (5400.0, 90.0)
    """
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text.strip())
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if not total:
        raise RequestError(f"{flag} is a time such as 55m, 1h30m or 90s, not {text!r}")
    return float(total)
