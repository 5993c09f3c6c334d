"""Which layers learn: all of a network, its last ones, or one that was added before those."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax

from colorjax.errors import RequestError, unknown_name
from colorjax.models.convolution import Conv

NAME = "added"  # of the added layer, among the parameters
TRAIN_ONLY = ("all", "head", NAME)
_HIDDEN = 64  # channels at most: the layer is small


class AddedLayer(nn.Module):
    """A small residual block, x + conv1x1(relu(conv3x3(x))), that starts as the identity.

    The second kernel starts at zero, so a network that is given this layer predicts what it did
    before (Houlsby et al. 2019 call such layers adapters).
    """

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps float32 features (N, H, W, C) to the same shape."""
        channels = x.shape[-1]
        y = nn.relu(Conv(min(channels, _HIDDEN), name="conv1")(x, train=train))
        zeros = nn.initializers.zeros
        return x + Conv(channels, 1, kernel_init=zeros, name="conv2")(y, train=train)


def without_added(network: Any) -> Any:
    """Returns the network that has no added layer."""
    return network.clone(add_layer=False)


def trained_layers(network: Any, train_only: str) -> tuple[str, ...]:
    """Returns the top layers that learn, by their names among the parameters; empty: all.

    Args:
        network: names its last layers in `head_layers`.
        train_only: "all", "head" or "added".

    Raises:
        RequestError: another word, a network that does not name its head, or that has no added
            layer.
    """
    if train_only not in TRAIN_ONLY:
        raise unknown_name("train_only", train_only, TRAIN_ONLY)
    if train_only == "all":
        return ()
    name = type(network).__name__
    if train_only == NAME:
        if not getattr(network, "add_layer", False):
            raise RequestError(f"train_only=added needs a layer: {name} has model.add_layer=False")
        return (NAME,)
    if not getattr(network, "head_layers", ()):
        raise RequestError(
            f"train_only=head: network {name} does not name its last layers; give its class "
            "head_layers (docs/new_method.md), or train_only=all"
        )
    return tuple(network.head_layers)


def hold_still(params: dict[str, Any], trained: tuple[str, ...]) -> dict[str, Any]:
    """Cuts the gradient of all layers but the trained ones, so that none is computed."""
    return {
        name: layer if name in trained else jax.lax.stop_gradient(layer)
        for name, layer in params.items()
    }
