"""One implementation for NumPy and JAX: the array namespace and argument checks.

Nothing in this package imports JAX before it meets an array of JAX: with NumPy alone, as in the
engines of ONNX Runtime and OpenVINO, a program starts half a second earlier.
"""

import sys
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any  # numpy.ndarray or jax.Array: results have the kind of the argument


def is_jax(array: Any) -> bool:
    """Whether a value is a JAX array or tracer; imports nothing."""
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(array, jax.Array)


def namespace(*arrays: Any) -> Any:
    """Returns `jax.numpy` if any of the arrays is a JAX array or tracer, else `numpy`.

    >>> namespace(np.zeros(3)).__name__
    'numpy'
    >>> import jax.numpy as jnp
    >>> namespace(np.zeros(3), jnp.zeros(3)).__name__
    'jax.numpy'
    """
    if not any(is_jax(array) for array in arrays):
        return np
    import jax.numpy as jnp

    return jnp


def float_array(array: Any, name: str) -> Array:
    """Returns a floating-point array of at least 32 bits.

    Args:
        array: floating-point array. float16 and bfloat16 become float32; float32 and float64 stay.
        name: the argument's name, for the error.

    Returns:
        The array, in its own kind (NumPy or JAX).

    Raises:
        ValueError: if the array holds integers or booleans, whose scale is unknown.
    """
    array = array if is_jax(array) else np.asarray(array)
    if not _is_floating(array.dtype):
        raise ValueError(
            f"{name} must hold floating-point numbers, got {array.dtype}: divide 8-bit colors by "
            "255.0, or call the function whose name has `u8`"
        )
    return array.astype(np.float32) if array.dtype.itemsize < 4 else array


def _is_floating(dtype: Any) -> bool:
    return np.issubdtype(dtype, np.floating) or "float" in np.dtype(dtype).name  # bfloat16, float8


def check_last_axis(array: Array, size: int, name: str) -> None:
    """Raises a ValueError unless the array has shape (..., size)."""
    if array.ndim < 1 or array.shape[-1] != size:
        raise ValueError(f"{name} must have shape (..., {size}), got {tuple(array.shape)}")


def color_array(color: Any, name: str) -> Array:
    """Returns a floating-point array of shape (..., 3); see `float_array`."""
    color = float_array(color, name)
    check_last_axis(color, 3, name)
    return color
