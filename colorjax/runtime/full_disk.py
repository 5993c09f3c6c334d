"""Recognizes a full disk as the cause of an error."""

from __future__ import annotations

import errno

_FULL = (errno.ENOSPC, errno.EDQUOT)


def reason_of(error: BaseException) -> str | None:
    """Returns why a disk is full, if that caused an error or one of its causes; else None."""
    cause: BaseException | None = error
    while cause is not None:
        if getattr(cause, "errno", None) in _FULL:
            return getattr(cause, "strerror", None) or str(cause)
        cause = cause.__cause__ or cause.__context__
    return None
