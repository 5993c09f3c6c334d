"""Published weights of DDColor, converted between PyTorch's and our layout.

The mapping is a list of entries: a name in the file, a path in our variables, and the transforms
between them. `to_flax` and `to_torch` apply it in both directions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import traverse_util

from colorjax import models
from colorjax.errors import RequestError
from colorjax.models.ddcolor import HEADS
from colorjax.models.encoders import convnext
from colorjax.weights.torch import arrays as torch_arrays
from colorjax.weights.torch import file as torch_file

State = dict[str, np.ndarray]  # a PyTorch state dict
_SIZE = 32  # pixels; the smallest size of the network, for the shapes of its variables
_TRAINED = 256  # pixels; side of the training photos
_WORKING = 512  # pixels; long side of a photo for prediction, as in the published programs
_E, _D, _C = "encoder.arch", "decoder", "decoder.color_decoder"
# ImageNet's mean and standard deviation of sRGB, which files contain as buffers.
_CONSTANTS = {"mean": convnext.MEAN, "std": convnext.STD}
# A classifier of the first release: all .pth files contain it, and nothing uses it.
_DEAD = (f"{_E}.head_cls.weight", f"{_E}.head_cls.bias")
_COUNTERS = "num_batches_tracked"


class Published(NamedTuple):
    """A published file."""

    name: str  # of the variant
    file: str


# By SHA-256. The sums are from public code; we have not verified them.
PUBLISHED = {
    "8a1277bc90a1bfbb6d2d83933a9a6bc821931879ca93e26e4fcec12165d41fce": Published(
        "paper_tiny", "pytorch_model.bin"
    ),
    "d81711971ec59200da26d5e8a1afae8dd3778d495ea8ad7a7dadc769f403f7e7": Published(
        "modelscope", "pytorch_model.bin"
    ),
    "5a076e84efce59848394f572a105f7b78f7f6e917f615d1ee88537241b96dca3": Published(
        "artistic", "pytorch_model.bin"
    ),
    "17c460d7e55b32a598370621d77173be59e03c24b0823f06821db23a50c263ce": Published(
        "modelscope", "ddcolor_modelscope.pth"
    ),
    "a591ee5beedad36de703d8977e92d0c30c1eedc6453fd1b300f3b460842a23a9": Published(
        "artistic", "ddcolor_artistic.pth"
    ),
}


class _Transform(NamedTuple):
    to_flax: Callable[[np.ndarray], np.ndarray]
    to_torch: Callable[[np.ndarray], np.ndarray]


_CONV = _Transform(lambda w: w.transpose(2, 3, 1, 0), lambda k: k.transpose(3, 2, 0, 1))
_DENSE = _Transform(lambda w: w.T, lambda k: k.T)
_DENSE_CONV = _Transform(lambda w: w[:, :, 0, 0].T, lambda k: k.T[:, :, None, None])
_SAME = _Transform(lambda v: v, lambda v: v)
# Attention: (D, D) <-> (D, heads, D / heads) in, (heads, D / heads, D) out.
_HEADS_IN = _Transform(
    lambda w: w.T.reshape(len(w), HEADS, -1), lambda k: k.reshape(len(k), len(k)).T
)
_HEADS_BIAS = _Transform(lambda b: b.reshape(HEADS, -1), lambda b: b.reshape(-1))
_HEADS_OUT = _Transform(
    lambda w: w.T.reshape(HEADS, -1, len(w)), lambda k: k.reshape(-1, k.shape[-1]).T
)


class Entry(NamedTuple):
    """One of our arrays: its name in the file, its path in our variables, and the transforms.

    An array of a file can be several of ours, which are its rows in order.
    """

    name: str
    path: tuple[str, ...]
    transform: _Transform
    part: int = 0
    parts: int = 1


def _layer(name: str, path: str, transform: _Transform) -> Iterator[Entry]:
    module = ("params", *path.split("/"))
    yield Entry(f"{name}.weight", (*module, "kernel"), transform)
    yield Entry(f"{name}.bias", (*module, "bias"), _SAME)


def _layer_norm(name: str, path: str) -> Iterator[Entry]:
    module = ("params", *path.split("/"))
    yield Entry(f"{name}.weight", (*module, "scale"), _SAME)
    yield Entry(f"{name}.bias", (*module, "bias"), _SAME)


def _batch_norm(name: str, path: str) -> Iterator[Entry]:
    module = (*path.split("/"), "norm")
    yield Entry(f"{name}.weight", ("params", *module, "scale"), _SAME)
    yield Entry(f"{name}.bias", ("params", *module, "bias"), _SAME)
    yield Entry(f"{name}.running_mean", ("batch_stats", *module, "mean"), _SAME)
    yield Entry(f"{name}.running_var", ("batch_stats", *module, "var"), _SAME)


def _spectral(name: str, path: str, size: int) -> Iterator[Entry]:
    """Yields a kernel with its u and v; v has the order (I, K, K) in the file."""
    module = path.split("/")
    v = _Transform(
        lambda v: v.reshape(-1, size, size).transpose(1, 2, 0),
        lambda v: v.transpose(2, 0, 1).reshape(-1),
    )
    yield Entry(f"{name}.weight_orig", ("params", *module, "kernel"), _CONV)
    yield Entry(f"{name}.weight_u", ("batch_stats", *module, "spectral", "u"), _SAME)
    yield Entry(f"{name}.weight_v", ("batch_stats", *module, "spectral", "v"), v)


def _encoder(variant: str) -> Iterator[Entry]:
    down = f"{_E}.downsample_layers"
    yield from _layer(f"{down}.0.0", "encoder/stem", _CONV)
    yield from _layer_norm(f"{down}.0.1", "encoder/stem_norm")
    depths, _ = convnext.stages(variant)
    for stage, depth in enumerate(depths):
        if stage:
            yield from _layer_norm(f"{down}.{stage}.0", f"encoder/down{stage}_norm")
            yield from _layer(f"{down}.{stage}.1", f"encoder/down{stage}", _CONV)
        for number in range(depth):
            name, path = f"{_E}.stages.{stage}.{number}", f"encoder/stage{stage}_block{number}"
            yield Entry(f"{name}.gamma", ("params", *path.split("/"), "gamma"), _SAME)
            yield from _layer(f"{name}.dwconv", path, _CONV)
            yield from _layer_norm(f"{name}.norm", f"{path}/norm")
            yield from _layer(f"{name}.pwconv1", f"{path}/widen", _DENSE)
            yield from _layer(f"{name}.pwconv2", f"{path}/narrow", _DENSE)
        yield from _layer_norm(f"{_E}.norm{stage}", f"encoder/norm{stage}")
    yield from _layer_norm(f"{_E}.norm", "encoder/norm")


def _attention(name: str, path: str) -> Iterator[Entry]:
    for part, ours in enumerate(("query", "key", "value")):
        module = ("params", *path.split("/"), ours)
        yield Entry(f"{name}.in_proj_weight", (*module, "kernel"), _HEADS_IN, part, 3)
        yield Entry(f"{name}.in_proj_bias", (*module, "bias"), _HEADS_BIAS, part, 3)
    yield from _layer(f"{name}.out_proj", f"{path}/out", _HEADS_OUT)


def _color_decoder(layers: int) -> Iterator[Entry]:
    for name, ours in (
        ("query_feat", "queries"),
        ("query_embed", "query_positions"),
        ("level_embed", "levels"),
    ):
        yield Entry(f"{_C}.{name}.weight", ("params", "color", ours), _SAME)
    for level in range(3):
        yield from _layer(f"{_C}.input_proj.{level}", f"color/project{level}", _DENSE_CONV)
    for number in range(layers):
        path = f"color/layer{number}"
        for kind, attention, ours in (
            ("cross_attention", "multihead_attn", "cross"),
            ("self_attention", "self_attn", "among"),
        ):
            name = f"{_C}.transformer_{kind}_layers.{number}"
            yield from _attention(f"{name}.{attention}", f"{path}/{ours}")
            yield from _layer_norm(f"{name}.norm", f"{path}/{ours}_norm")
        name = f"{_C}.transformer_ffn_layers.{number}"
        yield from _layer(f"{name}.linear1", f"{path}/widen", _DENSE)
        yield from _layer(f"{name}.linear2", f"{path}/narrow", _DENSE)
        yield from _layer_norm(f"{name}.norm", f"{path}/norm")
    yield from _layer_norm(f"{_C}.decoder_norm", "color/norm")
    for number in range(3):
        yield from _layer(f"{_C}.color_embed.layers.{number}", f"color/embed{number}", _DENSE)


def entries(model: Mapping[str, Any]) -> tuple[Entry, ...]:
    """Returns the entries of a published network.

    Args:
        model: fields of `config.model`, as `detect` returns them.
    """
    decoder: list[Entry] = []
    for number in range(3):
        name, path = f"{_D}.layers.{number}", f"pixel{number}"
        decoder += _spectral(f"{name}.shuf.conv.0", f"{path}/up", 1)
        decoder += _batch_norm(f"{name}.shuf.conv.1", f"{path}/up_norm")
        decoder += _batch_norm(f"{name}.bn", f"{path}/skip_norm")
        decoder += _spectral(f"{name}.conv.0", f"{path}/conv", 3)
        decoder += _batch_norm(f"{name}.conv.2", f"{path}/norm")
    for name, ours in ((f"{_D}.last_shuf.conv.0", "last"), ("refine_net.0.0", "head")):
        decoder += _spectral(name, ours, 1)
        decoder.append(Entry(f"{name}.bias", ("params", ours, "bias"), _SAME))
    return (*_encoder(model["encoder"]), *decoder, *_color_decoder(model["layers"]))


def detect(state: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Returns the fields of `config.model` for the weights of a file, from its shapes.

    Raises:
        RequestError: no weights of DDColor, or of an unknown encoder.
    """

    def shape(name: str) -> tuple[int, ...]:
        if name not in state:
            raise RequestError(f"these are not weights of ddcolor: they have no {name}")
        return state[name].shape

    def number(pattern: str) -> int:
        count = 0
        while pattern.format(count) in state:
            count += 1
        return count

    widths = tuple(shape(f"{_E}.norm{stage}.weight")[0] for stage in range(4))
    depths = tuple(number(f"{_E}.stages.{stage}.{{}}.gamma") for stage in range(4))
    known = {convnext.stages(variant): variant for variant in convnext.VARIANTS}
    if (depths, widths) not in known:
        raise RequestError(
            f"these are not weights of ddcolor: their encoder has {depths} blocks of {widths} "
            f"channels; known: {', '.join(known.values())}"
        )
    queries, dim = shape(f"{_C}.query_feat.weight")
    return {
        "name": "ddcolor",
        "encoder": known[depths, widths],
        "widths": tuple(shape(f"{_D}.layers.{n}.conv.0.weight_orig")[0] for n in range(3)),
        "dim": dim,
        "queries": queries,
        "layers": number(f"{_C}.transformer_ffn_layers.{{}}.linear1.weight"),
        "mlp": shape(f"{_C}.transformer_ffn_layers.0.linear1.weight")[0],
        "full_size": True,
        "spectral_norm": True,
    }


