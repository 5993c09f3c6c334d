"""What a config leaves open until its loss and its data are known."""

from __future__ import annotations

import logging

from ml_collections import ConfigDict

from colorjax import losses, methods
from colorjax.errors import RequestError

log = logging.getLogger(__name__)

AUTO = "auto"


def settle(config: ConfigDict, num_classes: int) -> ConfigDict:
    """Returns a config in which nothing is open any more.

    Args:
        config: where `model.num_classes` and `features.num_classes` are below 0, and
            `model.head` is "auto", they are open.
        num_classes: of the data; 0 without labels.

    Raises:
        RequestError: the config asks for fewer classes than the data has, or a feature network has
            to be trained and the data has no labels.
    """
    config = settle_classes(settle_head(config), num_classes)
    if not _trains_features(config):
        return config
    if not num_classes:
        raise RequestError(
            f"loss {config.loss.name} compares pictures by a classifier that is trained on the "
            "same photos, and they have no labels; set data.labels, give the file of a VGG16 as "
            "features.name=vgg16_bn and features.path, or set loss.feature_weight=0"
        )
    settled = config.copy_and_resolve_references()
    settled.features.num_classes = num_classes
    return settled


def _trains_features(config: ConfigDict) -> bool:
    network = methods.build_network(config)
    needs = "features" in methods.build_loss(config, network).judges
    return needs and config.features.name == "classifier"


def settle_head(config: ConfigDict) -> ConfigDict:
    """Returns a config in which an open head is the one that the loss needs."""
    if config.model.to_dict().get("head") != AUTO:
        return config
    settled = config.copy_and_resolve_references()
    needs_bins = "bin_logits" in losses.outputs_of(config.loss.name)
    settled.model.head = "bins" if needs_bins else "ab"
    return settled


def with_classes(config: ConfigDict, num_classes: int) -> ConfigDict:
    """Returns a config in which an open number of classes (below 0) is settled."""
    if config.model.to_dict().get("num_classes", 0) >= 0:
        return config
    settled = config.copy_and_resolve_references()
    with settled.unlocked():
        can_classify = getattr(methods.build_network(config), "can_classify", False)
        settled.model.num_classes = num_classes if can_classify else 0
    return settled


def settle_classes(config: ConfigDict, num_classes: int) -> ConfigDict:
    """Gives a network with a classifier as many classes as the data has.

    Args:
        config: where `model.num_classes` is below 0 it is open.
        num_classes: of the data; 0 without labels.

    Returns:
        A config without an open number. It is 0, and the log says why, where the data has no
        labels, the network has no classifier, or it would learn nothing: by another loss, or with
        a `loss.alpha` of 0.

    Raises:
        RequestError: the config asks for fewer classes than the data has.
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
        why = f"loss {config.loss.name} teaches no classes"
    elif config.loss.name == "mse_and_class" and config.loss.alpha == 0:
        why = "loss.alpha is 0"
    settled = with_classes(config, 0 if why else num_classes)
    if not why and not settled.model.num_classes:
        why = "this network has none"
    if why:
        log.info("the classifier is off: %s", why)
    else:
        log.info("the classifier has %d classes", num_classes)
    return settled
