"""Published weights of VGG16 with BatchNorm, converted from torchvision's names and axes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from colorjax.errors import RequestError
from colorjax.models.judges.features import VGG16_STAGES, Vgg16Features
from colorjax.weights.torch import arrays as torch_arrays
from colorjax.weights.torch import file as torch_file

FILE = "vgg16_bn-6c64b313.pth"  # as torchvision publishes it
_BATCH_NORM = {  # name in the file: collection and name in our BatchNorm
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}


def read_vgg16_bn(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads torchvision's state dict of vgg16_bn, without PyTorch and without executing the file.

    Args:
        path: the published file, vgg16_bn-6c64b313.pth, or another one with the same arrays:
            "features.0.weight" and so on. The classifier is ignored.

    Returns:
        params and batch_stats of `Vgg16Features`, NumPy float32.

    Raises:
        RequestError: empty path; unreadable or refused file; missing or misshapen arrays, which the
            message lists.
    """
    if not os.fspath(path):
        raise RequestError(f"features.path is empty; set it to the file of vgg16_bn ({FILE})")
    state = torch_file.read_state_dict(path)
    size = Vgg16Features.smallest_size
    shapes = torch_arrays.shapes_of(Vgg16Features(), (1, size, size, 3))
    what, fix = f"{str(path)!r} has no weights of vgg16_bn", f"give torchvision's file {FILE}"
    return torch_arrays.to_variables(state, _entries(), shapes, what, fix)


def _entries() -> Iterator[tuple[str, torch_arrays.Path]]:
    """Returns each array's name in the file and its path in our variables.

    The file numbers all layers from 0: three for convolution, BatchNorm and ReLU; one for a pool.
    """
    index = 0
    for stage, (_, layers) in enumerate(VGG16_STAGES, start=1):
        for number in range(1, layers + 1):
            layer = f"layer{stage}_{number}"
            yield f"features.{index}.weight", ("params", layer, "conv", "kernel")
            yield f"features.{index}.bias", ("params", layer, "conv", "bias")
            for name, (collection, ours) in _BATCH_NORM.items():
                yield f"features.{index + 1}.{name}", (collection, layer, "norm", "norm", ours)
            index += 3
        index += 1
