"""Selects the layers that learn: all, the last ones, or a layer added before the last ones."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax

from colorjax.errors import RequestError, unknown_name
from colorjax.models.blocks.convolution import Conv

NAME = "added"  # of the added layer, among the parameters
GUIDE = "guide"  # of the hint guide
TRAIN_ONLY = ("all", "head", NAME, GUIDE)
OPTIONAL = {"add_layer": NAME, "hint_guide": GUIDE}  # option of a network: layer that it adds
_HIDDEN = 64  # largest number of hidden channels


class AddedLayer(nn.Module):
    """A small residual block, x + conv1x1(relu(conv3x3(x))), initially the identity.

    The second kernel is initialized to zero, so adding this layer does not change a network's
    predictions (an adapter, Houlsby et al. 2019).
    """

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps float32 features (N, H, W, C) to the same shape."""
        channels = x.shape[-1]
        y = nn.relu(Conv(min(channels, _HIDDEN), name="conv1")(x, train=train))
        zeros = nn.initializers.zeros
        return x + Conv(channels, 1, kernel_init=zeros, name="conv2")(y, train=train)


def without_new_layers(network: Any, known: Any) -> Any:
    """Returns the network without the optional layers that other weights lack.

    Args:
        network: with or without such layers.
        known: `config.model` of the other weights.
    """
    options = [name for name in OPTIONAL if getattr(network, name, False) and not known.get(name)]
    return network.clone(**dict.fromkeys(options, False)) if options else network


def trained_layers(network: Any, train_only: str) -> tuple[str, ...]:
    """Returns the top layers that learn, by their names among the parameters; empty: all.

    Args:
        network: names its last layers in `head_layers`.
        train_only: "all", "head", "added" or "guide".

    Raises:
        RequestError: unknown value, or a network without the layer or without `head_layers`.
    """
    if train_only not in TRAIN_ONLY:
        raise unknown_name("train_only", train_only, TRAIN_ONLY)
    if train_only == "all":
        return ()
    name = type(network).__name__
    if train_only == NAME:
        if not getattr(network, "add_layer", False):
            raise RequestError(
                f"train_only=added needs an added layer in {name}; set model.add_layer=True"
            )
        return (NAME,)
    if train_only == GUIDE:
        if not getattr(network, "hint_guide", False):
            raise RequestError(
                f"train_only=guide needs a hint guide in {name}; set model.hint_guide=True"
            )
        return (GUIDE,)
    if not getattr(network, "head_layers", ()):
        raise RequestError(
            f"train_only=head: network {name} does not declare its last layers; add head_layers "
            "to its class (docs/new_method.md), or set train_only=all"
        )
    return tuple(network.head_layers)


def which_learn(
    params: dict[str, Any], trained: tuple[str, ...] = (), frozen: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Returns which layers learn, as a tree of booleans that is a prefix of the parameters' tree.

    Args:
        params: nested dicts of a network's parameters.
        trained: names of the top layers that learn; empty: all.
        frozen: paths of layers that do not learn, such as "encoder" or "encoder/stem".

    Raises:
        ValueError: unknown layer in `trained` or `frozen`.

    >>> which_learn({"encoder": {"stem": {}, "top": {}}, "head": {}}, frozen=("encoder/stem",))
    {'encoder': {'stem': False, 'top': True}, 'head': True}
    """
    marked: dict[str, Any] = {name: not trained or name in trained for name in params}
    missing = set(trained) - params.keys()
    for path in frozen:
        name, _, rest = path.partition("/")
        if name not in params:
            missing.add(path)
        elif not rest:
            marked[name] = False
        elif marked[name] is not False:
            below = [f[len(name) + 1 :] for f in frozen if f.startswith(f"{name}/")]
            marked[name] = which_learn(params[name], frozen=tuple(below))
    if missing:
        raise ValueError(f"no layers {sorted(missing)} among {sorted(params)}")
    return marked


def stop_gradients_except(
    params: dict[str, Any], trained: tuple[str, ...] = (), frozen: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Stops the gradients of layers that do not learn, so that they are not computed."""
    return jax.tree.map(
        lambda learns, layer: layer if learns else jax.lax.stop_gradient(layer),
        which_learn(params, trained, frozen),
        params,
    )


def layer_factors(network: Any, optimizer: dict[str, Any]) -> tuple[tuple[str, float], ...]:
    """Returns (path, factor on the learning rate) for a network's pretrained encoder.

    Args:
        network: names its encoder in `pretrained_layer`.
        optimizer: settings; only `encoder_factor` is used. Missing or 1: no factor.

    Raises:
        RequestError: a factor of 0 or less, or a network without a pretrained encoder.
    """
    # Imported weights have no optimizer; configs of earlier versions lack the field.
    factor = optimizer.get("encoder_factor", 1.0)
    if not factor > 0:
        raise RequestError(f"optimizer.encoder_factor must be above 0, not {factor}")
    if factor == 1:
        return ()
    encoder = getattr(network, "pretrained_layer", None)
    if encoder is None:
        raise RequestError(
            f"optimizer.encoder_factor={factor} needs a pretrained encoder, but network "
            f"{type(network).__name__} has none: set optimizer.encoder_factor=1"
        )
    return ((encoder, factor),)
