"""Errors that the page shows, each with the status of the answer."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """A request that is answered by an error.

    Attributes:
        status: of HTTP.
        extra: further keys of the answer, such as "superseded".
    """

    def __init__(self, status: int, message: str, **extra: Any):
        """Stores the status and one plain sentence."""
        super().__init__(message)
        self.status = status
        self.extra = extra


def superseded() -> Refused:
    """Returns the error of a request whose place a newer one took."""
    return Refused(409, "A newer request has taken the place of this one.", superseded=True)


def busy() -> Refused:
    """Returns the error of a full queue."""
    return Refused(429, "Too much is waiting; try again in a moment.")


def missing(what: str) -> Refused:
    """Returns the error for something that does not exist."""
    return Refused(404, f"There is no such {what}.")
