"""Resolves "auto" fields of a config (head, num_classes) once loss and data are known."""

from __future__ import annotations

from ml_collections import ConfigDict

from colorjax import methods, models
from colorjax.errors import RequestError
from colorjax.losses import Loss

AUTO = "auto"


def resolve(config: ConfigDict, num_classes: int, loss: Loss | None = None) -> ConfigDict:
    """Returns the config with all "auto" fields resolved; no network is built.

    `model.head` becomes that of `resolve_head`. A `model.num_classes` below 0 becomes that of the
    data, or 0 as `why_no_classifier` says. `features.num_classes` becomes that of the data if a
    feature network is trained.

    Args:
        config: see configs/default.py.
        num_classes: of the data; 0 without labels.
        loss: of this config; None: `methods.build_loss` builds it.

    Raises:
        RequestError: invalid loss, the config has fewer classes than the data, or a feature network
            must be trained and the data has no labels.
    """
    loss = loss or methods.build_loss(config)
    resolved = resolve_head(config, loss)
    model = resolved.model
    if model.get("num_classes", 0) < 0:
        model.num_classes = 0 if why_no_classifier(config, num_classes, loss) else num_classes
    elif 0 < model.get("num_classes", 0) < num_classes:
        raise RequestError(
            f"model.num_classes={model.num_classes}, but the data has {num_classes}; set "
            "model.num_classes=-1, or 0 for no classifier"
        )
    if trains_features(config, loss):
        if not num_classes:
            raise RequestError(
                f"loss {loss.name} compares pictures with a classifier that is trained on the same "
                "photos, but they have no labels; set data.labels, use a VGG16 with "
                "features.name=vgg16_bn and features.path, or set loss.feature_weight=0"
            )
        resolved.features.num_classes = num_classes
    return resolved


def needs_classes(config: ConfigDict, loss: Loss) -> bool:
    """Returns whether `resolve` uses the number of classes of the data."""
    return config.model.get("num_classes", 0) != 0 or trains_features(config, loss)


def resolve_head(config: ConfigDict, loss: Loss) -> ConfigDict:
    """Returns the config with `model.head` "auto" replaced by the head that the loss needs."""
    resolved = config.copy_and_resolve_references()
    if resolved.model.get("head") == AUTO:
        resolved.model.head = "bins" if "bin_logits" in loss.outputs else "ab"
    return resolved


def why_no_classifier(config: ConfigDict, num_classes: int, loss: Loss) -> str:
    """Returns why a network has no classifier if `model.num_classes` is below 0; empty: it has one.

    Args:
        config: see configs/default.py.
        num_classes: of the data; 0 without labels.
        loss: of this config.
    """
    if not num_classes:
        return "the data has no labels"
    if "class_cross_entropy" not in loss.weights:
        return f"loss {loss.name} trains no classifier"
    if not loss.weights["class_cross_entropy"]:
        return "loss.alpha is 0"
    options = config.model.to_dict()
    if not models.can_classify(options["name"], options):
        return "this network has no classifier"
    return ""


def trains_features(config: ConfigDict, loss: Loss) -> bool:
    """Returns whether the loss needs a feature network that is trained on the same photos."""
    return "features" in loss.judges and config.features.name == "classifier"
