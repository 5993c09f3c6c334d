"""Safe reader of the pickle in a file of `torch.save`, as a description of tensors.

A pickle is a program. `Machine` supports the instructions that build lists, dicts and descriptions
of tensors; all others are errors, so nothing is imported, called or changed. (`pickle.Unpickler`
with a custom `find_class` would prevent imports, but it still fills memory for one large memo
index, overflows the stack on a deep key, and uses the extensions registered in the process.)
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

import numpy as np

_MOST_ELEMENTS = 2**48
_MOST_AXES = 32

_DTYPES = {
    "torch.DoubleStorage": "float64",
    "torch.FloatStorage": "float32",
    "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "int64",
    "torch.IntStorage": "int32",
    "torch.ShortStorage": "int16",
    "torch.CharStorage": "int8",
    "torch.ByteStorage": "uint8",
    "torch.BoolStorage": "bool",
}
_STORED = {"bfloat16": "uint16", "bool": "uint8"}  # NumPy has no bfloat16; a bool may hold a 7
_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}
_FRESH: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
_NEVER = "which a weights file never needs; save only the state_dict()"
_Kind = TypeVar("_Kind")


class Refused(Exception):
    """The reason why a file is not read; the text follows the file's name in the message."""


@dataclass(frozen=True, slots=True)
class Imported:
    """The name of something that a pickle imports."""

    name: str


@dataclass(frozen=True, slots=True)
class Storage:
    """`size` elements, from element `first` on, of the numbers stored under `key`."""

    key: str
    dtype: str
    first: int
    size: int

    @property
    def stored_dtype(self) -> np.dtype:
        """NumPy type of the stored bytes."""
        return np.dtype(_STORED.get(self.dtype, self.dtype))

    @property
    def nbytes(self) -> int:
        """Number of bytes of the stored elements."""
        return self.size * self.stored_dtype.itemsize


@dataclass(frozen=True, slots=True)
class Tensor:
    """A strided view of a storage; offset and strides count elements and are not negative."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Machine:
    """Runs one pickle.

    Attributes:
        storages: the whole storages that the pickle refers to, by key.
    """

    def __init__(self) -> None:
        self.storages: dict[str, Storage] = {}
        self._stack: list[Any] = []
        self._marked: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def run(self, file: BinaryIO) -> Any:
        """Returns the object that a pickle describes; the file position is then the pickle's end.

        Time and memory depend only on the pickle's length.

        Returns:
            None, bool, int, float, str, bytes, Tensor, Storage, Imported, and tuples, lists and
            dicts (with keys of str and int) of those, to any depth and with any sharing.

        Raises:
            Refused: it contains more than data.
            ValueError, TypeError, LookupError: it is invalid.
        """
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name in _LITERALS:
                self._stack.append(argument)
            elif opcode.name in _FRESH:
                self._stack.append(_FRESH[opcode.name]())
            elif opcode.name not in ("PROTO", "FRAME", "STOP"):
                self._step(opcode.name, argument)
        return self._stack.pop()

    def _step(self, instruction: str, argument: Any) -> None:
        match instruction:
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = self._stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = self._stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                self._stack.append(self._memo[argument])
            case "MARK":
                self._marked.append(self._stack)
                self._stack = []
            case "POP":
                self._stack.pop()
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                items = [self._stack.pop() for _ in range(int(instruction[-1]))]
                self._stack.append(tuple(reversed(items)))
            case "TUPLE":
                self._collect(tuple)
            case "LIST":
                self._collect(list)
            case "DICT":
                self._collect(lambda items: _set_items({}, items))
            case _:
                self._change(instruction, argument)

    def _change(self, instruction: str, argument: Any) -> None:
        """Runs instructions that change a value or that a malicious pickle would use."""
        match instruction:
            case "APPEND":
                item = self._stack.pop()
                of_type(list, self._stack[-1]).append(item)
            case "APPENDS":
                items = self._pop_marked()
                of_type(list, self._stack[-1]).extend(items)
            case "SETITEM":
                value, key = self._stack.pop(), self._stack.pop()
                _set_items(of_type(dict, self._stack[-1]), (key, value))
            case "SETITEMS":
                items = self._pop_marked()
                _set_items(of_type(dict, self._stack[-1]), items)
            case "GLOBAL" | "INST":
                self._stack.append(_import(*argument.split(" ", 1)))
                if instruction == "INST":
                    raise Refused(f"is refused: it makes an object, {_NEVER}")
            case "STACK_GLOBAL":
                name, module = self._stack.pop(), self._stack.pop()
                self._stack.append(_import(of_type(str, module), of_type(str, name)))
            case "REDUCE":
                arguments, function = self._stack.pop(), self._stack.pop()
                self._stack.append(_call(function, of_type(tuple, arguments)))
            case "BUILD":  # attributes of an OrderedDict, such as _metadata with versions
                self._stack.pop()
                if type(self._stack[-1]) is not dict:
                    raise Refused(f"is refused: it changes an object, {_NEVER}")
            case "BINPERSID":
                self._stack.append(self._storage(of_type(tuple, self._stack.pop())))
            case _:
                raise Refused(f"is refused: it has the pickle instruction {instruction}, {_NEVER}")

    def _pop_marked(self) -> list[Any]:
        items, self._stack = self._stack, self._marked.pop()
        return items

    def _collect(self, build: Callable[[list[Any]], Any]) -> None:
        items = self._pop_marked()
        self._stack.append(build(items))

    def _storage(self, description: tuple[Any, ...]) -> Storage:
        """Returns the storage of ("storage", type, key, device, size[, view])."""
        if description[:1] != ("storage",):
            raise Refused(f"is refused: it holds more than tensors, {_NEVER}")
        _, kind, key, _, size, *view = _of_length((5, 6), description)
        dtype = _DTYPES.get(of_type(Imported, kind).name)
        if dtype is None:
            raise ValueError("a storage without a type")
        whole = Storage(of_type(str, key), dtype, 0, _count(size))
        if self.storages.setdefault(whole.key, whole) != whole:
            raise ValueError("a storage described twice")
        if not view or view[0] is None:
            return whole
        _, first, size = _of_length((3,), of_type(tuple, view[0]))
        if _count(first) + _count(size) > whole.size:
            raise ValueError("a view outside its storage")
        return Storage(whole.key, dtype, first, size)


def quoted(text: str) -> str:
    """Returns text of a file as one short line of ASCII."""
    return ascii(text[:80])[1:-1]


def of_type(kind: type[_Kind], value: Any) -> _Kind:
    """Returns the value if it has exactly this type, else raises ValueError."""
    if type(value) is not kind:
        raise ValueError(f"{kind.__name__} expected, got {type(value).__name__}")
    return value


def _of_length(lengths: tuple[int, ...], values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Checks a tuple's length before it is copied: the memo may repeat it a million times."""
    if len(values) not in lengths:
        raise ValueError(f"a tuple of {len(values)}")
    return values