def to_flax(
    state: MutableMapping[str, np.ndarray], model: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Turns a PyTorch state dict into our variables, and empties it to save memory.

    Args:
        state: arrays by PyTorch's names. The counters num_batches_tracked and the classifier
            head_cls are ignored. Arrays are removed as they are converted.
        model: fields of `config.model`, as `detect` returns them.

    Returns:
        (variables: params and batch_stats, float32; unused names in the file).

    Raises:
        RequestError: missing arrays, wrong shapes, or another normalization of the input; the
            message lists them.
    """
    what = f"these are not weights of ddcolor with the encoder {model['encoder']}"
    shapes = _shapes(model)
    wanted = entries(model)
    _check_constants(state)
    arrays = _converted(state, wanted, shapes, what)
    assert arrays.keys() == shapes.keys()
    ignored = {*_CONSTANTS, *_DEAD}
    unused = [n for n in state if n not in ignored and not n.endswith(_COUNTERS)]
    return traverse_util.unflatten_dict(arrays), unused


def read_convnext(path: str | os.PathLike[str], variant: str) -> dict[str, Any]:
    """Reads the published weights of ConvNeXt, without its classifier, from the user's file.

    Args:
        path: a file of facebookresearch/ConvNeXt, such as convnext_tiny_22k_224.pth.
        variant: of `ConvNeXt`.

    Returns:
        params of `ConvNeXt(variant)`, NumPy float32. The norms of the returned maps, which the
        files lack, start as the identity.

    Raises:
        RequestError: unreadable or refused file; missing or misshapen arrays, which the message
            lists.
    """
    state = torch_file.read_state_dict(path)
    shape = (1, _SIZE, _SIZE, 3)
    shapes = torch_arrays.shapes_of(convnext.ConvNeXt(variant), shape)
    side_norms = [f"norm{stage}" for stage in range(len(convnext.STRIDES))]
    names, blank = [], {}
    for entry in _encoder(variant):
        path_here = ("params", *entry.path[2:])  # without the layer's name
        if path_here[1] in side_norms:
            blank[path_here] = np.full(shapes[path_here], entry.path[-1] == "scale", np.float32)
        else:
            names.append(entry._replace(name=entry.name.removeprefix(f"{_E}."), path=path_here))
    what, fix = f"{str(path)!r} has no weights of {variant}", "give a file of ConvNeXt of that size"
    arrays = _converted(state, tuple(names), shapes, what, fix)
    return traverse_util.unflatten_dict(arrays | blank)


def to_torch(variables: Mapping[str, Any], model: Mapping[str, Any]) -> State:
    """Turns our variables into the state dict of the published PyTorch class.

    Args:
        variables: params and batch_stats.
        model: fields of `config.model`; a published network, see `is_published`.

    Returns:
        Arrays by PyTorch's names, in the order of `entries`, float32, with the buffers mean and
        std, and num_batches_tracked (int64, 0): all that a strict load needs.
    """
    flat = traverse_util.flatten_dict(variables)
    parts: dict[str, list[np.ndarray]] = {}
    for entry in entries(model):
        array = entry.transform.to_torch(np.asarray(flat[entry.path], np.float32))
        parts.setdefault(entry.name, []).append(array)
    state: State = {
        name: np.asarray(value, np.float32).reshape(1, 3, 1, 1)
        for name, value in _CONSTANTS.items()
    }
    for name, arrays in parts.items():
        joined = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        state[name] = np.ascontiguousarray(joined)
        if name.endswith(".running_var"):
            state[name.removesuffix("running_var") + _COUNTERS] = np.zeros((), np.int64)
    return state


def config_of(model: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the part of a config that prediction needs; imported weights have no run.

    Args:
        model: fields of `config.model`, as `detect` returns them.
    """
    return {
        "dtype": "float32",
        "model": dict(model),
        "data": {"image_size": _TRAINED, "saturation": 1.0, "saturation_clip": True},
        "inference": {"size": _WORKING, "aspect": "long"},
    }


def compare_sum(digest: str) -> str:
    """Returns a notice that says which published file has this SHA-256."""
    if digest not in PUBLISHED:
        return f"sha256 {digest}: no published file that is known; used as it is"
    name, file = PUBLISHED[digest]
    return f"sha256 {digest}: the published weights {name} ({file})"


def is_published(model: Mapping[str, Any]) -> bool:
    """Returns whether a network has the layers of the published class, so that `to_torch` works."""
    return (
        model["name"] == "ddcolor"
        and model["encoder"] in convnext.VARIANTS
        and bool(model["full_size"] and model["spectral_norm"])
    )


def _converted(
    state: MutableMapping[str, np.ndarray],
    wanted: tuple[Entry, ...],
    shapes: torch_arrays.Shapes,
    what: str,
    fix: str = "",
) -> dict[torch_arrays.Path, np.ndarray]:
    """Returns our arrays by path; removes those of the file as they are converted."""
    missing, misshapen = [], []
    for name, shape in _file_shapes(wanted, shapes).items():
        if name not in state:
            missing.append(name)
        elif state[name].shape != shape:
            misshapen.append(f"{name} {state[name].shape}, not {shape}")
    torch_arrays.check_complete(missing, misshapen, what, fix)
    arrays = {}
    last = {entry.name: entry for entry in wanted}
    for entry in wanted:
        array = state.pop(entry.name) if entry is last[entry.name] else state[entry.name]
        rows = array.reshape(entry.parts, -1, *array.shape[1:])[entry.part]
        ours = entry.transform.to_flax(np.asarray(rows, np.float32))
        arrays[entry.path] = np.ascontiguousarray(ours)
    return arrays


def _check_constants(state: Mapping[str, np.ndarray]) -> None:
    for name, value in _CONSTANTS.items():
        found = state.get(name)
        if found is not None and not np.allclose(found.reshape(-1), value, atol=1e-6):
            raise RequestError(
                f"these weights normalize their input by {name} {found.reshape(-1)}, not "
                f"ImageNet's {value}; they cannot be used"
            )


def _file_shapes(
    wanted: tuple[Entry, ...], shapes: torch_arrays.Shapes
) -> dict[str, tuple[int, ...]]:
    """Returns the shape in the file of each array."""
    result: dict[str, tuple[int, ...]] = {}
    for entry in wanted:
        blank = np.broadcast_to(np.False_, shapes[entry.path])
        first, *rest = entry.transform.to_torch(blank).shape
        result[entry.name] = (entry.parts * first, *rest)
    return result


def _shapes(model: Mapping[str, Any]) -> torch_arrays.Shapes:
    options = dict(model)
    network = models.create(options.pop("name"), **options)
    blank = {"gray": jax.ShapeDtypeStruct((1, _SIZE, _SIZE, 1), np.float32)}
    variables = jax.eval_shape(
        lambda inputs: network.init(jax.random.key(0), inputs, train=False), blank
    )
    flat: dict[torch_arrays.Path, Any] = traverse_util.flatten_dict(variables)
    return {path: leaf.shape for path, leaf in flat.items()}
