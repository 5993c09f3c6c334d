"""Networks by name. A network maps a dict of inputs to a dict of outputs.

It has three attributes beside its layers: `outputs`, the names it returns; `size_multiple`, what
heights and widths have to be multiples of; `fixed_size`, the one size it takes, or None.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn

from colorjax.errors import RequestError, unknown_name
from colorjax.models.plain_cnn import PlainCNN, PlainDense, plain_cnn

NETWORKS = {"plain_cnn": plain_cnn}

__all__ = ["NETWORKS", "PlainCNN", "PlainDense", "create"]


def create(name: str, **options: Any) -> nn.Module:
    """Builds a network by name.

    Args:
        name: a key of `NETWORKS`.
        **options: the network's attributes.

    Returns:
        A Linen module: `apply(variables, inputs, train=..., rngs=...) -> dict of outputs`.

    Raises:
        RequestError: unknown name (the message lists the known ones) or option.

    >>> create("plain_cnn", kernel_size=5).kernel_size
    5
    """
    if name not in NETWORKS:
        raise unknown_name("model model.name =", name, NETWORKS)
    try:
        return NETWORKS[name](**options)
    except TypeError as error:  # an attribute that the network does not have
        raise RequestError(f"model {name}: {error}") from None
