"""Does bfloat16 help on a CPU? GFLOP/s of products and convolutions in JAX and PyTorch.

    taskset -c 1 python -m benchmarks.cpu_bfloat16

One thread of PyTorch, processor time, the best of seven runs; Markdown. XLA_FLAGS changes JAX's
rows. `gradient` is the product of transposed patches and the gradient of the output.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import measure

N, SIDE, DEPTH = 4, 56, 128  # of the convolution
PRODUCT = 2 * 1024**3
CONVOLUTION = 2 * N * SIDE**2 * DEPTH**2 * 9


def main() -> int:
    """Prints the table."""
    print("| operation | library | float32 | bfloat16 |\n|---|---|---:|---:|")
    for name, flops, function, shapes in OPERATIONS:
        rates = [flops / _seconds(_program(function, shapes, kind)) for kind in KINDS]
        _print(name, "JAX", rates)
    for name, rates in _torch_rates():
        _print(name, "PyTorch", rates)
    print(f"\n{measure.host()}; {measure.versions()}")
    return 0


def _print(name: str, library: str, rates: list[float]) -> None:
    print(f"| {name} | {library} | {' | '.join(f'{x / 1e9:.0f}' for x in rates)} |", flush=True)


def _seconds(run: Callable[[], Any]) -> float:
    run()
    timed = measure.timed(run, time.process_time)
    return min(timed() for _ in range(7))


def _program(function: Any, shapes: Any, kind: Any) -> Callable[[], Any]:
    keys = jax.random.split(jax.random.key(0), len(shapes))
    arrays = [jax.random.normal(key, shape, kind) for key, shape in zip(keys, shapes, strict=True)]
    program = jax.jit(function).lower(*arrays).compile()
    return lambda: jax.block_until_ready(program(*arrays))


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.dot(a, b)


def _wide_product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.dot(a, b, preferred_element_type=jnp.float32)


def _convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    names = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=names)


def _taps(x: jax.Array) -> list[jax.Array]:
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return [padded[:, i : i + SIDE, j : j + SIDE] for i in range(3) for j in range(3)]


def _patches(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return _wide_product(jnp.concatenate(_taps(x), axis=-1), kernel.reshape(-1, DEPTH))


def _nine_products(x: jax.Array, kernel: jax.Array) -> jax.Array:
    kernels = kernel.reshape(9, DEPTH, DEPTH)
    return sum(_wide_product(tap, one) for tap, one in zip(_taps(x), kernels, strict=True))


def _gradient(patches: jax.Array, g: jax.Array) -> jax.Array:
    axes = (((0,), (0,)), ((), ()))
    return jax.lax.dot_general(patches, g, axes, preferred_element_type=jnp.float32)


KINDS = (jnp.float32, jnp.bfloat16)
_SQUARE, _IMAGES, _KERNEL = (1024, 1024), (N, SIDE, SIDE, DEPTH), (3, 3, DEPTH, DEPTH)
_ROWS = (N * SIDE**2, 9 * DEPTH)
OPERATIONS = (
    ("product", PRODUCT, _product, (_SQUARE, _SQUARE)),
    ("product, result float32", PRODUCT, _wide_product, (_SQUARE, _SQUARE)),
    ("convolution", CONVOLUTION, _convolution, (_IMAGES, _KERNEL)),
    ("convolution as patches", CONVOLUTION, _patches, (_IMAGES, _KERNEL)),
    ("convolution as nine products", CONVOLUTION, _nine_products, (_IMAGES, _KERNEL)),
    ("product of patches alone", CONVOLUTION, _wide_product, (_ROWS, (9 * DEPTH, DEPTH))),
    ("gradient of the kernel", CONVOLUTION, _gradient, (_ROWS, (N * SIDE**2, DEPTH))),
)


def _torch_rates() -> list[tuple[str, list[float]]]:
    try:
        import torch
    except ImportError:
        return []
    torch.set_num_threads(1)
    products, convolutions = [], []
    for kind in (torch.float32, torch.bfloat16):
        a = torch.randn(1024, 1024).to(kind)
        products.append(PRODUCT / _seconds(lambda a=a: a @ a))
        last = {"dtype": kind, "memory_format": torch.channels_last}
        x = torch.randn(N, DEPTH, SIDE, SIDE).to(**last)
        kernel = torch.randn(DEPTH, DEPTH, 3, 3).to(**last)
        run = torch.nn.functional.conv2d
        seconds = _seconds(lambda x=x, kernel=kernel, run=run: run(x, kernel, padding=1))
        convolutions.append(CONVOLUTION / seconds)
    return [("product", products), ("convolution", convolutions)]


if __name__ == "__main__":
    raise SystemExit(main())
