"""How fast is the depthwise convolution, compared with XLA's grouped convolution and PyTorch's?

    python -m benchmarks.depthwise
    python -m benchmarks.depthwise --batch 1 --size 224

One row a form, a layer of EfficientNet-Lite0 at the given photo size, and a direction (`forward`,
or `gradient`: forward pass and both gradients). Rows:

    shifts   a sum of shifted products with its own gradient, the form that a CPU takes
    xla      XLA's convolution with feature_group_count
    torch    PyTorch's conv2d with groups in float32, where torch is installed

The forms take turns. The row `shifts` has `xla` as its peer, and in addition `ratio_to_torch`.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import measure
from colorjax.models.blocks.depthwise import Padding, depthwise_convolve


class Layer(NamedTuple):
    """A depthwise convolution of EfficientNet-Lite0."""

    scale: int  # side of the photo over that of its input
    channels: int
    kernel_size: int
    stride: int

    @property
    def padding(self) -> Padding:
        """Returns TensorFlow's SAME padding for sides that the stride divides."""
        total = self.kernel_size - self.stride
        return ((total // 2, total - total // 2),) * 2


LAYERS = (
    Layer(2, 96, 3, 2),  # block 1
    Layer(4, 144, 3, 1),
    Layer(4, 144, 5, 2),
    Layer(8, 240, 5, 1),
    Layer(16, 480, 3, 1),
    Layer(16, 672, 5, 1),
    Layer(16, 672, 5, 2),
    Layer(32, 1152, 5, 1),
)
DIRECTIONS = ("forward", "gradient")


def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    for layer in LAYERS:
        for direction in DIRECTIONS:
            print_rows(layer, direction, args)
    return 0


def print_rows(layer: Layer, direction: str, args: argparse.Namespace) -> None:
    """Times a layer in one direction and prints its rows."""
    side = args.size // layer.scale
    rng = np.random.default_rng(0)
    x = rng.normal(size=(args.batch, side, side, layer.channels)).astype(np.float32)
    size = layer.kernel_size
    kernel = rng.normal(size=(size, size, 1, layer.channels)).astype(np.float32)
    works = {
        "shifts": _ours(x, kernel, layer, direction, as_shifts=True),
        "xla": _ours(x, kernel, layer, direction, as_shifts=False),
    }
    devices = dict.fromkeys(works, f"{jax.devices()[0].device_kind}, {measure.host()}")
    if importlib.util.find_spec("torch"):
        works["torch"] = _torch(x, kernel, layer, direction, args.torch_threads)
        devices["torch"] = f"cpu, {args.torch_threads} threads, {measure.host()}"
    runs = {name: measure.timed(work) for name, work in works.items()}
    seconds = measure.alternate(runs, args.repeats)
    for name in runs:
        more: dict[str, Any] = {}
        if name == "shifts":
            more = {"peer": "xla", "peer_seconds": seconds["xla"]}
            if "torch" in seconds:
                ratio = measure.ratio(seconds["torch"], seconds["shifts"])
                more["ratio_to_torch"] = round(ratio, 3)
        measure.print_row(
            "depthwise",
            name,
            seconds[name],
            size=args.size,
            batch=args.batch,
            images=args.batch,
            device=devices[name],
            direction=direction,
            input=list(x.shape),
            kernel_size=size,
            stride=layer.stride,
            **more,
        )


def _ours(
    x: np.ndarray, kernel: np.ndarray, layer: Layer, direction: str, *, as_shifts: bool
) -> Callable[[], Any]:
    def forward(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return depthwise_convolve(
            x, kernel, stride=layer.stride, padding=layer.padding, as_shifts=as_shifts
        )

    def gradient(x: jax.Array, kernel: jax.Array) -> Any:
        return jax.grad(lambda x, k: jnp.sum(forward(x, k) ** 2), argnums=(0, 1))(x, kernel)

    run = jax.jit(forward if direction == "forward" else gradient)
    arrays = jax.device_put((x, kernel))
    return lambda: jax.block_until_ready(run(*arrays))


def _torch(
    x: np.ndarray, kernel: np.ndarray, layer: Layer, direction: str, threads: int
) -> Callable[[], Any]:
    import torch

    torch.set_num_threads(threads)
    inputs = torch.from_numpy(x.transpose(0, 3, 1, 2)).to(memory_format=torch.channels_last)
    weights = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
    (top, bottom), (left, right) = layer.padding

    def forward(x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        padded = torch.nn.functional.pad(x, (left, right, top, bottom))
        return torch.nn.functional.conv2d(
            padded, weights, stride=layer.stride, groups=layer.channels
        )

    def only_forward() -> Any:
        with torch.inference_mode():
            return forward(inputs, weights)

    def gradient() -> Any:
        arrays = [array.detach().requires_grad_() for array in (inputs, weights)]
        return torch.autograd.grad((forward(*arrays) ** 2).sum(), arrays)

    return only_forward if direction == "forward" else gradient


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.depthwise",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, number = parser.add_argument, measure.at_least_one
    add("--size", type=_multiple_of_32, default=128, help="side of a photo (default: %(default)s)")
    add("--batch", type=number, default=16, help="photos (default: %(default)s)")
    add("--repeats", type=number, default=5, help="turns (default: %(default)s)")
    add("--torch-threads", type=number, default=os.cpu_count(), help="(default: %(default)s)")
    return parser.parse_args(argv)


def _multiple_of_32(text: str) -> int:
    number = measure.at_least_one(text)
    if number % 32:
        raise ValueError(text)
    return number


if __name__ == "__main__":
    raise SystemExit(main())
