"""Errors that the user can fix, and the exit statuses of the programs."""

DONE = 0
SOME_FAILED = 1  # the other items succeeded
WRONG_REQUEST = 2
STOPPED = 75  # the same command resumes


class RequestError(ValueError):
    """An invalid request; the message is one line that says how to fix it.

    The programs print the message without a traceback and exit with status 2.
    """


def unknown_name(kind: str, name: object, known: object) -> RequestError:
    """Returns the error for an unknown name; it lists the known names."""
    names = ", ".join(sorted(str(k) for k in known))  # type: ignore[attr-defined]
    return RequestError(f"unknown {kind} {name!r}; known: {names}")


class Interrupted(Exception):
    """A run stopped early although the request was valid; the message says how to resume.

    Commands print it as one line and exit with status 75.
    """


class UnreadablePhoto(Exception):
    """The bytes are not a usable photo: truncated, damaged, too small, or not an image."""
