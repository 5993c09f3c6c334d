"""Registry of networks."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import flax.linen as nn

from colorjax.errors import RequestError, unknown_name
from colorjax.models.blocks.added_layer import (
    layer_factors,
    stop_gradients_except,
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
    "ddcolor": "colorjax.models.ddcolor",
    "deoldify": "colorjax.models.deoldify",
}

__all__ = [
    "NETWORKS",
    "Network",
    "can_classify",
    "convolutions",
    "create",
    "find",
    "layer_factors",
    "stop_gradients_except",
    "trained_layers",
    "which_learn",
    "without_new_layers",
]


# Networks with a classifier, and the options that it needs.
_CLASSIFIERS: dict[str, Mapping[str, Any]] = {
    "iizuka": {},
    "edge_fusion": {"global_branch": "iizuka"},
}
_ATTRIBUTES = {"inputs", "outputs", "size_multiple", "fixed_size", "fit"}


class Network(Protocol):
    """A Linen module that maps a dict of inputs to a dict of outputs."""

    @property
    def inputs(self) -> frozenset[str]:
        """Names of the inputs: "gray", and others that `Method.predict` describes."""
        ...

    @property
    def outputs(self) -> frozenset[str]:
        """Names of the outputs: "ab", "color", "logits", "class_logits", ..."""
        ...

    @property
    def size_multiple(self) -> int:
        """Heights and widths must be multiples of this, in pixels."""
        ...

    @property
    def fixed_size(self) -> int | None:
        """The only accepted height and width, in pixels; None: any multiple."""
        ...

    @property
    def fit(self) -> str:
        """How a photo is fitted to such a size: "pad" (edge pixels, cropped back) or "resize"."""
        ...

    def init(self, rngs: Any, inputs: dict[str, Any], *, train: bool) -> Any:
        """Returns fresh variables."""
        ...

    def apply(self, variables: Any, inputs: dict[str, Any], **options: Any) -> Any:
        """Returns the outputs; with `mutable=[...]`, (outputs, updated collections)."""
        ...


def _import_network(name: str) -> Any:
    """Returns the class of "MODULE:CLASS"; refuses anything but a Linen module, without a call."""
    module, _, attribute = name.partition(":")
    try:
        network = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise RequestError(
            f"model.name={name!r} cannot be imported ({error}); give a class as MODULE:CLASS, and "
            "run where Python can import the module, or set PYTHONPATH"
        ) from None
    if not (isinstance(network, type) and issubclass(network, nn.Module)):
        raise RequestError(f"model.name={name!r} is not a flax.linen.Module")
    missing = sorted(_ATTRIBUTES - set(dir(network)))
    if missing:
        raise RequestError(f"network {name} lacks {', '.join(missing)}; see docs/new_method.md")
    return network


def find(name: str) -> Callable[..., Any]:
    """Returns what builds a network: a function of its attributes.

    Args:
        name: as of `create`.

    Raises:
        RequestError: unknown name; the message lists the known ones.
    """
    if ":" in name:
        return _import_network(name)
    if name not in NETWORKS:
        raise unknown_name("model model.name =", name, NETWORKS)
    return getattr(importlib.import_module(NETWORKS[name]), name)


def can_classify(name: str, options: Mapping[str, Any]) -> bool:
    """Returns whether a network has a classifier with these options, without building it.

    Args:
        name: as of `create`; a class of your own has an attribute `can_classify`.
        options: the network's attributes.
    """
    if ":" in name:
        return bool(getattr(find(name), "can_classify", False))
    needed = _CLASSIFIERS.get(name)
    return needed is not None and all(options.get(key) == needed[key] for key in needed)


def create(name: str, **options: Any) -> Network:
    """Builds a network by name.

    Args:
        name: a key of `NETWORKS`; or "MODULE:CLASS", an importable Linen module of your own
            (docs/new_method.md).
        **options: the network's attributes.

    Returns:
        The network, not yet initialized.

    Raises:
        RequestError: unknown name (the message lists the known ones) or option.

    >>> create("plain_cnn", kernel_size=5).kernel_size
    5
    """
    build: Any = find(name)
    # A config read from JSON has lists instead of tuples.
    if ":" in name and "dtype" not in build.__dataclass_fields__:
        options.pop("dtype", None)  # it has a fixed type
    attributes = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    try:
        return build(**attributes)
    except TypeError as error:  # an attribute that the network does not have
        raise RequestError(f"model {name}: {error}") from None
