"""Builds the method that a config describes."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from colorjax import color, losses, models
from colorjax.data import prior
from colorjax.data.edges import EdgeDetector
from colorjax.data.targets import TargetEncoder
from colorjax.errors import RequestError, unknown_name
from colorjax.methods.method import DECODES, Method
from colorjax.models.judges.critics import Critic, create_critic
from colorjax.models.judges.features import (
    PUBLISHED_TAP_WEIGHTS,
    FeatureNetwork,
    create_features,
)


def build_network(config: ConfigDict) -> models.Network:
    """Builds the network of `config.model` and `config.dtype`.

    Raises:
        RequestError: unknown names or options.
    """
    if config.dtype not in ("float32", "bfloat16"):
        raise RequestError(f"dtype must be float32 or bfloat16, not {config.dtype!r}")
    options = config.model.to_dict()
    return models.create(options.pop("name"), **options, dtype=jnp.dtype(config.dtype))


def build_loss(config: ConfigDict) -> losses.Loss:
    """Builds the loss of `config.loss`; reads its prior if it uses one.

    It depends on neither the network nor the data, so it can be built first: it decides the "auto"
    fields of the config.

    Raises:
        RequestError: unknown name, invalid weights, or an unreadable prior.
    """
    options = config.loss.to_dict()
    name, prior_file = options.pop("name"), options.pop("prior")
    if "prior" in losses.find(name).options:
        options["prior"] = prior.load(prior_file, "loss.prior")
    published = PUBLISHED_TAP_WEIGHTS.get(config.features.name)
    options["relative"] = published is None
    default = published or (1.0, 1.0, 1.0)
    weights = tuple(options.get("tap_weights") or default)
    if len(weights) != len(default) or not min(weights) >= 0:
        raise RequestError(
            f"loss.tap_weights must be {len(default)} numbers, at least 0, one for each layer; not "
            f"{weights}"
        )
    options["tap_weights"] = weights
    return losses.create(name, **options)


def _check_outputs(config: ConfigDict, loss: losses.Loss, network: models.Network) -> None:
    """Raises a RequestError if a loss needs an output that the network lacks."""
    if missing := loss.outputs - network.outputs:
        able = [name for name, kind in losses.LOSSES.items() if kind.outputs <= network.outputs]
        raise RequestError(
            f"loss {loss.name} needs the output {', '.join(sorted(missing))} that model "
            f"{config.model.name} lacks; usable losses: {', '.join(sorted(able))}"
        )
    if config.loss.get("compare_at") == "half" and "ab_half" not in network.outputs:
        raise RequestError(
            f"loss.compare_at=half needs a network whose output has half the size; "
            f"{config.model.name} has not: set loss.compare_at=full"
        )


def build(config: ConfigDict, *, with_loss: bool = True, loss: losses.Loss | None = None) -> Method:
    """Builds the method that a config describes.

    Args:
        config: see configs/default.py.
        with_loss: False: for prediction only; `config.loss` is ignored.
        loss: of this config; None: `build_loss` builds it.

    Raises:
        RequestError: unknown names, a loss that needs an output that the network lacks, or an image
            size that the network does not accept.
    """
    name, network = config.model.name, build_network(config)
    if with_loss:
        loss = loss or build_loss(config)
        _check_outputs(config, loss, network)
    size = config.data.image_size
    if network.fixed_size not in (None, size):
        raise RequestError(
            f"model {name} accepts only {network.fixed_size} px; set data.image_size="
            f"{network.fixed_size}, not {size}"
        )
    multiple = network.size_multiple
    if size <= 0 or size % multiple:
        raise RequestError(
            f"data.image_size must be a multiple of {multiple} for {name}, not {size}"
        )
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
        judged_saturation=config.loss.get("judged_saturation", 1.0) if with_loss else 1.0,
        frozen=tuple(getattr(network, "frozen_layers", ())),
        factors=models.layer_factors(network, config.to_dict().get("optimizer", {})),
        **_inference_options(config, network),
    )
    for layer in built.remat:
        if layer != "none" and layer not in built.layers():
            raise unknown_name("layer in remat", layer, ("none", *built.layers()))
    return built


def takes_decode(network: models.Network) -> bool:
    """Returns whether a network predicts a distribution over bins, with a decoding temperature."""
    return "bin_logits" in network.outputs and hasattr(network, "temperature")


def _inference_options(config: ConfigDict, network: models.Network) -> dict[str, Any]:
    # Configs of imported weights and of earlier versions lack the fields.
    options = {"lightness": "photo", "saturation": 1.0, "decode": "ab"}
    options |= {"bin_bias": (), "bin_temperature": 1.0}
    options |= config.to_dict().get("inference", {})
    if options["lightness"] not in ("photo", "predicted"):
        raise unknown_name("inference.lightness", options["lightness"], ("photo", "predicted"))
    if not 0 <= options["saturation"] < float("inf"):
        raise RequestError(f"inference.saturation must be at least 0, not {options['saturation']}")
    if options["decode"] not in DECODES:
        raise unknown_name("inference.decode", options["decode"], DECODES)
    if options["decode"] != "ab" and not takes_decode(network):
        raise RequestError(
            f"the network {config.model.name} predicts no color bins: set decode "
            f"(inference.decode) to ab, not {options['decode']}"
        )
    bias = tuple(map(float, options["bin_bias"]))
    if len(bias) not in (0, color.NUM_BINS) or not np.all(np.isfinite(bias)):
        raise RequestError(
            f"inference.bin_bias must be empty or {color.NUM_BINS} finite numbers, not "
            f"{len(bias)} values; `colorjax calibrate` writes it"
        )
    if not 0 < options["bin_temperature"] < float("inf"):
        raise RequestError(
            f"inference.bin_temperature must be above 0, not {options['bin_temperature']}"
        )
    return {
        "keeps_lightness": options["lightness"] == "photo",
        "saturation": options["saturation"],
        "decode": options["decode"],
        "bin_bias": bias,
        "bin_temperature": float(options["bin_temperature"]),
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
