"""Published weights from which parts of a training start, by the names in a config."""

from __future__ import annotations

from typing import Any

from ml_collections import ConfigDict

from colorjax.errors import RequestError, unknown_name
from colorjax.models import Network
from colorjax.weights.torch import encoders as encoder_weights
from colorjax.weights.torch import vgg as vgg_weights

ENCODERS = ("imagenet",)


def read_encoder(name: str, network: Network) -> dict[str, Any]:
    """Reads the published weights of a network's encoder.

    Args:
        name: `config.init_encoder`, not empty.
        network: says in `pretrained_layer` which of its layers is the encoder, and in `encoder`
            which one.

    Returns:
        The layer's name -> its variables, "params" and "batch_stats".

    Raises:
        RequestError: unknown name, a network without an encoder, or the extra that holds the
            weights is not installed.
    """
    if name not in ENCODERS:
        raise unknown_name("init_encoder", name, ENCODERS)
    layer = getattr(network, "pretrained_layer", None)
    if layer is None:
        raise RequestError(
            f"init_encoder={name}: the network {type(network).__name__} has no encoder with "
            "published weights; set init_encoder=''"
        )
    return {layer: encoder_weights.read_encoder(network.encoder)}  # pyrefly: ignore


def read_features(config: ConfigDict) -> dict[str, Any]:
    """Reads the published weights of the feature network that a config names.

    Returns:
        Its variables.

    Raises:
        RequestError: a file that cannot be read, or an extra that is not installed.
    """
    if config.features.name == "vgg16_bn":
        return vgg_weights.read_vgg16_bn(config.features.path)
    found = encoder_weights.read_encoder(config.features.name)
    return {kind: {"encoder": layers} for kind, layers in found.items()}
