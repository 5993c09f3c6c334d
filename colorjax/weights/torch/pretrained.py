"""Published weights for encoders and feature networks, by their names in a config."""

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
        network: has the name of its encoder layer in `pretrained_layer`, and the encoder's variant
            in `encoder`.

    Returns:
        The layer's name -> its variables, "params" and "batch_stats".

    Raises:
        RequestError: unknown name, a network without an encoder, or a missing extra for the
            weights.
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
    """Returns the variables of a config's feature network, from its published weights.

    Raises:
        RequestError: unreadable file, or missing extra.
    """
    if config.features.name == "vgg16_bn":
        return vgg_weights.read_vgg16_bn(config.features.path)
    variables = encoder_weights.read_encoder(config.features.name)
    return {kind: {"encoder": layers} for kind, layers in variables.items()}
