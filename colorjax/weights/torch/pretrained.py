"""Published weights for encoders and feature networks, by their names in a config."""

from __future__ import annotations

from typing import Any

from ml_collections import ConfigDict

from colorjax.errors import RequestError, unknown_name
from colorjax.models import Network
from colorjax.models.encoders import convnext
from colorjax.models.judges.features import PUBLISHED_TAP_WEIGHTS
from colorjax.weights.torch import ddcolor as ddcolor_weights
from colorjax.weights.torch import encoders as encoder_weights
from colorjax.weights.torch import vgg as vgg_weights

ENCODERS = ("imagenet",)


def read_encoder(name: str, network: Network) -> dict[str, Any]:
    """Reads the published weights of a network's encoder.

    Args:
        name: `config.init_encoder`, not empty: "imagenet"; for ConvNeXt the path of a file.
        network: has the name of its encoder layer in `pretrained_layer`, and the encoder's variant
            in `encoder`.

    Returns:
        The layer's name -> its variables, "params" and, where it has them, "batch_stats".

    Raises:
        RequestError: unknown name, a network without an encoder, a missing extra for the
            weights, or an unusable file.
    """
    layer = getattr(network, "pretrained_layer", None)
    encoder = getattr(network, "encoder", "")
    if layer is not None and encoder in convnext.VARIANTS:
        return {layer: ddcolor_weights.read_convnext(name, encoder)}
    if name not in ENCODERS:
        raise unknown_name("init_encoder", name, ENCODERS)
    if layer is None:
        raise RequestError(
            f"init_encoder={name}: the network {type(network).__name__} has no encoder with "
            "published weights; set init_encoder=''"
        )
    return {layer: encoder_weights.read_encoder(encoder)}


def read_features(config: ConfigDict) -> dict[str, Any]:
    """Returns the variables of a config's feature network, from its published weights.

    Raises:
        RequestError: unreadable file, or missing extra.
    """
    if config.features.name in PUBLISHED_TAP_WEIGHTS:  # of the same file
        return vgg_weights.read_vgg16_bn(config.features.path)
    variables = encoder_weights.read_encoder(config.features.name)
    return {kind: {"encoder": layers} for kind, layers in variables.items()}
