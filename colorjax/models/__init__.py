"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from colorjax.errors import RequestError, unknown_name
from colorjax.models.edge_fusion import EdgeFusion, edge_fusion
from colorjax.models.iizuka import Iizuka, iizuka
from colorjax.models.plain_cnn import PlainCNN, PlainDense, plain_cnn
from colorjax.models.zhang16 import Zhang16, zhang16
from colorjax.models.zhang17 import Zhang17, zhang17

NETWORKS: dict[str, Callable[..., Any]] = {
    "plain_cnn": plain_cnn,
    "iizuka": iizuka,
    "edge_fusion": edge_fusion,
    "zhang16": zhang16,
    "zhang17": zhang17,
}

__all__ = [
    "NETWORKS",
    "EdgeFusion",
    "Iizuka",
    "Network",
    "PlainCNN",
    "PlainDense",
    "Zhang16",
    "Zhang17",
    "create",
]


class Network(Protocol):
    """A Linen module that maps a dict of inputs to a dict of outputs."""

    @property
    def inputs(self) -> frozenset[str]:
        """Names of what it takes: "grey"; "hint_ab" and "hint_mask"; "edges"; "global_grey"."""
        ...

    @property
    def outputs(self) -> frozenset[str]:
        """Names of what it returns: "ab", "logits", "class_logits", ..."""
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


def create(name: str, **options: Any) -> Network:
    """Builds a network by name.

    Args:
        name: a key of `NETWORKS`.
        **options: the network's attributes.

    Returns:
        The network, not yet initialized.

    Raises:
        RequestError: unknown name (the message lists the known ones) or option.

    >>> create("plain_cnn", kernel_size=5).kernel_size
    5
    """
    if name not in NETWORKS:
        raise unknown_name("model model.name =", name, NETWORKS)
    # A config that was read back from JSON has lists for tuples.
    attributes = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    try:
        return NETWORKS[name](**attributes)
    except TypeError as error:  # an attribute that the network does not have
        raise RequestError(f"model {name}: {error}") from None
