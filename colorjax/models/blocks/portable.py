"""A switch for export: networks are traced in the form that other engines run fast."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

from jax import Array
from jax.ad_checkpoint import checkpoint_name

ENCODED = "encoded"  # name of the values between the two parts of a network
_IS_PORTABLE = contextvars.ContextVar("is_portable", default=False)


def is_portable() -> bool:
    """Whether networks are being traced for another engine than XLA.

    Depthwise convolutions are then one grouped convolution on every backend, and enlargements are
    calls named `_enlarged_...`, which become one operation of the other engine.
    """
    return _IS_PORTABLE.get()


def encoded(*maps: Array) -> tuple[Array, ...]:
    """Returns maps unchanged; `colorjax export --part` divides the network at them.

    All that a network computes from them, and perhaps from its inputs, is its decoder.
    """
    return tuple(checkpoint_name(x, ENCODED) for x in maps) if is_portable() else maps


@contextlib.contextmanager
def portable() -> Iterator[None]:
    """Traces networks within the block for other engines; their values stay the same."""
    token = _IS_PORTABLE.set(True)
    try:
        yield
    finally:
        _IS_PORTABLE.reset(token)
