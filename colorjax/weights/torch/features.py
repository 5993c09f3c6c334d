"""Weights of networks for metrics: InceptionV3, VGG16 and LPIPS, from the user's files.

The files are published by torchvision, pytorch-fid and lpips. They are read without PyTorch;
nothing in them is executed. colorjax includes none of them and never substitutes one.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np

from colorjax.errors import RequestError
from colorjax.models.judges import alexnet, inception_v3, vgg16
from colorjax.weights.torch import arrays as torch_arrays
from colorjax.weights.torch import file as torch_file

# Published files by the start of their SHA-256, which most of their names contain.
PUBLISHED = {
    "6726825d": "pt_inception-2015-12-05-6726825d.pth (pytorch-fid)",
    "0cc3c7bd": "inception_v3_google-0cc3c7bd.pth (torchvision)",
    "1a9a5a14": "inception_v3_google-1a9a5a14.pth (torchvision, earlier)",
    "397923af": "vgg16-397923af.pth (torchvision)",
    "7be5be79": "alexnet-owt-7be5be79.pth (torchvision)",
    "4df8aa71": "alexnet-owt-4df8aa71.pth (torchvision, earlier)",
    "df73285e": "weights/v0.1/alex.pth (lpips)",
    "a78928a0": "weights/v0.1/vgg.pth (lpips)",
    "18720f55": "weights/v0.0/alex.pth (lpips)",
    "b9e42362": "weights/v0.0/vgg.pth (lpips)",
}
_V00 = ("18720f55", "b9e42362")  # same names and shapes, but another input scale

_INCEPTIONS: dict[int, inception_v3.Kind] = {1008: "pytorch-fid", 1000: "torchvision"}
_TRUNKS = {11: "alex", 3: "vgg"}  # by the side of the first kernel
_TRUNK_NAMES = {"alex": "alexnet", "vgg": "vgg16 (without BatchNorm)"}
_LINEAR_CHANNELS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}
_FIX_INCEPTION = (
    "give pytorch-fid's pt_inception-2015-12-05-6726825d.pth or torchvision's "
    "inception_v3_google-0cc3c7bd.pth"
)
_FIX_VGG16 = "give torchvision's vgg16-397923af.pth (without BatchNorm)"
_FIX_TRUNK = "give torchvision's alexnet-owt-7be5be79.pth or vgg16-397923af.pth"

_State = Mapping[str, np.ndarray]
_FilePath = str | os.PathLike[str]


class FeatureWeights(NamedTuple):
    """Weights of a network, and their file."""

    variables: dict[str, Any]  # params, and batch_stats if any; NumPy float32
    kind: str  # version of the network
    file: str  # name of the file, without its folder
    sha256: str  # of the file, 64 hexadecimal digits
    published: str  # the published file with that SHA-256; "": unknown

    def stamp(self) -> dict[str, str]:
        """Returns the description of the file for results."""
        return {
            "kind": self.kind,
            "file": self.file,
            "sha256": self.sha256,
            "published": self.published or "no file that is known",
        }


def read_inception(path: _FilePath) -> FeatureWeights:
    """Reads InceptionV3 up to its last pool; the file's number of classes gives the version.

    Args:
        path: pytorch-fid's file (1008 classes) or torchvision's (1000).

    Returns:
        Weights of `InceptionV3(kind)`, without the auxiliary head and the last layer.

    Raises:
        RequestError: unreadable or refused file, neither version, or missing or misshapen arrays,
            which the message lists.
    """
    state = torch_file.read_state_dict(path)
    classes = state["fc.weight"].shape[0] if _has(state, "fc.weight", 2) else None
    if classes not in _INCEPTIONS:
        content = f"{classes} classes" if classes else "no matrix fc.weight"
        raise RequestError(
            f"{str(path)!r} has {content}, but InceptionV3 has 1008 (pytorch-fid) or 1000 "
            f"(torchvision); {_FIX_INCEPTION}"
        )
    kind = _INCEPTIONS[classes]
    what = f"{str(path)!r} has no weights of InceptionV3 ({kind})"
    variables = _read(state, _inception_shapes(), what, _FIX_INCEPTION)
    return _weights(path, variables, kind)


@functools.cache  # tracing takes a second; both kinds have the same shapes
def _inception_shapes() -> torch_arrays.Shapes:
    size = inception_v3.SMALLEST_SIZE
    return torch_arrays.shapes_of(inception_v3.InceptionV3("torchvision"), (1, size, size, 3))


def read_vgg16(path: _FilePath, *, hidden: int = 4096) -> FeatureWeights:
    """Reads torchvision's vgg16, without BatchNorm, with its 1000 classes.

    Args:
        path: the file.
        hidden: channels of the first two fully connected layers.

    Returns:
        Weights of `Vgg16(hidden)`.

    Raises:
        RequestError: see `read_inception`.
    """
    state = torch_file.read_state_dict(path)
    size = vgg16.INPUT_SIZE
    shapes = torch_arrays.shapes_of(vgg16.Vgg16(hidden), (1, size, size, 3))
    variables = _read(state, shapes, f"{str(path)!r} has no weights of vgg16", _FIX_VGG16)
    return _weights(path, variables, "vgg16")


def read_lpips_trunk(path: _FilePath) -> FeatureWeights:
    """Reads the convolutions of torchvision's alexnet or vgg16, detected by the first kernel.

    Args:
        path: the file; its classifier is ignored.

    Returns:
        Weights of `lpips_trunk(kind)`; kind is "alex" or "vgg", as lpips names them.

    Raises:
        RequestError: see `read_inception`.
    """
    state = torch_file.read_state_dict(path)
    first = "features.0.weight"
    kind = _TRUNKS.get(state[first].shape[-1]) if _has(state, first, 4) else None
    if kind is None:
        raise RequestError(
            f"{str(path)!r} is neither alexnet nor vgg16: it has no {first} with a kernel of 11x11 "
            f"or 3x3; {_FIX_TRUNK}"
        )
    what = f"{str(path)!r} has no weights of {_TRUNK_NAMES[kind]}"
    shapes = torch_arrays.shapes_of(lpips_trunk(kind), (1, 32, 32, 3))
    variables = _read(state, shapes, what, _FIX_TRUNK)
    return _weights(path, variables, kind)


def lpips_trunk(kind: str) -> nn.Module:
    """Returns the network of "alex" or "vgg"."""
    return alexnet.AlexNetTaps() if kind == "alex" else vgg16.Vgg16Taps()


def read_lpips_linear(path: _FilePath, kind: str) -> FeatureWeights:
    """Reads the linear layers of LPIPS 0.1.

    Args:
        path: weights/v0.1/alex.pth or vgg.pth of the project lpips: "lin0.model.1.weight", ...
        kind: of the trunk, "alex" or "vgg".

    Returns:
        variables: {"weights": five arrays (C,)}.

    Raises:
        RequestError: see `read_inception`; layers of version 0.0; weights below 0.
    """
    state, digest = torch_file.read_state_dict(path), torch_file.sha256(path)
    fix = f"give weights/v0.1/{kind}.pth of lpips"
    if digest.startswith(_V00):
        raise RequestError(f"{str(path)!r} is of LPIPS 0.0, which scales photos incorrectly; {fix}")
    shapes: torch_arrays.Shapes = {
        ("lin", f"lin{tap}.model.1.weight"): (1, 1, channels, 1)
        for tap, channels in enumerate(_LINEAR_CHANNELS[kind])
    }
    entries = [(array_path[-1], array_path) for array_path in shapes]
    what = f"{str(path)!r} has no linear layers for the trunk {kind}"
    weights = torch_arrays.to_variables(state, entries, shapes, what, fix)["lin"]
    layers = tuple(weights[name].reshape(-1) for name, _ in entries)
    if not all((layer >= 0).all() for layer in layers):
        raise RequestError(f"{str(path)!r} has linear layers with weights below 0; {fix}")
    return _weights(path, {"weights": layers}, kind)


def _has(state: _State, name: str, axes: int) -> bool:
    return name in state and state[name].ndim == axes


def _read(state: _State, shapes: torch_arrays.Shapes, what: str, fix: str) -> dict[str, Any]:
    return torch_arrays.to_variables(state, torch_arrays.same_names(shapes), shapes, what, fix)


def _weights(path: _FilePath, variables: dict[str, Any], kind: str) -> FeatureWeights:
    digest = torch_file.sha256(path)
    published = PUBLISHED.get(digest[:8], "")
    return FeatureWeights(variables, kind, Path(path).name, digest, published)
