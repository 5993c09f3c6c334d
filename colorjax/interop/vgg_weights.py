"""The published weights of VGG16 with BatchNorm: from torchvision's names and axes to ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from colorjax.errors import RequestError
from colorjax.interop import torch_file
from colorjax.models.features import VGG16_STAGES, Vgg16Features

FILE = "vgg16_bn-6c64b313.pth"  # as torchvision publishes it
_LISTED = 6  # names that an error spells out
_PLACES = {  # name in the file: collection and name in our BatchNorm
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}

_Path = tuple[str, ...]


def read_vgg16_bn(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads torchvision's state dict of vgg16_bn, without PyTorch and without executing the file.

    Args:
        path: the published file, vgg16_bn-6c64b313.pth, or another one with its arrays;
            "features.0.weight" and so on. The classifier is left out.

    Returns:
        params and batch_stats of `Vgg16Features`, NumPy float32.

    Raises:
        RequestError: no path; a file that cannot be read or is refused; arrays that are missing or
            have another shape, which the message lists.
    """
    if not os.fspath(path):
        raise RequestError(f"features.path is empty; set it to the file of vgg16_bn ({FILE})")
    state = torch_file.read_state_dict(path)
    shapes = _shapes()
    found, missing, misshapen = {}, [], []
    for name, place in _entries():
        if name not in state:
            missing.append(name)
            continue
        array = np.asarray(state[name], np.float32)
        if array.ndim == 4:  # (O, I, K, K) -> (K, K, I, O)
            array = np.ascontiguousarray(array.transpose(2, 3, 1, 0))
        if array.shape == shapes[place]:
            found[place] = array
        else:
            wanted = _as_in_the_file(shapes[place])
            misshapen.append(f"{name} {state[name].shape}, not {wanted}")
    if missing or misshapen:
        parts = [("missing", missing), ("of another shape", misshapen)]
        text = "; ".join(f"{len(names)} {what}: {_list(names)}" for what, names in parts if names)
        raise RequestError(
            f"{str(path)!r} has no weights of vgg16_bn: {text}; give torchvision's file {FILE}"
        )
    assert found.keys() == shapes.keys()
    return traverse_util.unflatten_dict(found)


def _entries() -> Iterator[tuple[str, _Path]]:
    """Returns each array's name in the file and its path in our variables.

    The file counts all layers from 0: three for a convolution, its BatchNorm and ReLU; one a pool.
    """
    index = 0
    for stage, (_, layers) in enumerate(VGG16_STAGES, start=1):
        for number in range(1, layers + 1):
            layer = f"layer{stage}_{number}"
            yield f"features.{index}.weight", ("params", layer, "conv", "kernel")
            yield f"features.{index}.bias", ("params", layer, "conv", "bias")
            for name, (collection, ours) in _PLACES.items():
                yield f"features.{index + 1}.{name}", (collection, layer, "norm", "norm", ours)
            index += 3
        index += 1


def _shapes() -> dict[_Path, tuple[int, ...]]:
    size = Vgg16Features.smallest_size
    blank = jax.ShapeDtypeStruct((1, size, size, 3), np.float32)
    variables = jax.eval_shape(lambda rgb: Vgg16Features().init(jax.random.key(0), rgb), blank)
    flat: dict[_Path, Any] = traverse_util.flatten_dict(variables)
    return {path: leaf.shape for path, leaf in flat.items()}


def _as_in_the_file(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
