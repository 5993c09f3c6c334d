"""Collects the warnings of libraries that read and write photos, per thread."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator

from PIL import Image

_lock = threading.Lock()
_listeners = 0
_before: contextlib.ExitStack | None = None
_of_thread = threading.local()  # .complaints: warnings of the photo that this thread processes


@contextlib.contextmanager
def complaints() -> Iterator[list[str]]:
    """Collects the library warnings of this thread, and disables Pillow's pixel limit.

    `warnings.catch_warnings` affects the whole process, but several threads read photos: the first
    thread to enter changes filters and limit, the last one to leave restores them.
    """
    global _listeners, _before
    with _lock:
        if _listeners == 0:
            _before = contextlib.ExitStack()
            _before.enter_context(warnings.catch_warnings())
            _before.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
            warnings.simplefilter("always")
            warnings.showwarning = _hear  # pyrefly: ignore
            Image.MAX_IMAGE_PIXELS = None  # `max_pixels` applies instead
        _listeners += 1
    _of_thread.complaints = heard = []
    try:
        yield heard
    finally:
        del _of_thread.complaints
        with _lock:
            _listeners -= 1
            if _listeners == 0 and _before is not None:
                _before.close()


def _hear(message, category, *_: object) -> None:
    complaints = getattr(_of_thread, "complaints", None)
    if complaints is not None and not issubclass(category, DeprecationWarning):
        complaints.append(str(message))
