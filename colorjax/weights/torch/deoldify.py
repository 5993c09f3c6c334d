"""Published weights of DeOldify: names of arrays in the files of fastai 1, and in our variables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from colorjax.errors import RequestError
from colorjax.models.encoders import resnet
from colorjax.weights.torch import zhang as zhang_weights
from colorjax.weights.torch.zhang import CONV, VECTOR, Entry, Kind, State, Transform

RENDER_FACTOR = 35  # default of the original for photos, for both variants; 21 for films
_RENDER_BASE = 16  # pixels of the working size for each unit of the render factor
_MOST_RENDER_FACTOR = 128  # 2048 px, the largest working size
_SIZE = 256  # pixels of training and evaluation photos

_LINE = Transform(lambda w: w[..., None].transpose(2, 3, 1, 0), lambda k: k[0, 0].T[..., None])
_SCALE = Transform(lambda g: g.reshape(-1), lambda s: s.reshape(-1, 1, 1, 1))
# The right singular vector has the order of its kernel: (I K K) in the file, (K, K, I) here.
_RIGHT = {
    size: Transform(
        lambda v, size=size: v.reshape(-1, size, size).transpose(1, 2, 0),
        lambda v: v.transpose(2, 0, 1).reshape(-1),
    )
    for size in (1, 3)
}
_NORM = {  # name in the file: collection and name in our BatchNorm
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}


def _norm(name: str, path: str) -> Iterator[Entry]:
    for theirs, (collection, ours) in _NORM.items():
        yield Entry(f"{name}.{theirs}", (collection, *path.split("/"), "norm", ours), VECTOR)


def _spectral(
    name: str, path: str, size: int, *, bias: bool = False, kernel: Transform = CONV
) -> Iterator[Entry]:
    layer = path.split("/")
    yield Entry(f"{name}.weight_orig", ("params", *layer, "kernel"), kernel)
    yield Entry(f"{name}.weight_u", ("batch_stats", *layer, "spectral", "u"), VECTOR)
    yield Entry(f"{name}.weight_v", ("batch_stats", *layer, "spectral", "v"), _RIGHT[size])
    if bias:
        yield Entry(f"{name}.bias", ("params", *layer, "bias"), VECTOR)


def _encoder(variant: str) -> Iterator[Entry]:
    def layer(conv: str, bn: str, path: str, norm: str) -> Iterator[Entry]:
        kernel = ("params", "encoder", *path.split("/"), "kernel")
        yield Entry(f"layers.0.{conv}.weight", kernel, CONV)
        yield from _norm(f"layers.0.{bn}", f"encoder/{norm}")

    yield from layer("0", "1", "conv", "norm")
    depths, is_bottleneck = resnet.VARIANTS[variant]
    for stage, depth in enumerate(depths, start=1):
        for number in range(depth):
            name, path = f"{3 + stage}.{number}", f"stage{stage}_block{number + 1}"
            for conv in range(1, 4 if is_bottleneck else 3):
                ours = (f"{path}/conv{conv}", f"{path}/norm{conv}")
                yield from layer(f"{name}.conv{conv}", f"{name}.bn{conv}", *ours)
            if number == 0 and (stage > 1 or is_bottleneck):
                downsample = (f"{name}.downsample.0", f"{name}.downsample.1")
                yield from layer(*downsample, f"{path}/shortcut", f"{path}/shortcut_norm")


def _unit(name: str, path: str) -> Iterator[Entry]:
    yield from _spectral(f"{name}.0", f"{path}/conv", 3)
    yield from _norm(f"{name}.2", f"{path}/norm")


def entries(encoder: str, decoder: str) -> Iterator[Entry]:
    """Yields the arrays of a file, by the fields of `DeOldify`."""
    yield from _encoder(encoder)
    yield from _norm("layers.1", "norm")
    for number in (1, 2):
        yield from _unit(f"layers.3.{number - 1}", f"middle{number}")
    units = {"conv1": "unit1", "conv2": "unit2"} if decoder == "deep" else {"conv": "unit1"}
    for number in range(1, 5):
        name, path = f"layers.{3 + number}", f"up{number}"
        yield from _spectral(f"{name}.shuf.conv.0", f"{path}/shuffle", 1)
        yield from _norm(f"{name}.shuf.conv.1", f"{path}/shuffle_norm")
        yield from _norm(f"{name}.bn", f"{path}/skip_norm")
        for theirs, ours in units.items():
            yield from _unit(f"{name}.{theirs}", f"{path}/{ours}")
        if number == 2:
            attention = f"{name}.{list(units)[-1]}.3"
            yield Entry(f"{attention}.gamma", ("params", path, "attention", "gamma"), VECTOR)
            for part in ("query", "key", "value"):
                ours = f"{path}/attention/{part}"
                yield from _spectral(f"{attention}.{part}", ours, 1, kernel=_LINE)
    yield Entry("layers.8.conv.0.weight_v", ("params", "shuffle", "kernel"), CONV)
    yield Entry("layers.8.conv.0.weight_g", ("params", "shuffle", "scale"), _SCALE)
    yield Entry("layers.8.conv.0.bias", ("params", "shuffle", "bias"), VECTOR)
    for number in (1, 2):
        name = f"layers.10.layers.{number - 1}.0"
        yield from _spectral(name, f"residual{number}", 3, bias=True)
    yield from _spectral("layers.11.0", "head", 1, bias=True)


def _kind(file: str, sha256: str, encoder: str, decoder: str) -> Kind:
    model = {"name": "deoldify", "encoder": encoder, "decoder": decoder, "width": 1.0}
    return Kind(model, file, sha256, tuple(entries(encoder, decoder)))


# The sums are from public code; nobody has checked them here.
KINDS = {
    "artistic": _kind(
        "ColorizeArtistic_gen.pth",
        "3f750246fa220529323b85a8905f9b49c0e5d427099185334d048fb5b5e22477",
        "resnet34",
        "deep",
    ),
    "stable": _kind(
        "ColorizeStable_gen.pth",
        "ca9cd7f43fb8b222c9a70f7b292e305a000694b0ff9d2ae4a6747b1a2e1ee5af",
        "resnet101",
        "wide",
    ),
    "video": _kind(
        "ColorizeVideo_gen.pth",
        "e3d98bb6a222354c79f95485c2f078a89dc724e9183662506d9e0f5aafac83ad",
        "resnet101",
        "wide",
    ),
}
_DECODERS = {  # an array that only one of them has: kind
    "layers.4.conv1.0.weight_orig": "artistic",
    "layers.4.conv.0.weight_orig": "stable",
}


def detect(state: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Returns the fields of `config.model` for a state dict, of "artistic" or "stable".

    Raises:
        RequestError: it is no generator of DeOldify.
    """
    for name, kind in _DECODERS.items():
        if name in state:
            return KINDS[kind].model
    files = ", ".join(kind.file for kind in KINDS.values())
    raise RequestError(
        f"these are not weights of deoldify: neither {' nor '.join(_DECODERS)} is there; give a "
        f"generator of DeOldify, such as {files}"
    )


