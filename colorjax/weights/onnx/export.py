"""Writes a method with its weights as one ONNX model.

The model computes colors only: gray in, ab out. Lightness, file formats and the size of the photo
remain with the program that runs it (docs/export.md).
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from colorjax import color
from colorjax.errors import RequestError
from colorjax.methods.method import Method, Variables
from colorjax.models.blocks.portable import portable
from colorjax.models.hint_spreading import feature_layers, keyed
from colorjax.version import __version__
from colorjax.weights.onnx.convert import convert, trace
from colorjax.weights.onnx.graph import FEATURES, IR_VERSION, OPSET, Graph, Value

# Inputs besides gray that a user may give, and their channels. Others are left at "not given".
_DEPTHS = {"gray": 1, "edges": 1, "hint_ab": 2, "hint_mask": 1}
_MAPS = _DEPTHS.keys() | {"global_gray"}
_PALETTE = color.NUM_BINS + 2
PARTS = ("all", "encoder", "decoder")


def build(
    method: Method,
    variables: Variables,
    size: tuple[int, int] | None,
    *,
    about: dict[str, Any],
    part: str = "all",
) -> Any:
    """Returns the ONNX model of a method.

    Inputs, float32: gray (1, 1, H, W) in [0, 100], L of CIE Lab if `inference.gray` of the
    metadata says lightness; if the network takes them, edges (1, 1, H, W) in [0, 1], hint_ab
    (1, 2, H, W) in Lab units, hint_mask (1, 1, H, W), global_colors (1, 315), zeros: not given; of
    a dynamic model with global features, global_gray (1, 1, S, S), the photo shrunk to S x S.
    Outputs, float32: ab (1, 2, H, W) in Lab units; lightness (1, 1, H, W), if the weights paint
    their own; logits (1, 313, h, w), if there are color bins; hint_features and hint_guide, by
    which hints spread.

    An encoder returns features_0, features_1, ..., NCHW, which are inputs of the decoder. Of the
    other inputs, a part has those that it uses. Parts have no hint_features and hint_guide.

    Args:
        method: the method.
        variables: its weights.
        size: H and W; None: any multiples of the network's `size_multiple`.
        about: metadata, of values that JSON can hold.
        part: one of `PARTS`.

    Raises:
        RequestError: onnx is not installed, or the network has an operation that ONNX models
            written here lack, or no encoder.
    """
    onnx = _onnx()
    from onnx import TensorProto, helper, numpy_helper

    names = [name for name in _DEPTHS if name in method.network.inputs | {"gray"}]
    if part == "all" and feature_layers(method.network) and not method.takes_hints:
        method = dataclasses.replace(method, network=keyed(method.network))
    sides = _sides(method, size)
    graph = Graph({"h": "rows", "w": "columns"}, starts_encoded=part == "decoder")
    specs = [jax.ShapeDtypeStruct((1, *sides, _DEPTHS[name]), jnp.float32) for name in names]
    if size is None and method.global_size:
        names.append("global_gray")
        specs.append(
            jax.ShapeDtypeStruct((1, method.global_size, method.global_size, 1), jnp.float32)
        )
    if method.takes_palette:
        names.append("global_colors")
        specs.append(jax.ShapeDtypeStruct((1, _PALETTE), jnp.float32))
    found: list[str] = []

    def predict(*given: jax.Array) -> tuple[jax.Array, ...]:
        fields = dict(zip(names, given, strict=True))
        for name in fields.keys() & {"gray", "global_gray"}:
            fields[name] = fields[name] / 50 - 1
        if "hint_ab" in fields:
            fields["hint_ab"] = color.normalize_ab(fields["hint_ab"])
        outputs = _outputs(method.predict(variables, fields))
        found[:] = outputs
        return tuple(outputs.values())

    with portable():
        closed = trace(predict, *specs)
    inputs = [
        Value(spec.shape, np.dtype(np.float32), spec.shape, name=name, is_nchw=name in _MAPS)
        for name, spec in zip(names, specs, strict=True)
    ]
    results = dict(zip(found, convert(graph, closed, inputs), strict=True))
    features = {f"{FEATURES}{n}": value for n, value in enumerate(graph.encoded)}
    if part != "all" and not features:
        raise RequestError("this network has no parts to export; leave --part out")
    if part == "encoder":
        results = features
    for name, value in results.items():
        graph.result(name, value)
    if size is None:
        _measure_sides(graph, method.network.size_multiple, features if part == "decoder" else {})
    nodes, initializers = graph.pruned(list(results))
    shown = ("height", "width") if size is None else size
    stated = {n: _stated(n, spec, shown) for n, spec in zip(names, specs, strict=True)}
    maps = {name: _stated_map(name, v, shown, sides) for name, v in (features | results).items()}
    if part != "all":
        used = {name for node in nodes for name in node.input}
        every = stated | {name: maps[name] for name in features}
        stated = {name: shape for name, shape in every.items() if name in used}
    infos, outputs = (
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]
        for shapes in (stated, {name: maps[name] for name in results})
    )
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "colorjax",
            infos,
            outputs,
            [numpy_helper.from_array(array, name) for name, array in initializers.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="colorjax",
        producer_version=__version__,
    )
    helper.set_model_props(model, {"colorjax": json.dumps(about, sort_keys=True)})
    onnx.checker.check_model(model)
    return model


def _onnx() -> Any:
    try:
        import onnx
    except ImportError:
        raise RequestError(
            "export needs the package onnx; install it: pip install 'colorjax[onnx]'"
        ) from None
    return onnx


def _sides(method: Method, size: tuple[int, int] | None) -> tuple[Any, Any]:
    """Returns the height and width to trace with."""
    if size is not None:
        return size
    network = method.network
    if network.fixed_size:
        raise RequestError(
            f"this network has one size, {network.fixed_size}x{network.fixed_size}; "
            "leave --dynamic out"
        )
    from jax import export

    step = network.size_multiple
    height, width = export.symbolic_shape(f"{step}*h, {step}*w")
    return height, width


def _measure_sides(graph: Graph, step: int, features: dict[str, Value]) -> None:
    """Adds the tensors of the symbolic sides: of gray, or of features whose sides are multiples."""
    from onnx import helper

    added = graph.nodes[:]
    graph.nodes.clear()  # other nodes need these
    for result, symbol, axis in (("rows", "h", 2), ("columns", "w", 3)):
        source, unit = ("gray", step) if not features else _multiple(features, symbol, axis)
        at = graph.initializer(np.array([axis], np.int64))
        side = graph.node("Gather", [graph.node("Shape", [source]), at], axis=0)
        units = graph.initializer(np.array([unit], np.int64))
        graph.nodes.append(helper.make_node("Div", [side, units], [result]))
    graph.nodes.extend(added)


def _multiple(features: dict[str, Value], symbol: str, axis: int) -> tuple[str, int]:
    """Returns the features of which a side is a number times the symbol, and the number."""
    for name, value in features.items():
        match = re.fullmatch(rf"(?:(\d+)\*)?{symbol}", str(value.shape[axis - 1]))
        if match:
            return name, int(match[1] or 1)
    raise RequestError("the decoder of this network needs one size; give --size")


def _outputs(predicted: dict[str, Any]) -> dict[str, jax.Array]:
    outputs = {"ab": predicted["ab"]}
    if "lightness" in predicted:
        outputs["lightness"] = predicted["lightness"]
    if "bin_logits" in predicted:
        outputs["logits"] = predicted["bin_logits"]
    if "hint_keys" in predicted:
        keys = predicted["hint_keys"]
        outputs["hint_features"] = keys.features
        if keys.guide is not None:
            outputs["hint_guide"] = keys.guide
    return outputs


def _stated(name: str, spec: Any, shown: tuple[Any, Any]) -> tuple[Any, ...]:
    """Returns the shape of an input as the file states it."""
    if name in _DEPTHS:
        return 1, _DEPTHS[name], *shown
    return (1, 1, *spec.shape[1:3]) if name in _MAPS else tuple(spec.shape)


def _stated_map(
    name: str, value: Value, shown: tuple[Any, Any], sides: tuple[Any, Any]
) -> tuple[Any, ...]:
    """Returns the shape of an output, or of features, as the file states it."""
    height, width, depth = value.shape[1:]
    if isinstance(height, int) and isinstance(width, int):
        return 1, depth, height, width
    if all(str(a) == str(b) for a, b in zip((height, width), sides, strict=True)):
        return 1, depth, *shown
    kind = name if name.startswith(FEATURES) else "small"
    return 1, depth, f"{shown[0]}_{kind}", f"{shown[1]}_{kind}"