def _count(value: Any) -> int:
    if not 0 <= of_type(int, value) < _MOST_ELEMENTS:
        raise ValueError("a size that is negative or too large")
    return value


def _set_items(target: dict[Any, Any], items: Iterable[Any]) -> dict[Any, Any]:
    """Sets key, value, key, value...; only allows keys with a fast hash without recursion."""
    each = iter(items)
    for key, value in zip(each, each, strict=True):
        if type(key) is not str and not -(2**63) <= of_type(int, key) < 2**63:
            raise ValueError("a key that is too large")
        target[key] = value
    return target


def _import(module: str, name: str) -> Imported:
    imported = Imported(f"{module}.{name}")
    if imported.name not in _NAMES:
        raise Refused(f"is refused: it asks for {quoted(imported.name)}, {_NEVER}")
    return imported


def _call(function: Any, arguments: tuple[Any, ...]) -> Any:
    """Calls our own function of that name."""
    ours = _FUNCTIONS.get(function.name) if type(function) is Imported else None
    if ours is None:
        raise Refused(f"is refused: it calls a function that no state dict uses, {_NEVER}")
    return ours(arguments)


def _ordered_dict(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """Returns `collections.OrderedDict()`, empty or from one list of pairs, as in Python 2."""
    items: dict[Any, Any] = {}
    if _of_length((0, 1), arguments):
        pairs = of_type(list, arguments[0])
        for key, value in pairs:
            _set_items(items, (key, value))
        pairs.clear()  # a list in the memo could be copied a million times
    return items


def _tensor(arguments: tuple[Any, ...]) -> Tensor:
    """Returns `torch._utils._rebuild_tensor`, or `_rebuild_tensor_v2` with its other arguments."""
    storage, offset, shape, strides = _of_length((4, 6, 7), arguments)[:4]
    if len(arguments) == 7 and arguments[6]:
        raise Refused("is refused: it holds a conjugate or negative view; save its clone()")
    axes = tuple(range(_MOST_AXES + 1))
    return Tensor(
        of_type(Storage, storage),
        _count(offset),
        tuple(_count(length) for length in _of_length(axes, of_type(tuple, shape))),
        tuple(_count(stride) for stride in _of_length((len(shape),), of_type(tuple, strides))),
    )


def _parameter(arguments: tuple[Any, ...]) -> Tensor:
    """Returns the tensor of `torch._utils._rebuild_parameter`."""
    return of_type(Tensor, _of_length((3,), arguments)[0])


def _slice(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns the arguments of `slice`, as data."""
    return _of_length((1, 2, 3), arguments)


_FUNCTIONS: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    # Learning rates in the optimizer's part of files of fastai, which is not used.
    "builtins.slice": _slice,
    "__builtin__.slice": _slice,
}
_NAMES = {*_FUNCTIONS, *_DTYPES, *(f"torch.{dtype}" for dtype in _DTYPES.values())}
