"""Builds the method that a config describes."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from colorjax import losses, models
from colorjax.data import prior
from colorjax.data.edges import EdgeDetector
from colorjax.data.targets import TargetEncoder
from colorjax.errors import RequestError, unknown_name
from colorjax.methods.method import DECODES, Method
from colorjax.models.judges.critics import Critic, create_critic
from colorjax.models.judges.features import FeatureNetwork, create_features


def build_network(config: ConfigDict) -> models.Network:
    """Builds the network of `config.model` and `config.dtype`.

    Raises:
        RequestError: unknown names or options.
    """
    if config.dtype not in ("float32", "bfloat16"):
        raise RequestError(f"dtype is float32 or bfloat16, not {config.dtype!r}")
    options = config.model.to_dict()
    return models.create(options.pop("name"), **options, dtype=jnp.dtype(config.dtype))


def build_loss(config: ConfigDict, network: models.Network) -> losses.Loss:
    """Builds the loss of `config.loss`; reads its prior where it has one.

    Raises:
        RequestError: unknown name, a loss that needs what the network does not give, or a prior
            that cannot be read.
    """
    options = config.loss.to_dict()
    name, prior_file = options.pop("name"), options.pop("prior")
    missing = losses.outputs_of(name) - network.outputs
    if missing:
        able = [known for known in losses.LOSSES if losses.outputs_of(known) <= network.outputs]
        raise RequestError(
            f"loss {name} needs the output {', '.join(sorted(missing))} that model "
            f"{config.model.name} does not give; losses for it: {', '.join(sorted(able))}"
        )
    if losses.takes_prior(name):
        options["prior"] = prior.load(prior_file)
    is_published = config.features.name == "vgg16_bn"
    options["relative"] = not is_published
    if not options.get("tap_weights"):
        options["tap_weights"] = (20.0, 70.0, 10.0) if is_published else (1.0, 1.0, 1.0)
    weights = tuple(options["tap_weights"])
    if len(weights) != 3 or not min(weights) >= 0:
        raise RequestError(
            f"loss.tap_weights are three numbers, at least 0, one for each layer; not {weights}"
        )
    if options.get("compare_at") == "half" and "ab_half" not in network.outputs:
        raise RequestError(
            f"loss.compare_at=half needs a network that ends at half size; {config.model.name} "
            "does not: set loss.compare_at=full"
        )
    return losses.create(name, **options)


def build(config: ConfigDict, *, with_loss: bool = True) -> Method:
    """Builds the method that a config describes.

    Args:
        config: see configs/default.py.
        with_loss: False: for prediction alone; `config.loss` is not looked at.

    Raises:
        RequestError: unknown names, a loss that needs what the network does not give, or an image
            size that the network cannot take.
    """
    name, network = config.model.name, build_network(config)
    loss = build_loss(config, network) if with_loss else None
    size = config.data.image_size
    if network.fixed_size not in (None, size):
        raise RequestError(
            f"model {name} takes {network.fixed_size} px alone; set data.image_size="
            f"{network.fixed_size}, not {size}"
        )
    multiple = network.size_multiple
    if size <= 0 or size % multiple:
        raise RequestError(f"data.image_size is a multiple of {multiple} for {name}, not {size}")
    judges = loss.judges if loss else frozenset()
    built = Method(
        network,
        loss,
        TargetEncoder.from_config(config.data),
        EdgeDetector.from_config(config.data),
        size,
        critic=_build_critic(config) if "critic" in judges else None,
        features=_build_features(config) if "features" in judges else None,
        remat=tuple(config.get("remat") or ()),
        trains=models.trained_layers(network, config.get("train_only") or "all"),
        global_hints=config.data.get("global_hints", 0.0),
        frozen=tuple(getattr(network, "frozen_layers", ())),
        factors=models.layer_factors(network, config.to_dict().get("optimizer", {})),
        **_inference_options(config, network),
    )
    for layer in built.remat:
        if layer != "none" and layer not in built.layers():
            raise unknown_name("layer in remat", layer, ("none", *built.layers()))
    return built


def takes_decode(network: models.Network) -> bool:
    """Whether a network has a distribution over bins, and a temperature to decode it with."""
    return "bin_logits" in network.outputs and hasattr(network, "temperature")


def _inference_options(config: ConfigDict, network: models.Network) -> dict[str, Any]:
    # Configs of imported weights and of earlier versions lack the fields.
    found = {"lightness": "photo", "saturation": 1.0, "decode": "ab"}
    found |= config.to_dict().get("inference", {})
    if found["lightness"] not in ("photo", "predicted"):
        raise unknown_name("inference.lightness", found["lightness"], ("photo", "predicted"))
    if not 0 <= found["saturation"] < float("inf"):
        raise RequestError(f"inference.saturation is at least 0, not {found['saturation']}")
    if found["decode"] not in DECODES:
        raise unknown_name("inference.decode", found["decode"], DECODES)
    if found["decode"] != "ab" and not takes_decode(network):
        raise RequestError(
            f"the network {config.model.name} predicts no color bins: leave decode "
            f"(inference.decode) at ab, not {found['decode']}"
        )
    return {
        "keeps_lightness": found["lightness"] == "photo",
        "saturation": found["saturation"],
        "decode": found["decode"],
    }


def _build_critic(config: ConfigDict) -> Critic:
    options = config.critic.to_dict()
    dtype = jnp.dtype(config.dtype)
    return create_critic(options.pop("name"), size=config.data.image_size, **options, dtype=dtype)


def _build_features(config: ConfigDict) -> FeatureNetwork:
    trained_here = {
        "num_classes": max(1, config.features.num_classes),
        "width": config.features.width,
    }
    options = trained_here if config.features.name == "classifier" else {}
    return create_features(config.features.name, **options)
