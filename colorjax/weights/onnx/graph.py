"""An ONNX graph under construction: values with a storage order, constants folded."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from colorjax.errors import RequestError

OPSET = 17  # Resize, Einsum, LayerNormalization; read by every ONNX Runtime since 1.12
IR_VERSION = 8
FEATURES = "features_"  # then a number: outputs of the encoder, inputs of the decoder
NCHW = (0, 3, 1, 2)  # storage order of maps, which are NHWC in JAX
_TO_NHWC = (0, 2, 3, 1)


@dataclasses.dataclass
class Value:
    """A tensor of the graph, or a constant.

    Attributes:
        shape: its logical shape, as in JAX; dimensions are int or symbolic.
        dtype: NumPy's.
        stored: shape that the tensor really has; 1 where it is broadcast to `shape`.
        constant: the array of a constant, in logical order, of the shape `stored`.
        name: of the tensor in the graph; "" for a constant.
        is_nchw: whether the tensor is stored as NCHW, though its logical order is NHWC.
        conv: node index of the convolution that made it, as long as nothing else uses it.
        rectified: the tensor whose Relu it is.
    """

    shape: tuple[Any, ...]
    dtype: Any
    stored: tuple[Any, ...]
    constant: np.ndarray | None = None
    name: str = ""
    is_nchw: bool = False
    conv: int | None = None
    rectified: str = ""


def constant(array: Any) -> Value:
    """Returns a constant value."""
    array = np.asarray(array)
    return Value(array.shape, array.dtype, array.shape, constant=array)


class Graph:
    """Collects nodes and initializers; see `Value`."""

    def __init__(self, symbols: dict[str, str] | None = None, *, starts_encoded: bool = False):
        """Starts an empty graph.

        Args:
            symbols: name of each symbolic dimension -> the int64 tensor (1,) that holds it.
            starts_encoded: whether the values that the encoder returns are inputs.
        """
        self.encoded: list[Value] = []
        self._starts_encoded = starts_encoded
        self.nodes: list[Any] = []
        self.initializers: dict[str, np.ndarray] = {}
        self._symbols = symbols or {}
        self._count = 0
        self._dims: dict[str, str] = {}

    def new_name(self, stem: str) -> str:
        """Returns a name that the graph does not use yet."""
        self._count += 1
        return f"{stem}_{self._count}"

    def node(self, op: str, inputs: Sequence[str], *, outputs: int = 1, **attributes: Any) -> Any:
        """Adds a node; returns the name of its output, or a list of several."""
        from onnx import helper

        names = [self.new_name(op.lower()) for _ in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def initializer(self, array: np.ndarray, stem: str = "const") -> str:
        """Adds a constant tensor; returns its name."""
        name = self.new_name(stem)
        self.initializers[name] = np.ascontiguousarray(array)
        return name

    def tensor(self, value: Value, *, nchw: bool = False) -> str:
        """Returns the name of a value's tensor, in logical order or as NCHW."""
        if value.constant is not None:
            array = value.constant
            if nchw and array.ndim == 4:
                array = array.transpose(NCHW)
            return self.initializer(array)
        value.conv = None  # used: later terms can no longer be merged into the convolution
        if value.is_nchw == nchw or len(value.shape) != 4:
            return value.name
        return self.node("Transpose", [value.name], perm=NCHW if nchw else _TO_NHWC)

    def mark_encoded(self, value: Value) -> Value:
        """Notes a value that the encoder returns; returns what the decoder gets."""
        if self._starts_encoded:
            name = f"{FEATURES}{len(self.encoded)}"
            value = Value(value.shape, value.dtype, value.shape, name=name, is_nchw=True)
        value.conv = None  # later terms belong to the decoder
        self.encoded.append(value)
        return value

    def result(self, name: str, value: Value) -> None:
        """Makes a value a result of the graph: a map as NCHW, anything else in logical order."""
        from onnx import helper

        tensor = self.tensor(value, nchw=True)
        if value.stored != value.shape:
            tensor = self.node("Expand", [tensor, self.dims([value.shape[i] for i in NCHW])])
        self.nodes.append(helper.make_node("Identity", [tensor], [name]))

    def pruned(self, results: Sequence[str]) -> tuple[list[Any], dict[str, np.ndarray]]:
        """Returns the nodes and initializers that the results depend on."""
        wanted, nodes = set(results), []
        for node in reversed(self.nodes):
            if wanted.intersection(node.output):
                nodes.append(node)
                wanted.update(node.input)
        kept = {name: array for name, array in self.initializers.items() if name in wanted}
        return nodes[::-1], kept

    def dims(self, shape: Sequence[Any]) -> str:
        """Returns the name of an int64 tensor that holds dimensions, symbolic ones computed."""
        if all(isinstance(dim, int) for dim in shape):
            return self.initializer(np.array(shape, np.int64), "shape")
        parts = [
            self.initializer(np.array([dim], np.int64), "dim")
            if isinstance(dim, int)
            else self._symbolic(dim)
            for dim in shape
        ]
        return parts[0] if len(parts) == 1 else self.node("Concat", parts, axis=0)

    def _symbolic(self, dim: Any) -> str:
        text = str(dim)  # an expression in the form that jax.export.symbolic_shape reads
        if text not in self._dims:
            names = {name: _Size(self, tensor) for name, tensor in self._symbols.items()}
            allowed = {
                "__builtins__": {},
                "floordiv": lambda a, b: a // b,
                "mod": lambda a, b: a % b,
                "max": lambda a, b: _Size.of(self, a).larger(b),
                "min": lambda a, b: _Size.of(self, a).smaller(b),
            }
            try:
                result = eval(text, allowed, names)  # of our own expression of h and w
            except (NameError, SyntaxError, TypeError) as error:
                raise RequestError(
                    f"this network has a size that depends on the photo's in a way ({text}) that "
                    "export --dynamic does not know; give --size instead"
                ) from error
            self._dims[text] = _Size.of(self, result).name
        return self._dims[text]


class _Size:
    """An int64 tensor (1,) with the arithmetic of symbolic dimensions."""

    def __init__(self, graph: Graph, name: str):
        self.graph, self.name = graph, name

    @classmethod
    def of(cls, graph: Graph, value: Any) -> _Size:
        if isinstance(value, _Size):
            return value
        return cls(graph, graph.initializer(np.array([value], np.int64), "dim"))

    def _with(self, op: str, other: Any, swapped: bool = False) -> _Size:
        pair = [self.name, _Size.of(self.graph, other).name]
        return _Size(self.graph, self.graph.node(op, pair[::-1] if swapped else pair))

    def __add__(self, other: Any) -> _Size:
        return self._with("Add", other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> _Size:
        return self._with("Sub", other)

    def __rsub__(self, other: Any) -> _Size:
        return self._with("Sub", other, swapped=True)

    def __mul__(self, other: Any) -> _Size:
        return self._with("Mul", other)

    __rmul__ = __mul__

    def __neg__(self) -> _Size:
        return self._with("Mul", -1)

    def __floordiv__(self, other: Any) -> _Size:
        return self._with("Div", other)  # sizes are positive: truncation is the floor

    def __mod__(self, other: Any) -> _Size:
        return self._with("Mod", other)

    def larger(self, other: Any) -> _Size:
        return self._with("Max", other)

    def smaller(self, other: Any) -> _Size:
        return self._with("Min", other)
