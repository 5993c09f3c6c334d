"""Resolves "auto" fields of a config (head, num_classes) once loss and data are known."""

from __future__ import annotations

from ml_collections import ConfigDict

from colorjax import losses, models
from colorjax.errors import RequestError

AUTO = "auto"


def resolve_head(config: ConfigDict) -> ConfigDict:
    """Returns the config with `model.head` "auto" replaced by the head that the loss needs.

    Raises:
        RequestError: unknown loss.
    """
    resolved = config.copy_and_resolve_references()
    if resolved.model.get("head") == AUTO:
        needs_bins = "bin_logits" in losses.find(config.loss.name).outputs
        resolved.model.head = "bins" if needs_bins else "ab"
    return resolved


def resolve(config: ConfigDict, num_classes: int) -> ConfigDict:
    """Returns the config with all "auto" fields resolved; builds nothing.

    `model.head` becomes that of `resolve_head`. A `model.num_classes` below 0 becomes
    that of the data, or 0 as `why_no_classifier` says. `features.num_classes` becomes that of the
    data if a feature network is trained.

    Args:
        config: see configs/default.py.
        num_classes: of the data; 0 without labels.

    Raises:
        RequestError: unknown loss or network, the config has fewer classes than the data, or a
            feature network must be trained and the data has no labels.
    """
    resolved = resolve_head(config)
    model = resolved.model
    if model.get("num_classes", 0) < 0:
        model.num_classes = 0 if why_no_classifier(config, num_classes) else num_classes
    elif 0 < model.get("num_classes", 0) < num_classes:
        raise RequestError(
            f"model.num_classes={model.num_classes}, but the data has {num_classes}; set "
            "model.num_classes=-1, or 0 for no classifier"
        )
    if trains_features(config):
        if not num_classes:
            raise RequestError(
                f"loss {config.loss.name} compares pictures with a classifier that is trained on "
                "the same photos, but they have no labels; set data.labels, use a VGG16 with "
                "features.name=vgg16_bn and features.path, or set loss.feature_weight=0"
            )
        resolved.features.num_classes = num_classes
    return resolved


def why_no_classifier(config: ConfigDict, num_classes: int) -> str:
    """Returns why a network has no classifier if `model.num_classes` is below 0; empty: it has one.

    Args:
        config: see configs/default.py.
        num_classes: of the data; 0 without labels.
    """
    if not num_classes:
        return "the data has no labels"
    if config.loss.name not in losses.TEACHES_CLASSES:
        return f"loss {config.loss.name} trains no classifier"
    if config.loss.name == "mse_and_class" and config.loss.alpha == 0:
        return "loss.alpha is 0"
    options = config.model.to_dict()
    if not models.can_classify(options["name"], options):
        return "this network has no classifier"
    return ""


def trains_features(config: ConfigDict) -> bool:
    """Returns whether the loss needs a feature network that is trained on the same photos."""
    judges = losses.judges_of(**config.loss)
    return "features" in judges and config.features.name == "classifier"
