"""Converts the arrays of a PyTorch state dict to our variables; lists missing or wrong ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax import traverse_util

from colorjax.errors import RequestError

Path = tuple[str, ...]  # collection, module..., array
Shapes = dict[Path, tuple[int, ...]]

_LISTED = 6  # largest number of names in an error
# Our name of an array: name in the file.
_NAMES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


def shapes_of(network: nn.Module, shape: tuple[int, ...]) -> Shapes:
    """Returns the shapes of the variables of a network with one input of this shape."""
    blank = jax.ShapeDtypeStruct(shape, np.float32)
    variables = jax.eval_shape(network.init, jax.random.key(0), blank)
    flat: dict[Path, Any] = traverse_util.flatten_dict(variables)
    return {path: leaf.shape for path, leaf in flat.items()}


def same_names(shapes: Shapes) -> list[tuple[str, Path]]:
    """Returns (name in the file, our path) of each array, for files with our module names.

    >>> same_names({("batch_stats", "Mixed_5b", "bn", "mean"): (64,)})
    [('Mixed_5b.bn.running_mean', ('batch_stats', 'Mixed_5b', 'bn', 'mean'))]
    """
    return [
        (".".join([*path[1:-1], _NAMES.get(path[-1], path[-1])]), path) for path in sorted(shapes)
    ]


def to_variables(
    state: Mapping[str, np.ndarray],
    entries: Iterable[tuple[str, Path]],
    shapes: Shapes,
    what: str,
    fix: str,
) -> dict[str, Any]:
    """Turns a state dict into variables: convolutions to (K, K, I, O), matrices to (I, O).

    Args:
        state: arrays by PyTorch's names; unused ones are ignored.
        entries: name in the file and path in our variables, for each of `shapes`.
        shapes: of our variables.
        what: first part of the error message, "'FILE' has no weights of NETWORK".
        fix: last part of the error message.

    Returns:
        The variables, NumPy float32.

    Raises:
        RequestError: missing arrays or wrong shapes; the message lists them.
    """
    arrays, missing, misshapen = {}, [], []
    for name, path in entries:
        wanted = _as_in_the_file(shapes[path])
        if name not in state:
            missing.append(name)
        elif state[name].shape != wanted:
            misshapen.append(f"{name} {state[name].shape}, not {wanted}")
        else:
            arrays[path] = _as_ours(np.asarray(state[name], np.float32))
    check_complete(missing, misshapen, what, fix)
    assert arrays.keys() == shapes.keys()
    return traverse_util.unflatten_dict(arrays)


def check_complete(missing: list[str], misshapen: list[str], what: str, fix: str = "") -> None:
    """Raises a RequestError that lists missing arrays and wrong shapes, if there are any.

    Args:
        missing: names.
        misshapen: names with their shapes.
        what: first part of the message.
        fix: last part of the message.
    """
    if missing or misshapen:
        parts = [("missing", missing), ("of another shape", misshapen)]
        text = "; ".join(f"{len(names)} {kind}: {listed(names)}" for kind, names in parts if names)
        raise RequestError(f"{what}: {text}" + (f"; {fix}" if fix else ""))


def _as_ours(array: np.ndarray) -> np.ndarray:
    if array.ndim == 4:  # (O, I, K, K)
        return np.ascontiguousarray(array.transpose(2, 3, 1, 0))
    return np.ascontiguousarray(array.T)


def _as_in_the_file(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape[::-1]


def listed(names: list[str]) -> str:
    """Returns the first names, and how many more there are."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
