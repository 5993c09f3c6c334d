"""Errors that the user can fix, and the exit statuses of the programs."""

import contextlib
from collections.abc import Iterable, Iterator

DONE = 0
SOME_FAILED = 1  # the other items succeeded
WRONG_REQUEST = 2
STOPPED = 75  # the same command resumes


class RequestError(ValueError):
    """An invalid request; the message is one line that says how to fix it.

    The programs print the message without a traceback and exit with status 2.
    """


def unknown_name(kind: str, name: object, known: Iterable[object]) -> RequestError:
    """Returns the error for an unknown name; it lists the known names."""
    names = sorted(str(k) for k in known)
    hint = did_you_mean(str(name), names)
    return RequestError(f"unknown {kind} {name!r}{hint}; known: {', '.join(names)}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns " (did you mean X?)" with the known name most like a misspelled one, else "".

    >>> did_you_mean("saturatoin", ["saturation", "size"])
    ' (did you mean saturation?)'
    """
    import difflib  # only for errors: keeps `colorjax --help` fast

    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.65)
    return f" (did you mean {matches[0]}?)" if matches else ""


@contextlib.contextmanager
def path_given_as(field: str) -> Iterator[None]:
    """Names the field or option that gave a path, in errors that speak of data.path.

    Args:
        field: such as "data.eval_path" or "--data".

    Raises:
        RequestError: the error raised inside, with `field` in place of "data.path".
    """
    try:
        yield
    except RequestError as error:
        raise RequestError(str(error).replace("data.path", field)) from error.__cause__


class Interrupted(Exception):
    """A run stopped early although the request was valid; the message says how to resume.

    Commands print it as one line and exit with status 75.
    """


class UnreadablePhoto(Exception):
    """The bytes are not a usable photo: truncated, damaged, too small, or not an image."""