def to_flax(
    state: Mapping[str, np.ndarray], model: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Turns a PyTorch state dict into our variables; see `zhang.to_flax`.

    Args:
        state: arrays by PyTorch's names.
        model: fields of `config.model`, as `detect` returns them.
    """
    return zhang_weights.to_flax(_kind_of(model), state, model)


def to_torch(variables: Mapping[str, Any], model: Mapping[str, Any]) -> State:
    """Turns our variables into the state dict of the published PyTorch class.

    Args:
        variables: params and batch_stats.
        model: fields of `config.model`.

    Returns:
        Arrays by PyTorch's names, float32, with the counters num_batches_tracked (int64, 0): all
        that a strict load needs.

    Raises:
        RequestError: a network that has no published class.
    """
    state = zhang_weights.to_torch(_kind_of(model), variables)
    norms = [name.removesuffix("running_var") for name in state if name.endswith("running_var")]
    return state | {f"{norm}num_batches_tracked": np.zeros((), np.int64) for norm in norms}


def _kind_of(model: Mapping[str, Any]) -> Kind:
    for kind in KINDS.values():
        if all(kind.model[name] == model[name] for name in ("name", "encoder", "decoder")):
            return kind
    raise RequestError(
        f"no published network has encoder {model['encoder']} and decoder {model['decoder']}"
    )


def compare_sum(digest: str) -> str:
    """Returns a notice that says which published file has this SHA-256."""
    for kind in KINDS.values():
        if kind.sha256 == digest:
            return f"sha256 {digest}: the published {kind.file}"
    return f"sha256 {digest}: none of the three published files; used as it is"


def config_of(model: Mapping[str, Any], render_factor: float = RENDER_FACTOR) -> dict[str, Any]:
    """Returns the config of imported weights; they work at squares of 16 px x render factor.

    Args:
        model: fields of `config.model`.
        render_factor: a whole number, at least 1.

    Raises:
        RequestError: the working size is out of range.
    """
    if not (render_factor == int(render_factor) and 1 <= render_factor <= _MOST_RENDER_FACTOR):
        raise RequestError(
            f"--render-factor must be a whole number from 1 to {_MOST_RENDER_FACTOR}, not "
            f"{render_factor}"
        )
    return {
        "dtype": "float32",
        "model": dict(model),
        "data": {
            "image_size": _SIZE,
            "saturation": 1.0,
            "saturation_clip": True,
            "grey": "luma",
        },
        "inference": {"size": _RENDER_BASE * int(render_factor), "aspect": "squash"},
    }
