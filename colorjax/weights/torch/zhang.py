"""Published weights of Zhang et al. 2016 and 2017, converted between PyTorch's and our layout.

The mapping is a list of entries: a name in the file, a path in our variables, and the transforms
between them. `to_flax` and `to_torch` apply it in both directions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import traverse_util

from colorjax import models
from colorjax.errors import RequestError, unknown_name

State = dict[str, np.ndarray]  # a PyTorch state dict
_LISTED = 6  # largest number of names in an error
_CHANNELS = {"gray": 1, "hint_ab": 2, "hint_mask": 1}


class Transform(NamedTuple):
    """Conversion of one array, in both directions."""

    to_flax: Callable[[np.ndarray], np.ndarray]
    to_torch: Callable[[np.ndarray], np.ndarray]


CONV = Transform(lambda w: w.transpose(2, 3, 1, 0), lambda k: k.transpose(3, 2, 0, 1))
# The taps of our transposed convolution (as in flax.linen.ConvTranspose) are PyTorch's, flipped.
_UP_CONV = Transform(
    lambda w: w[:, :, ::-1, ::-1].transpose(2, 3, 0, 1),
    lambda k: k.transpose(2, 3, 0, 1)[:, :, ::-1, ::-1],
)
VECTOR = Transform(lambda v: v, lambda v: v)
_CENTERS = Transform(lambda w: w[:, :, 0, 0].T, lambda c: c.T[:, :, None, None])


class Entry(NamedTuple):
    """One array: its name in the file, its path in our variables, and the transforms."""

    name: str
    path: tuple[str, ...]
    transform: Transform


@dataclasses.dataclass(frozen=True)
class Kind:
    """One published network.

    Attributes:
        model: the fields of `config.model` for its weights.
        file: name of the published file.
        sha256: of the published file.
        entries: the arrays.
    """

    model: dict[str, Any]
    file: str
    sha256: str
    entries: tuple[Entry, ...]


def _conv(name: str, path: str, transform: Transform = CONV) -> Iterator[Entry]:
    module = ("params", *path.split("/"))
    yield Entry(f"{name}.weight", (*module, "kernel"), transform)
    yield Entry(f"{name}.bias", (*module, "bias"), VECTOR)


def _norm(name: str, path: str) -> Iterator[Entry]:
    module = (*path.split("/"), "norm", "norm")
    yield Entry(f"{name}.weight", ("params", *module, "scale"), VECTOR)
    yield Entry(f"{name}.bias", ("params", *module, "bias"), VECTOR)
    yield Entry(f"{name}.running_mean", ("batch_stats", *module, "mean"), VECTOR)
    yield Entry(f"{name}.running_var", ("batch_stats", *module, "var"), VECTOR)


def _block(number: int, convs: int, *, first: int = 0, norm: bool = True) -> Iterator[Entry]:
    """Yields the entries of a block; the file numbers its layers from 0, with activations."""
    for index in range(convs):
        yield from _conv(f"model{number}.{first + 2 * index}", f"block{number}/conv{index + 1}")
    if norm:
        yield from _norm(f"model{number}.{first + 2 * convs}", f"block{number}")


def _trunk() -> Iterator[Entry]:
    for number, convs in enumerate((2, 2, 3, 3, 3, 3, 3), start=1):
        yield from _block(number, convs)


def _zhang16() -> Iterator[Entry]:
    yield from _trunk()
    yield from _conv("model8.0", "up8", _UP_CONV)
    yield from _block(8, 2, first=2, norm=False)
    yield from _conv("model8.6", "head/logits")
    yield Entry("model_out.weight", ("params", "head", "centers"), _CENTERS)


def _zhang17() -> Iterator[Entry]:
    yield from _trunk()
    for number, skip in ((8, 3), (9, 2), (10, 1)):
        yield from _conv(f"model{number}up.0", f"up{number}", _UP_CONV)
        yield from _conv(f"model{skip}short{number}.0", f"short{number}")
    yield from _block(8, 2, first=1)
    yield from _block(9, 1, first=1)
    yield from _block(10, 1, first=1, norm=False)
    yield from _conv("model_class.0", "class_head")
    yield from _conv("model_out.0", "head")


KINDS = {
    "zhang16": Kind(
        {
            "name": "zhang16",
            "width": 1.0,
            "head": "bins",
            "temperature": 0.38,
            "folded_temperature": 0.38,
        },
        "colorization_release_v2-9b330a0b.pth",
        "9b330a0bae53f4ded77b1e23defbf78beaa09c10ebc4c4999e8e4f4a160b93f9",
        tuple(_zhang16()),
    ),
    "zhang17": Kind(
        {"name": "zhang17", "width": 1.0, "mask_cent": 0.0, "class_head": True, "learns": "both"},
        "siggraph17-df00044c.pth",
        "df00044c0a4d7c3edcecf6f75437ce346a66e7a42612d9b968e1a7e17dbc6f66",
        tuple(_zhang17()),
    ),
}


def kind_of(name: str) -> Kind:
    """Returns a published network by name.

    Raises:
        RequestError: unknown name; the message lists the known ones.
    """
    if name not in KINDS:
        raise unknown_name("kind of weights", name, KINDS)
    return KINDS[name]


def to_flax(
    kind: Kind, state: Mapping[str, np.ndarray], model: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Turns a PyTorch state dict into our variables.

    Args:
        kind: expected network.
        state: arrays by PyTorch's names; the counters num_batches_tracked are ignored.
        model: fields of `config.model`, as in `kind.model`.

    Returns:
        (variables: params and batch_stats, float32; unused names in the file).

    Raises:
        RequestError: missing arrays or wrong shapes; the message lists them.
    """
    wanted = _shapes(model)
    entries = [entry for entry in kind.entries if entry.path in wanted]
    arrays, missing, misshapen = {}, [], []
    for name, path, transform in entries:
        shape = transform.to_torch(np.empty(wanted[path], np.bool_)).shape
        if name not in state:
            missing.append(name)
        elif state[name].shape != shape:
            misshapen.append(f"{name} {state[name].shape}, not {shape}")
        else:
            array = transform.to_flax(np.asarray(state[name], np.float32))
            arrays[path] = np.ascontiguousarray(array)
    if missing or misshapen:
        parts = [("missing", missing), ("of another shape", misshapen)]
        text = "; ".join(f"{len(names)} {what}: {_list(names)}" for what, names in parts if names)
        raise RequestError(f"these are not weights of {model['name']}: {text}")
    assert arrays.keys() == wanted.keys()
    used = {entry.name for entry in entries}
    unused = [n for n in state if n not in used and not n.endswith("num_batches_tracked")]
    return traverse_util.unflatten_dict(arrays), unused


def to_torch(kind: Kind, variables: Mapping[str, Any]) -> State:
    """Turns our variables into a PyTorch state dict, without num_batches_tracked.

    Args:
        kind: of the network.
        variables: params and batch_stats.

    Returns:
        Arrays by PyTorch's names, float32.
    """
    flat = traverse_util.flatten_dict(variables)
    return {
        name: np.ascontiguousarray(transform.to_torch(np.asarray(flat[path], np.float32)))
        for name, path, transform in kind.entries
        if path in flat
    }


def _shapes(model: Mapping[str, Any]) -> dict[tuple[str, ...], tuple[int, ...]]:
    options = dict(model)
    network = models.create(options.pop("name"), **options)
    blank = {
        name: jax.ShapeDtypeStruct((1, 8, 8, _CHANNELS[name]), np.float32)
        for name in network.inputs
    }
    variables = jax.eval_shape(
        lambda inputs: network.init(jax.random.key(0), inputs, train=False), blank
    )
    flat: dict[tuple[str, ...], Any] = traverse_util.flatten_dict(variables)
    return {path: leaf.shape for path, leaf in flat.items()}


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
