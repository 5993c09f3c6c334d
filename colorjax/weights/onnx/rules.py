"""One rule for each JAX primitive that the networks use: how it is written in ONNX.

A rule maps (graph, equation, inputs, shape and dtype of the result) to a `Value`. Maps stay NCHW
from convolution to convolution; rules that mix axes bring them back to their logical order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from colorjax.errors import RequestError
from colorjax.models.blocks.portable import ENCODED
from colorjax.weights.onnx.graph import NCHW, Graph, Value, constant

Rule = Callable[..., Value | list[Value]]
Shape = tuple[Any, ...]
RULES: dict[str, Rule] = {}

_UNARY = {
    "exp": "Exp",
    "log": "Log",
    "neg": "Neg",
    "abs": "Abs",
    "sign": "Sign",
    "sqrt": "Sqrt",
    "tanh": "Tanh",
    "logistic": "Sigmoid",
    "erf": "Erf",
    "floor": "Floor",
    "ceil": "Ceil",
    "round": "Round",
    "not": "Not",
    "sin": "Sin",
    "cos": "Cos",
}
_BINARY = {
    "add": "Add",
    "add_any": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "max": "Max",
    "min": "Min",
    "pow": "Pow",
    "eq": "Equal",
    "lt": "Less",
    "le": "LessOrEqual",
    "gt": "Greater",
    "ge": "GreaterOrEqual",
    "and": "And",
    "or": "Or",
}
_COMPOSED = frozenset(
    {"ne", "rsqrt", "erfc", "log1p", "square", "integer_pow", "cbrt", "select_n", "clamp", "rem"}
)
ELEMENTWISE = _UNARY.keys() | _BINARY.keys() | _COMPOSED | {"convert_element_type"}
_SAME = ("stop_gradient", "copy", "copy_p", "optimization_barrier", "reduce_precision")


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers a rule for primitives."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def fold(eqn: Any, inputs: Sequence[Value], *, is_elementwise: bool) -> list[Value] | None:
    """Computes an equation whose inputs are constants; None if a size is not known.

    A broadcast is not carried out: its constant keeps sides of 1.
    """
    shapes = [tuple(v.aval.shape) for v in eqn.outvars]
    name = eqn.primitive.name
    if name == "broadcast_in_dim":
        return [_broadcast_constant(eqn, inputs[0], shapes[0])]
    if name == "dim_as_value":
        return None
    known = all(isinstance(side, int) for shape in shapes for side in shape)
    arrays: list[np.ndarray] = [x.constant for x in inputs if x.constant is not None]
    if is_elementwise:
        ranks = max(len(shape) for shape in shapes)
        arrays = [a.reshape((1,) * (ranks - a.ndim) + a.shape) for a in arrays]
        arrays = list(np.broadcast_arrays(*arrays))
    elif not known:
        return None
    else:
        arrays = [np.broadcast_to(a, x.shape) for a, x in zip(arrays, inputs, strict=True)]
    if name in _FOLDED:
        results = [_FOLDED[name](eqn, *arrays)]
    else:
        with jax.ensure_compile_time_eval():
            results = eqn.primitive.bind(*map(jax.numpy.asarray, arrays), **eqn.params)
        results = results if eqn.primitive.multiple_results else [results]
    return [
        Value(shape, v.aval.dtype, array.shape, constant=np.asarray(array, v.aval.dtype))
        for shape, v, array in zip(shapes, eqn.outvars, results, strict=True)
    ]


# What weights go through before a convolution, without a compilation for each shape.
_FOLDED: dict[str, Callable[..., Any]] = {
    "add": lambda eqn, x, y: x + y,
    "sub": lambda eqn, x, y: x - y,
    "mul": lambda eqn, x, y: x * y,
    "div": lambda eqn, x, y: x / y if x.dtype.kind == "f" else np.trunc(x / y),
    "sqrt": lambda eqn, x: np.sqrt(x),
    "rsqrt": lambda eqn, x: 1 / np.sqrt(x),
    "square": lambda eqn, x: x * x,
    "convert_element_type": lambda eqn, x: x,
    "reshape": lambda eqn, x: x.reshape(eqn.params["new_sizes"]),
    "squeeze": lambda eqn, x: x.reshape(eqn.outvars[0].aval.shape),
    "transpose": lambda eqn, x: x.transpose(eqn.params["permutation"]),
    **dict.fromkeys(_SAME, lambda eqn, x: x),
}


def _broadcast_constant(eqn: Any, x: Value, shape: Shape) -> Value:
    assert x.constant is not None
    stored = [1] * len(shape)
    for axis, side in zip(eqn.params["broadcast_dimensions"], x.stored, strict=True):
        stored[axis] = side
    array = x.constant.reshape(stored)
    return Value(shape, x.dtype, array.shape, constant=array)


def _in_order(graph: Graph, x: Value) -> str:
    """Returns the tensor of a value in logical order and with its full shape."""
    if x.constant is not None:
        if all(isinstance(side, int) for side in x.shape):
            return graph.initializer(np.broadcast_to(x.constant, x.shape))
        return graph.node("Expand", [graph.initializer(x.constant), graph.dims(x.shape)])
    name = graph.tensor(x)
    if _same(x.stored, x.shape):
        return name
    return graph.node("Expand", [name, graph.dims(x.shape)])


def _same(a: Shape, b: Shape) -> bool:
    return len(a) == len(b) and all(x is y or x == y for x, y in zip(a, b, strict=True))


def _is_nchw(*inputs: Value) -> bool:
    return any(x.is_nchw for x in inputs)


def _is_full(x: Value) -> bool:
    return _same(x.stored, x.shape)


def _axis(axis: int, is_nchw: bool) -> int:
    return (0, 2, 3, 1)[axis] if is_nchw else axis


# ---- one element at a time


def _broadcast(shapes: Sequence[Shape]) -> Shape:
    rank = max(len(shape) for shape in shapes)
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(
        next((side for side in sides if not (isinstance(side, int) and side == 1)), 1)
        for sides in zip(*padded, strict=True)
    )


def _operate(
    graph: Graph, op: str, inputs: Sequence[Value], shape: Shape, dtype: Any, **attributes: Any
) -> Value:
    nchw = _is_nchw(*inputs)
    names = [graph.tensor(x, nchw=nchw and len(x.shape) == 4) for x in inputs]
    stored = _broadcast([x.stored for x in inputs])
    return Value(shape, dtype, stored, name=graph.node(op, names, **attributes), is_nchw=nchw)


def _unary(op: str) -> Rule:
    return lambda graph, eqn, inputs, shape, dtype: _operate(graph, op, inputs, shape, dtype)


RULES.update({name: _unary(op) for name, op in _UNARY.items()})


def _binary(op: str) -> Rule:
    def apply(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
        merged = _into_convolution(graph, op, inputs, shape, dtype)
        if merged is not None:
            return merged
        x, y = inputs
        if x.constant is not None and op in ("Max", "Min"):
            x, y = y, x
        if op == "Max" and _is_number(y, 0.0):
            result = _operate(graph, "Relu", [x], shape, dtype)
            result.rectified = graph.nodes[-1].input[0]
            return result
        if op == "Min" and x.rectified and y.constant is not None and y.constant.size == 1:
            ends = [graph.initializer(np.asarray(end, dtype)) for end in (0, y.constant.item())]
            name = graph.node("Clip", [x.rectified, *ends])
            return dataclasses.replace(x, name=name, shape=shape, rectified="")
        return _operate(graph, op, inputs, shape, dtype)

    return apply


RULES.update({name: _binary(op) for name, op in _BINARY.items()})


def _is_number(x: Value, number: float) -> bool:
    return x.constant is not None and x.constant.size == 1 and bool(x.constant == number)


def _into_convolution(
    graph: Graph, op: str, inputs: list[Value], shape: Shape, dtype: Any
) -> Value | None:
    """Merges a factor or term for each channel into the convolution before it, if there is one."""
    flipped = inputs[0].constant is not None
    x, other = inputs[::-1] if flipped else inputs
    if x.conv is None or other.constant is None or not _is_full(x):
        return None
    if op not in ("Add", "Sub", "Mul", "Div") or (flipped and op in ("Sub", "Div")):
        return None
    array = other.constant
    if array.size != 1 and array.shape != (1, 1, 1, shape[-1]):
        return None
    term = np.broadcast_to(array.reshape(-1), (shape[-1],)).astype(np.float32)
    _, kernel, bias = graph.nodes[x.conv].input
    if op in ("Add", "Sub"):
        graph.initializers[bias] = graph.initializers[bias] + (term if op == "Add" else -term)
    else:
        factor = term if op == "Mul" else 1 / term
        graph.initializers[kernel] = graph.initializers[kernel] * factor[:, None, None, None]
        graph.initializers[bias] = graph.initializers[bias] * factor
    return Value(shape, dtype, x.stored, name=x.name, is_nchw=True, conv=x.conv)


@rule("ne")
def _ne(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    return _operate(
        graph, "Not", [_operate(graph, "Equal", inputs, shape, np.bool_)], shape, np.bool_
    )


@rule("rsqrt")
def _rsqrt(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    root = _operate(graph, "Sqrt", inputs, shape, dtype)
    return _operate(graph, "Reciprocal", [root], shape, dtype)


@rule("erfc")
def _erfc(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    """1 - erf(x): of `jax.nn.gelu`, where the absolute error of a float32 is small enough."""
    one = constant(np.ones((), dtype))
    return _operate(graph, "Sub", [one, _operate(graph, "Erf", inputs, shape, dtype)], shape, dtype)


@rule("log1p")
def _log1p(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    one = constant(np.ones((), dtype))
    return _operate(
        graph, "Log", [_operate(graph, "Add", [*inputs, one], shape, dtype)], shape, dtype
    )


@rule("square")
def _square(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    return _operate(graph, "Mul", [inputs[0], inputs[0]], shape, dtype)


@rule("integer_pow")
def _integer_pow(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    power = eqn.params["y"]
    if power == 2:
        return _square(graph, eqn, inputs, shape, dtype)  # pyrefly: ignore
    exponent = constant(np.asarray(power, dtype))
    return _operate(graph, "Pow", [inputs[0], exponent], shape, dtype)


@rule("cbrt")
def _cbrt(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    size = _operate(graph, "Abs", inputs, shape, dtype)
    root = _operate(graph, "Pow", [size, constant(np.asarray(1 / 3, dtype))], shape, dtype)
    sign = _operate(graph, "Sign", inputs, shape, dtype)
    return _operate(graph, "Mul", [sign, root], shape, dtype)


@rule("rem")
def _rem(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    return _operate(graph, "Mod", inputs, shape, dtype, fmod=1)


@rule("select_n")
def _select_n(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    which, *cases = inputs
    if len(cases) != 2 or which.dtype != np.bool_:
        raise RequestError("export knows select_n for two cases only; please report it")
    return _operate(graph, "Where", [which, cases[1], cases[0]], shape, dtype)


@rule("clamp")
def _clamp(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    low, x, high = inputs
    above = _operate(graph, "Max", [x, low], shape, dtype)
    return _operate(graph, "Min", [above, high], shape, dtype)


@rule("convert_element_type")
def _cast(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    from onnx import helper

    if inputs[0].dtype == dtype:
        return inputs[0]
    return _operate(
        graph, "Cast", inputs, shape, dtype, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    )


@rule(*_SAME)
def _identity(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> list[Value]:
    return inputs


@rule("name")
def _name(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    return graph.mark_encoded(inputs[0]) if eqn.params["name"] == ENCODED else inputs[0]


# ---- shapes


@rule("reshape", "squeeze", "expand_dims")
def _reshape(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    x = inputs[0]
    if _same(x.shape, shape):
        return x
    stored = _with_ones(x, shape)
    if stored is not None and not x.is_nchw:  # a broadcast that only gains or loses sides of 1
        name = graph.node("Reshape", [graph.tensor(x), graph.dims(stored)])
        return Value(shape, dtype, stored, name=name)
    return Value(
        shape, dtype, shape, name=graph.node("Reshape", [_in_order(graph, x), graph.dims(shape)])
    )


def _with_ones(x: Value, shape: Shape) -> Shape | None:
    """Returns the stored shape after a reshape that only adds or drops sides of 1, or None."""
    if _is_full(x):
        return None
    sides = [(s, t) for s, t in zip(x.shape, x.stored, strict=True) if not _is_one(s)]
    wanted = [s for s in shape if not _is_one(s)]
    if not _same(tuple(s for s, _ in sides), tuple(wanted)):
        return None
    stored = iter(t for _, t in sides)
    return tuple(1 if _is_one(s) else next(stored) for s in shape)


def _is_one(side: Any) -> bool:
    return isinstance(side, int) and side == 1


@rule("broadcast_in_dim")
def _broadcast_in_dim(
    graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any
) -> Value:
    x, axes = inputs[0], eqn.params["broadcast_dimensions"]
    stored = [1] * len(shape)
    for axis, side in zip(axes, x.stored, strict=True):
        stored[axis] = side
    if tuple(axes) == tuple(range(len(shape))):
        return Value(shape, dtype, tuple(stored), name=_kept(graph, x), is_nchw=x.is_nchw)
    name = graph.node("Reshape", [graph.tensor(x), graph.dims(stored)])
    return Value(shape, dtype, tuple(stored), name=name)


def _kept(graph: Graph, x: Value) -> str:
    """Returns the tensor of a value in the order in which it is stored."""
    return graph.tensor(x, nchw=x.is_nchw)


@rule("transpose")
def _transpose(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    x, order = inputs[0], tuple(eqn.params["permutation"])
    name = graph.node("Transpose", [graph.tensor(x)], perm=order)
    return Value(shape, dtype, tuple(x.stored[axis] for axis in order), name=name)


@rule("concatenate")
def _concatenate(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    axis = eqn.params["dimension"]
    inputs = [x for x in inputs if not _same((x.shape[axis],), (0,))]  # ONNX expands no side to 0
    nchw = _is_nchw(*inputs)
    names = [_full(graph, x, nchw) for x in inputs]
    axis = _axis(axis, nchw)
    return Value(shape, dtype, shape, name=graph.node("Concat", names, axis=axis), is_nchw=nchw)


def _full(graph: Graph, x: Value, nchw: bool) -> str:
    """Returns the tensor of a value with its full shape, in either order."""
    if _is_full(x):
        return graph.tensor(x, nchw=nchw)
    full = Value(x.shape, x.dtype, x.shape, name=_in_order(graph, x))
    return graph.tensor(full, nchw=nchw)


@rule("stack")
def _stack(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    axis = eqn.params["axis"]
    at = graph.initializer(np.array([axis], np.int64), "axes")
    names = [graph.node("Unsqueeze", [_in_order(graph, x), at]) for x in inputs]
    return Value(shape, dtype, shape, name=graph.node("Concat", names, axis=axis))


@rule("split")
def _split(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> list[Value]:
    x, axis, sizes = inputs[0], eqn.params["axis"], eqn.params["sizes"]
    name = _full(graph, x, x.is_nchw)
    lengths = graph.initializer(np.array(sizes, np.int64), "sizes")
    names = graph.node("Split", [name, lengths], outputs=len(sizes), axis=_axis(axis, x.is_nchw))
    names = names if isinstance(names, list) else [names]
    shapes = [(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes]
    pairs = zip(names, shapes, strict=True)
    return [Value(s, dtype, s, name=n, is_nchw=x.is_nchw) for n, s in pairs]


@rule("slice")
def _slice(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    x, params = inputs[0], eqn.params
    steps = params["strides"] or (1,) * len(shape)
    ends = zip(params["start_indices"], params["limit_indices"], steps, x.shape, strict=True)
    changed = [
        (_axis(axis, x.is_nchw), start, limit, step)
        for axis, (start, limit, step, side) in enumerate(ends)
        if not (isinstance(start, int) and start == 0 and step == 1 and _same((limit,), (side,)))
    ]
    if not changed:
        return x
    axes, starts, limits, strides = zip(*changed, strict=True)
    steps64 = graph.initializer(np.array(strides, np.int64), "steps")
    bounds = [graph.dims(starts), graph.dims(limits), graph.dims(axes), steps64]
    name = graph.node("Slice", [_full(graph, x, x.is_nchw), *bounds])
    return Value(shape, dtype, shape, name=name, is_nchw=x.is_nchw)


@rule("rev")
def _rev(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    x = inputs[0]
    axes = [_axis(axis, x.is_nchw) for axis in eqn.params["dimensions"]]
    numbers = [[-1] * len(axes), [-(2**62)] * len(axes), axes, [-1] * len(axes)]
    bounds = [graph.initializer(np.array(n, np.int64), "ends") for n in numbers]
    name = graph.node("Slice", [_full(graph, x, x.is_nchw), *bounds])
    return Value(shape, dtype, shape, name=name, is_nchw=x.is_nchw)


@rule("pad")
def _pad(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    x, filler = inputs
    config = eqn.params["padding_config"]
    if any(inner for _, _, inner in config):
        raise RequestError("export knows no padding between elements; please report it")
    order = NCHW if x.is_nchw else range(len(shape))
    lows, highs = zip(*(config[axis][:2] for axis in order), strict=True)
    if not any(lows) and not any(highs):
        return x
    amounts = graph.dims((*lows, *highs))
    name = graph.node("Pad", [_full(graph, x, x.is_nchw), amounts, graph.tensor(filler)])
    return Value(shape, dtype, shape, name=name, is_nchw=x.is_nchw)


@rule("iota")
def _iota(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    axis = eqn.params["dimension"]
    ends = [graph.initializer(np.array(0, np.int64)), graph.dims(shape[axis : axis + 1])]
    limit = graph.node("Squeeze", [ends[1]])
    name = graph.node("Range", [ends[0], limit, graph.initializer(np.array(1, np.int64))])
    stored = tuple(side if at == axis else 1 for at, side in enumerate(shape))
    name = graph.node("Reshape", [name, graph.dims(stored)])
    whole = Value(shape, np.int64, stored, name=name)
    return _cast(graph, eqn, [whole], shape, dtype)  # pyrefly: ignore


@rule("dim_as_value")
def _dim_as_value(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    name = graph.node("Squeeze", [graph.dims((eqn.params["dim"],))])
    return _cast(graph, eqn, [Value((), np.int64, (), name=name)], shape, dtype)  # pyrefly: ignore


@rule("gather")
def _gather(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    """Writes the choice of rows of a table, `table[indices]`, or a part at a constant position."""
    table, indices = inputs
    numbers, sizes = eqn.params["dimension_numbers"], eqn.params["slice_sizes"]
    if indices.constant is not None and indices.constant.size == len(numbers.start_index_map) == 1:
        return _part(graph, eqn, inputs, shape, dtype)
    rows = tuple(numbers.collapsed_slice_dims) == (0,) == tuple(numbers.start_index_map)
    if not rows or tuple(sizes) != (1, *table.shape[1:]):
        raise RequestError("export knows the choice of rows of a table only; please report it")
    at = graph.node("Reshape", [_in_order(graph, indices), graph.dims(indices.shape[:-1])])
    name = graph.node("Gather", [_in_order(graph, table), at], axis=0)
    return Value(shape, dtype, shape, name=name)


def _part(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    """Writes `x[..., 2]` and `x[..., 2:]`, which JAX traces as gathers if sizes are symbolic."""
    x, position = inputs
    numbers, sizes = eqn.params["dimension_numbers"], eqn.params["slice_sizes"]
    (axis,) = numbers.start_index_map
    others = [at for at in range(len(sizes)) if at != axis]
    if not _same(tuple(sizes[at] for at in others), tuple(x.shape[at] for at in others)):
        raise RequestError("export knows parts along one axis only; please report it")
    assert position.constant is not None
    start = position.constant.item()
    bounds = [graph.dims((at,)) for at in (start, start + sizes[axis], axis)]
    name = graph.node("Slice", [_in_order(graph, x), *bounds])
    if numbers.collapsed_slice_dims:
        name = graph.node("Squeeze", [name, bounds[2]])
    return Value(shape, dtype, shape, name=name)


# ---- sums


def _reduction(op: str) -> Rule:
    def apply(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
        x, axes = inputs[0], eqn.params["axes"]
        if not axes:
            return x
        name = _full(graph, x, x.is_nchw)
        stored = sorted(_axis(axis, x.is_nchw) for axis in axes)
        kept = {"keepdims": 0}
        if op == "ReduceSum":
            over = graph.initializer(np.array(stored, np.int64), "axes")
            name = graph.node(op, [name, over], **kept)
        else:
            name = graph.node(op, [name], axes=stored, **kept)
        if x.is_nchw:  # what is left is in the order of NCHW
            left = [axis for axis in NCHW if axis not in axes]
            order = [left.index(axis) for axis in sorted(left)]
            if order != sorted(order):
                name = graph.node("Transpose", [name], perm=order)
        return Value(shape, dtype, shape, name=name)

    return apply


RULES.update(
    reduce_sum=_reduction("ReduceSum"),
    reduce_max=_reduction("ReduceMax"),
    reduce_min=_reduction("ReduceMin"),
)


@rule("argmax")
def _argmax(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    (axis,) = eqn.params["axes"]
    name = graph.node("ArgMax", [_in_order(graph, inputs[0])], axis=axis, keepdims=0)
    return _cast(graph, eqn, [Value(shape, np.int64, shape, name=name)], shape, dtype)  # pyrefly: ignore


@rule("dot_general")
def _dot_general(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    (summed_x, summed_y), (batch_x, batch_y) = eqn.params["dimension_numbers"]
    x, y = inputs
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    names_x = [next(letters) for _ in x.shape]
    names_y = [next(letters) for _ in y.shape]
    for axis_x, axis_y in zip((*summed_x, *batch_x), (*summed_y, *batch_y), strict=True):
        names_y[axis_y] = names_x[axis_x]
    free_x = [axis for axis in range(len(x.shape)) if axis not in (*summed_x, *batch_x)]
    free_y = [axis for axis in range(len(y.shape)) if axis not in (*summed_y, *batch_y)]
    plain = len(summed_x) == 1 and not batch_x and summed_x[0] == len(x.shape) - 1
    if plain and y.constant is not None and len(y.shape) == 2:  # a dense layer
        weights = np.broadcast_to(y.constant, y.shape)
        weights = weights if summed_y[0] == 0 else weights.T
        pair = [_in_order(graph, x), graph.initializer(weights)]
        return Value(shape, dtype, shape, name=graph.node("MatMul", pair))
    out = (
        [names_x[a] for a in batch_x] + [names_x[a] for a in free_x] + [names_y[a] for a in free_y]
    )
    equation = f"{''.join(names_x)},{''.join(names_y)}->{''.join(out)}"
    pair = [_in_order(graph, x), _in_order(graph, y)]
    return Value(shape, dtype, shape, name=graph.node("Einsum", pair, equation=equation))


# ---- maps


@rule("conv_general_dilated")
def _convolution(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
    x, kernel = inputs
    params = eqn.params
    numbers = params["dimension_numbers"]
    if tuple(numbers.lhs_spec) != NCHW or tuple(numbers.out_spec) != NCHW:
        raise RequestError("export knows convolutions of NHWC maps only; please report it")
    if kernel.constant is None:
        raise RequestError("export knows constant kernels only; please report it")
    weights = np.broadcast_to(kernel.constant, kernel.shape).transpose(numbers.rhs_spec)
    (top, bottom), (left, right) = params["padding"]
    bias = graph.initializer(np.zeros(len(weights), np.float32), "bias")
    if any(step != 1 for step in params["lhs_dilation"]):
        return _transposed(graph, eqn, x, weights, bias, shape, dtype)
    name = graph.node(
        "Conv",
        [_full(graph, x, True), graph.initializer(weights, "kernel"), bias],
        kernel_shape=weights.shape[2:],
        strides=params["window_strides"],
        pads=(top, left, bottom, right),
        dilations=params["rhs_dilation"],
        group=params["feature_group_count"],
    )
    node = len(graph.nodes) - 1
    return Value(shape, dtype, shape, name=name, is_nchw=True, conv=node)


def _transposed(
    graph: Graph, eqn: Any, x: Value, weights: np.ndarray, bias: str, shape: Shape, dtype: Any
) -> Value:
    """Writes a convolution of a dilated input as a transposed one, with the kernel flipped."""
    params = eqn.params
    plain = params["feature_group_count"] == 1
    if not plain or any(n != 1 for n in (*params["window_strides"], *params["rhs_dilation"])):
        raise RequestError("export knows plain transposed convolutions only; please report it")
    (top, bottom), (left, right) = params["padding"]
    height, width = (side - 1 for side in weights.shape[2:])
    flipped = weights[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    name = graph.node(
        "ConvTranspose",
        [_full(graph, x, True), graph.initializer(flipped, "kernel"), bias],
        kernel_shape=weights.shape[2:],
        strides=params["lhs_dilation"],
        pads=(height - top, width - left, height - bottom, width - right),
    )
    return Value(shape, dtype, shape, name=name, is_nchw=True)


def resize(graph: Graph, eqn: Any, x: Value, shape: Shape, dtype: Any) -> Value:
    """Writes an enlargement by a whole factor, `shapes.enlarge`, as one Resize."""
    factor = shape[1] // x.shape[1]
    method = "nearest" if eqn.params["name"].endswith("nearest") else "linear"
    scales = graph.initializer(np.array([1, 1, factor, factor], np.float32), "scales")
    center = "asymmetric" if method == "nearest" else "half_pixel"
    attributes: dict[str, Any] = {"nearest_mode": "floor"} if method == "nearest" else {}
    name = graph.node(
        "Resize",
        [_full(graph, x, True), "", scales],
        mode=method,
        coordinate_transformation_mode=center,
        **attributes,
    )
    return Value(shape, dtype, shape, name=name, is_nchw=True)


def _window(op: str) -> Rule:
    def apply(graph: Graph, eqn: Any, inputs: list[Value], shape: Shape, dtype: Any) -> Value:
        x, params = inputs[0], eqn.params
        size, strides = params["window_dimensions"], params["window_strides"]
        pads = params["padding"]
        if len(size) != 4 or size[0] != 1 or size[3] != 1 or any(map(any, (pads[0], pads[3]))):
            raise RequestError("export knows windows over height and width only; please report it")
        attributes: dict[str, Any] = {
            "kernel_shape": size[1:3],
            "strides": strides[1:3],
            "pads": (pads[1][0], pads[2][0], pads[1][1], pads[2][1]),
        }
        if op == "AveragePool":
            attributes["count_include_pad"] = 1
        name = graph.node(op, [_full(graph, x, True)], **attributes)
        if op == "AveragePool":
            count = graph.initializer(np.array(size[1] * size[2], np.float32))
            name = graph.node("Mul", [name, count])
        return Value(shape, dtype, shape, name=name, is_nchw=True)

    return apply


RULES.update(reduce_window_sum=_window("AveragePool"), reduce_window_max=_window("MaxPool"))
