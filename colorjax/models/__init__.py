"""Networks by name."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

import flax.linen as nn

from colorjax.errors import RequestError, unknown_name
from colorjax.models.blocks.added_layer import (
    hold_still,
    layer_factors,
    trained_layers,
    which_learn,
    without_new_layers,
)
from colorjax.models.blocks.convolution import convolutions

# name -> its module, which has a function of that name that builds it. Only the module of the
# network that a config names is imported.
NETWORKS = {
    "plain_cnn": "colorjax.models.plain_cnn",
    "iizuka": "colorjax.models.iizuka",
    "edge_fusion": "colorjax.models.edge_fusion",
    "unet": "colorjax.models.unet",
    "zhang16": "colorjax.models.zhang16",
    "zhang17": "colorjax.models.zhang17",
    "semantic": "colorjax.models.semantic",
}

__all__ = [
    "NETWORKS",
    "Network",
    "convolutions",
    "create",
    "hold_still",
    "layer_factors",
    "trained_layers",
    "which_learn",
    "without_new_layers",
]


_ATTRIBUTES = {"inputs", "outputs", "size_multiple", "fixed_size", "fit"}


class Network(Protocol):
    """A Linen module that maps a dict of inputs to a dict of outputs."""

    @property
    def inputs(self) -> frozenset[str]:
        """Names of what it takes: "grey", and what `Method.predict` describes beside it."""
        ...

    @property
    def outputs(self) -> frozenset[str]:
        """Names of what it returns: "ab", "color", "logits", "class_logits", ..."""
        ...

    @property
    def size_multiple(self) -> int:
        """What heights and widths have to be multiples of, in pixels."""
        ...

    @property
    def fixed_size(self) -> int | None:
        """The one height and width that it takes, in pixels; None: any multiple."""
        ...

    @property
    def fit(self) -> str:
        """How a photo comes to such a size: "pad" by its edge and cut back, or "resize"."""
        ...

    def init(self, rngs: Any, inputs: dict[str, Any], *, train: bool) -> Any:
        """Returns fresh variables."""
        ...

    def apply(self, variables: Any, inputs: dict[str, Any], **options: Any) -> Any:
        """Returns the outputs; with `mutable=[...]`, (outputs, updated collections)."""
        ...


def _import_network(name: str) -> Any:
    """Returns the class of "MODULE:CLASS"; what is no Linen module is refused, and never called."""
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise RequestError(
            f"model.name={name!r} cannot be imported ({error}); name a class as MODULE:CLASS, and "
            "run where Python finds the module, or set PYTHONPATH"
        ) from None
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise RequestError(f"model.name={name!r} is no flax.linen.Module")
    missing = sorted(_ATTRIBUTES - set(dir(found)))
    if missing:
        raise RequestError(f"network {name} lacks {', '.join(missing)}; see docs/new_method.md")
    return found


def create(name: str, **options: Any) -> Network:
    """Builds a network by name.

    Args:
        name: a key of `NETWORKS`; or "MODULE:CLASS", a Linen module of your own that Python finds
            under that name (docs/new_method.md).
        **options: the network's attributes.

    Returns:
        The network, not yet initialized.

    Raises:
        RequestError: unknown name (the message lists the known ones) or option.

    >>> create("plain_cnn", kernel_size=5).kernel_size
    5
    """
    if name not in NETWORKS and ":" not in name:
        raise unknown_name("model model.name =", name, NETWORKS)
    if name in NETWORKS:
        build: Any = getattr(importlib.import_module(NETWORKS[name]), name)
    else:
        build = _import_network(name)
    # A config that was read back from JSON has lists for tuples.
    if ":" in name and "dtype" not in build.__dataclass_fields__:
        options.pop("dtype", None)  # it computes in a type of its own
    attributes = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    try:
        return build(**attributes)
    except TypeError as error:  # an attribute that the network does not have
        raise RequestError(f"model {name}: {error}") from None
