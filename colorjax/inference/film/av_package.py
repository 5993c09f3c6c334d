"""PyAV, an optional package."""

from __future__ import annotations

from types import ModuleType

from colorjax.errors import RequestError


def import_av() -> ModuleType:
    """Returns PyAV.

    Raises:
        RequestError: PyAV is not installed.
    """
    try:
        import av
        import av.video.reformatter
    except ImportError:
        raise RequestError("films need PyAV: pip install colorjax[film]") from None
    return av
