"""Smaller ONNX files: weights stored as float16 or int8, computed in float32."""

from __future__ import annotations

from typing import Any

import numpy as np

_LEAST = 64  # elements from which a tensor is worth storing in another type
_OUTPUT_AXIS = {"Conv": 0, "ConvTranspose": 1, "MatMul": 1}


def as_float16(model: Any) -> None:
    """Stores the float32 tensors of a model as float16, in place.

    A Cast to float32 follows each, so every engine computes in float32.
    """
    from onnx import TensorProto, helper

    casts = []
    for tensor, array in _large(model):
        if np.abs(array).max() > np.finfo(np.float16).max:
            continue
        stored = f"{tensor.name}_f16"
        casts.append(helper.make_node("Cast", [stored], [tensor.name], to=TensorProto.FLOAT))
        _replace(tensor, array.astype(np.float16), stored)
    _put_first(model, casts)


def as_int8(model: Any) -> None:
    """Stores the kernels of a model as int8, in place; all other large tensors as float16.

    One scale for each output channel, symmetric: w is stored as round(w / s), s = max |w| / 127. A
    DequantizeLinear follows each, so every engine computes in float32.
    """
    from onnx import helper

    axes: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type in _OUTPUT_AXIS and len(node.input) > 1:
            axes[node.input[1]] = _OUTPUT_AXIS[node.op_type]
    nodes = []
    for tensor, array in _large(model):
        axis = axes.get(tensor.name)
        if axis is None or array.ndim < 2:
            continue
        name, stored = tensor.name, f"{tensor.name}_i8"
        others = tuple(n for n in range(array.ndim) if n != axis)
        scale = np.maximum(np.abs(array).max(axis=others), 1e-12).astype(np.float32) / 127
        shape = [-1 if n == axis else 1 for n in range(array.ndim)]
        _replace(tensor, np.rint(array / scale.reshape(shape)).astype(np.int8), stored)
        _add(model, f"{name}_scale", scale)
        nodes.append(
            helper.make_node("DequantizeLinear", [stored, f"{name}_scale"], [name], axis=axis)
        )
    _put_first(model, nodes)
    as_float16(model)


def _large(model: Any) -> list[tuple[Any, np.ndarray]]:
    from onnx import numpy_helper

    tensors = list(model.graph.initializer)
    arrays = [(tensor, numpy_helper.to_array(tensor)) for tensor in tensors]
    return [
        (t, a)
        for t, a in arrays
        if a.dtype == np.float32 and a.size >= _LEAST and not t.name.endswith("_scale")
    ]


def _replace(tensor: Any, array: np.ndarray, name: str) -> None:
    from onnx import numpy_helper

    tensor.CopyFrom(numpy_helper.from_array(array, name))


def _add(model: Any, name: str, array: np.ndarray) -> None:
    from onnx import numpy_helper

    model.graph.initializer.append(numpy_helper.from_array(array, name))


def _put_first(model: Any, nodes: list[Any]) -> None:
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])
