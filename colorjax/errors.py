"""Errors that are the user's to mend, and the exit statuses of the programs."""

DONE = 0
SOME_FAILED = 1  # the others are done
WRONG_REQUEST = 2
STOPPED = 75  # the same command goes on


class RequestError(ValueError):
    """What was asked for cannot be done; the message is one line that names the mend.

    The programs print it without a traceback and exit with status 2.
    """


def unknown_name(kind: str, name: object, known: object) -> RequestError:
    """Returns the error for a name that is in no table, listing the ones that are."""
    names = ", ".join(sorted(str(k) for k in known))  # type: ignore[attr-defined]
    return RequestError(f"unknown {kind} {name!r}; known: {names}")


class Interrupted(Exception):
    """A run ended early for no fault of the request; its text says how to go on.

    Commands print it as one line and exit with status 75.
    """


class UnreadablePhoto(Exception):
    """The bytes are no photo: cut short, damaged, too small, or not an image at all."""
