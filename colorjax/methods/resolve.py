"""Resolves "auto" fields of a config (head, num_classes) once loss and data are known."""

from __future__ import annotations

import logging

from ml_collections import ConfigDict

from colorjax import losses, methods
from colorjax.errors import RequestError

log = logging.getLogger(__name__)

AUTO = "auto"


def settle(config: ConfigDict, num_classes: int) -> ConfigDict:
    """Returns the config with all "auto" fields resolved.

    Args:
        config: unresolved are `model.num_classes` and `features.num_classes` below 0, and
            `model.head` "auto".
        num_classes: of the data; 0 without labels.

    Raises:
        RequestError: the config has fewer classes than the data, or a feature network must be
            trained and the data has no labels.
    """
    config = settle_classes(settle_head(config), num_classes)
    if not _trains_features(config):
        return config
    if not num_classes:
        raise RequestError(
            f"loss {config.loss.name} compares pictures with a classifier that is trained on the "
            "same photos, but they have no labels; set data.labels, use a VGG16 with "
            "features.name=vgg16_bn and features.path, or set loss.feature_weight=0"
        )
    resolved = config.copy_and_resolve_references()
    resolved.features.num_classes = num_classes
    return resolved


def _trains_features(config: ConfigDict) -> bool:
    network = methods.build_network(config)
    needs = "features" in methods.build_loss(config, network).judges
    return needs and config.features.name == "classifier"


def settle_head(config: ConfigDict) -> ConfigDict:
    """Returns the config with `model.head` "auto" replaced by the head that the loss needs."""
    if config.model.to_dict().get("head") != AUTO:
        return config
    resolved = config.copy_and_resolve_references()
    needs_bins = "bin_logits" in losses.outputs_of(config.loss.name)
    resolved.model.head = "bins" if needs_bins else "ab"
    return resolved


def with_classes(config: ConfigDict, num_classes: int) -> ConfigDict:
    """Returns the config with a number of classes below 0 replaced by the given one."""
    if config.model.to_dict().get("num_classes", 0) >= 0:
        return config
    resolved = config.copy_and_resolve_references()
    with resolved.unlocked():
        can_classify = getattr(methods.build_network(config), "can_classify", False)
        resolved.model.num_classes = num_classes if can_classify else 0
    return resolved


def settle_classes(config: ConfigDict, num_classes: int) -> ConfigDict:
    """Sets the number of classes of a network's classifier to that of the data.

    Args:
        config: `model.num_classes` below 0 is unresolved.
        num_classes: of the data; 0 without labels.

    Returns:
        The config with the number resolved. It is 0, and the log says why, if the data has no
        labels, the network has no classifier, or the loss does not train it (another loss, or
        `loss.alpha` 0).

    Raises:
        RequestError: the config has fewer classes than the data.
    """
    asked = config.model.to_dict().get("num_classes", 0)
    if 0 < asked < num_classes:
        raise RequestError(
            f"model.num_classes={asked}, but the data has {num_classes}; set model.num_classes=-1, "
            "or 0 for no classifier"
        )
    if asked >= 0:
        return config
    why = ""
    if not num_classes:
        why = "the data has no labels"
    elif config.loss.name not in losses.TEACHES_CLASSES:
        why = f"loss {config.loss.name} trains no classifier"
    elif config.loss.name == "mse_and_class" and config.loss.alpha == 0:
        why = "loss.alpha is 0"
    resolved = with_classes(config, 0 if why else num_classes)
    if not why and not resolved.model.num_classes:
        why = "this network has no classifier"
    if why:
        log.info("the classifier is off: %s", why)
    else:
        log.info("the classifier has %d classes", num_classes)
    return resolved
