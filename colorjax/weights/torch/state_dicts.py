"""Networks that have a PyTorch twin with published names: state dicts of it, in and out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from flax import traverse_util
from ml_collections import ConfigDict

from colorjax.errors import RequestError
from colorjax.weights.torch import ddcolor as ddcolor_weights
from colorjax.weights.torch import deoldify as deoldify_weights
from colorjax.weights.torch import zhang as zhang_weights

State = dict[str, np.ndarray]
Variables = Mapping[str, Any]
Model = Mapping[str, Any]  # the fields of `config.model`


class Naming(NamedTuple):
    """Conversions between our variables and a state dict, both without loss.

    Attributes:
        to_torch: variables and model -> state dict, of all that the twin's strict load needs.
        to_flax: state dict and model -> variables; may empty the state dict.
        has_names: whether the twin has names for all variables of this model.
    """

    to_torch: Callable[[Variables, Model], State]
    to_flax: Callable[[State, Model], dict[str, Any]]
    has_names: Callable[[Variables, Model], bool]


def _zhang(name: str) -> Naming:
    kind = zhang_weights.KINDS[name]
    return Naming(
        lambda variables, model: zhang_weights.to_torch(kind, variables),
        lambda state, model: zhang_weights.to_flax(kind, state, model)[0],
        lambda variables, model: _has_all(variables, kind.entries),
    )


def _has_all(variables: Variables, entries: Iterable[zhang_weights.Entry]) -> bool:
    paths = {entry.path for entry in entries}
    return paths >= traverse_util.flatten_dict(dict(variables)).keys()


# `config.model.name` -> its PyTorch twin.
NAMINGS = {
    "zhang16": _zhang("zhang16"),
    "zhang17": _zhang("zhang17"),
    "ddcolor": Naming(
        ddcolor_weights.to_torch,
        lambda state, model: ddcolor_weights.to_flax(state, model)[0],
        lambda variables, model: ddcolor_weights.is_published(model),
    ),
    "deoldify": Naming(
        deoldify_weights.to_torch,
        lambda state, model: deoldify_weights.to_flax(state, model)[0],
        lambda variables, model: _has_all(
            variables, deoldify_weights.entries(model["encoder"], model["decoder"])
        ),
    ),
}


def export(config: ConfigDict, variables: Variables) -> tuple[State, dict[str, Any], list[str]]:
    """Returns weights as a state dict of the published PyTorch program.

    zhang16: the published network has no temperature, so that of the config is folded into the
    last layer, as its authors did.

    Args:
        config: of the weights.
        variables: params and batch_stats.

    Returns:
        (state dict, the fields of `config.model` for it, notices for the user).

    Raises:
        RequestError: the network has no PyTorch twin, or arrays that the twin lacks.
    """
    model = config.model.to_dict()
    name = model["name"]
    if name not in NAMINGS:
        raise RequestError(
            f"no published PyTorch program has the network {name}; --format torch-safetensors is "
            f"for {', '.join(NAMINGS)}"
        )
    notices = []
    if name == "zhang16" and model.get("head", "bins") == "bins":
        variables, model = _folded(variables, model)
    if model.get("mask_cent"):
        notices.append(
            f"these weights subtract {model['mask_cent']} from the hint mask; load them with "
            f"mask_cent={model['mask_cent']}"
        )
    if not NAMINGS[name].has_names(variables, model):
        raise RequestError(
            f"this variant of {name} has layers that the published program lacks; --format "
            "torch-safetensors is for the published variant, of any width"
        )
    state = NAMINGS[name].to_torch(variables, model)
    if name == "zhang17" and not model.get("class_head", False):
        notices.append("these weights have no class head (model_class); load with strict=False")
    return state, model, notices


def _folded(variables: Variables, model: dict[str, Any]) -> tuple[Variables, dict[str, Any]]:
    """Returns zhang16 weights whose last layer contains the temperature."""
    now, wanted = model.get("folded_temperature", 1.0), model.get("temperature", 0.38)
    if now == wanted:
        return variables, model
    if not wanted > 0:
        raise RequestError("a temperature of 0 cannot be exported; set model.temperature above 0")
    flat: dict[Any, Any] = traverse_util.flatten_dict(dict(variables))
    for path, leaf in flat.items():
        if path[:3] == ("params", "head", "logits"):
            flat[path] = np.asarray(leaf, np.float32) * np.float32(now / wanted)
    return traverse_util.unflatten_dict(flat), model | {"folded_temperature": wanted}
