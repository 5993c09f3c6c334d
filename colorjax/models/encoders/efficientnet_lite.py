"""EfficientNet-Lite 0, 1 and 2: pretrained encoders that return feature maps.

The networks of google-research's efficientnet/lite (Tan and Le 2019, without squeeze-and-excitation
and with ReLU6): a strided stem, MBConv blocks (1x1 expansion, depthwise convolution, linear 1x1
projection) and, optionally, the ImageNet classifier. Weights:
`colorjax.weights.torch.encoders`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util
from jax import lax

from colorjax import color
from colorjax.errors import unknown_name
from colorjax.models.blocks.convolution import convolve
from colorjax.models.blocks.depthwise import Padding, depthwise_convolve

EPSILON = 1e-3  # of all BatchNorms
STRIDES = (2, 4, 8, 16, 32)  # of the feature maps
_STEM, _HEAD = 32, 1280  # channels, of all variants
# Width and depth. "tiny" has no published weights: for tests and first trials, 7 blocks.
_VARIANTS = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2), "tiny": (0.2, 0.3)}
VARIANTS = tuple(_VARIANTS)
# Stages of EfficientNet-B0: blocks, kernel size, stride of the first block, expansion, channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class _Block(NamedTuple):
    """An MBConv block."""

    kernel_size: int
    stride: int
    expansion: int  # ratio of middle to input channels
    features: int  # output channels


@functools.cache
def _blocks(variant: str) -> tuple[_Block, ...]:
    if variant not in _VARIANTS:
        raise unknown_name("encoder", variant, VARIANTS)
    width, depth = _VARIANTS[variant]
    blocks = []
    for stage, (repeats, kernel_size, stride, expansion, features) in enumerate(_STAGES):
        if 0 < stage < len(_STAGES) - 1:  # the first and the last stage keep their depth
            repeats = math.ceil(depth * repeats)
        for repeat in range(repeats):
            step = stride if repeat == 0 else 1
            blocks.append(_Block(kernel_size, step, expansion, _rounded(features * width)))
    return tuple(blocks)


def _rounded(features: float) -> int:
    """Returns the multiple of 8 nearest to a number of channels, at least 90 % of it."""
    rounded = max(8, int(features + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * features else rounded


def _tapped(variant: str) -> tuple[int, ...]:
    """Returns the number of the last block at each of STRIDES."""
    blocks = _blocks(variant)
    before_next = [i for i, block in enumerate(blocks[1:]) if block.stride == 2]
    return (*before_next, len(blocks) - 1)


def channels(variant: str) -> tuple[int, ...]:
    """Returns the channels of the five feature maps, at strides 2, 4, 8, 16 and 32.

    Raises:
        RequestError: unknown variant.

    >>> channels("lite0")
    (16, 24, 40, 112, 320)
    """
    blocks = _blocks(variant)
    return tuple(blocks[i].features for i in _tapped(variant))


def num_blocks(variant: str) -> int:
    """Returns the number of MBConv blocks.

    Raises:
        RequestError: unknown variant.

    >>> num_blocks("lite0")
    16
    """
    return len(_blocks(variant))


def frozen_layers(variant: str, frozen_blocks: int) -> tuple[str, ...]:
    """Returns the names of the modules that `frozen_blocks` freezes.

    They are keys of the encoder's `params` and `batch_stats`; the optimizer ignores them.

    Args:
        variant: of `EfficientNetLite`.
        frozen_blocks: of `EfficientNetLite`; 0 freezes nothing, n the stem and n blocks.

    Raises:
        RequestError: unknown variant.
        ValueError: more blocks than the variant has, or a negative number.

    >>> frozen_layers("lite0", 2)
    ('stem', 'block0', 'block1')
    """
    if not 0 <= frozen_blocks <= num_blocks(variant):
        raise ValueError(
            f"frozen_blocks must be 0 to {num_blocks(variant)} for {variant}, got {frozen_blocks}"
        )
    if frozen_blocks == 0:
        return ()
    return ("stem", *(f"block{i}" for i in range(frozen_blocks)))


def normalize(gray: jax.Array) -> jax.Array:
    """Returns the encoder's input for gray photos: (x - 127) / 128 in three equal channels.

    x in [0, 255] is the sRGB value of the neutral color of that lightness.

    Args:
        gray: (N, H, W, 1), L / 50 - 1 in [-1, 1], L of CIE Lab in [0, 100].

    Returns:
        (N, H, W, 3), float32, in [-127 / 128, 1].
    """
    value = 255 * color.gray_of_lightness(color.denormalize_lightness(gray.astype(jnp.float32)))
    return jnp.repeat((value - 127) / 128, 3, axis=-1)


class _ConvNorm(nn.Module):
    """A convolution without bias and its BatchNorm, with TensorFlow's SAME padding.

    Parameters: kernel (K, K, I, O), or (K, K, 1, I) if depthwise; scale and bias (O,); in
    `batch_stats` mean and var (O,).

    Attributes:
        features: output channels; those of the input if depthwise.
        kernel_size: side of the kernel.
        stride: step between outputs.
        depthwise: whether the convolution is depthwise.
        dtype: of the computation.
        momentum: share of the old running statistics in the new ones.
    """

    features: int
    kernel_size: int = 1
    stride: int = 1
    depthwise: bool = False
    dtype: Any = jnp.float32
    momentum: float = 0.99

    @nn.compact
    def __call__(self, x: jax.Array, *, batch_norm: bool) -> jax.Array:
        """Maps (N, H, W, I) to (N, ceil(H / stride), ceil(W / stride), features).

        Args:
            x: float.
            batch_norm: whether to use batch statistics and update the running ones.
        """
        inputs = 1 if self.depthwise else x.shape[-1]
        he = nn.initializers.variance_scaling(2.0, "fan_in" if inputs > 1 else "fan_out", "normal")
        shape = (self.kernel_size, self.kernel_size, inputs, self.features)
        kernel = self.param("kernel", he, shape)
        scale = self.param("scale", nn.initializers.ones, (self.features,))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        mean = self.variable("batch_stats", "mean", jnp.zeros, (self.features,))
        var = self.variable("batch_stats", "var", jnp.ones, (self.features,))
        if not batch_norm:
            # Folded into the kernel, the factor and its gradient cost nothing.
            factor = scale * lax.rsqrt(var.value + EPSILON)
            y = self._convolve(x, kernel * factor.reshape(1, 1, 1, -1))
            return y + (bias - mean.value * factor).astype(y.dtype).reshape(1, 1, 1, -1)
        y = self._convolve(x, kernel).astype(jnp.float32)
        batch_mean, batch_var = jnp.mean(y, (0, 1, 2)), jnp.var(y, (0, 1, 2))
        if not self.is_initializing():
            keep = self.momentum
            mean.value = keep * mean.value + (1 - keep) * batch_mean
            var.value = keep * var.value + (1 - keep) * batch_var
        factor = scale * lax.rsqrt(batch_var + EPSILON)
        shift = bias - batch_mean * factor
        y = y * factor.reshape(1, 1, 1, -1) + shift.reshape(1, 1, 1, -1)
        return y.astype(self.dtype)

    def _convolve(self, x: jax.Array, kernel: jax.Array) -> jax.Array:
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        if self.kernel_size == 1:
            return convolve(x, kernel, as_patches=True)  # one matrix product
        padding = _tensorflow_same(x.shape[1:3], self.kernel_size, self.stride)
        if self.depthwise:
            return depthwise_convolve(x, kernel, stride=self.stride, padding=padding)
        padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
        return convolve(padded, kernel, stride=self.stride)


def _tensorflow_same(sides: tuple[int, ...], kernel_size: int, stride: int) -> Padding:
    """Returns the padding of (H, W) for which a side becomes ceil(side / stride).

    >>> _tensorflow_same((8, 7), 3, 2)
    ((0, 1), (1, 1))
    """
    height, width = (
        max((-(-side // stride) - 1) * stride + kernel_size - side, 0) for side in sides
    )
    return (height // 2, height - height // 2), (width // 2, width - width // 2)


class _MBConv(nn.Module):
    """An MBConv block: expansion, depthwise convolution, projection; residual if shapes match."""

    block: _Block
    dtype: Any
    momentum: float

    @nn.compact
    def __call__(self, x: jax.Array, *, batch_norm: bool) -> jax.Array:
        """Maps (N, H, W, I) to (N, ceil(H / stride), ceil(W / stride), features)."""
        kernel_size, stride, expansion, features = self.block
        layer = functools.partial(_ConvNorm, dtype=self.dtype, momentum=self.momentum)
        middle = x.shape[-1] * expansion
        y = x
        if expansion > 1:
            y = nn.relu6(layer(middle, name="expand")(y, batch_norm=batch_norm))
        depthwise = layer(middle, kernel_size, stride, depthwise=True, name="depthwise")
        y = nn.relu6(depthwise(y, batch_norm=batch_norm))
        y = layer(features, name="project")(y, batch_norm=batch_norm)
        return x + y if y.shape == x.shape else y


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite: feature maps at strides 2, 4, 8, 16 and 32.

    Modules: stem, block0, block1, ...; with `num_classes` head and classifier.

    Attributes:
        variant: "lite0", "lite1", "lite2", or "tiny", which has no published weights.
        dtype: of the computation; parameters and statistics are float32.
        frozen_blocks: number of blocks that, with the stem, do not learn: gradients stop there, and
            BatchNorm always uses its running statistics; 0: everything learns.
        norm: BatchNorm in training: "frozen" uses the running statistics and never updates them,
            "batch" uses batch statistics and updates the running ones.
        num_classes: of the classifier; 0: none.
        momentum: share of the old running statistics in the new ones, with norm "batch".
    """

    variant: str = "lite0"
    dtype: Any = jnp.float32
    frozen_blocks: int = 0
    norm: Literal["frozen", "batch"] = "frozen"
    num_classes: int = 0
    momentum: float = 0.99

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the five feature maps."""
        return channels(self.variant)

    @nn.compact
    def __call__(self, rgb: jax.Array, *, train: bool = False) -> tuple[jax.Array, ...]:
        """Computes the feature maps.

        Args:
            rgb: (N, H, W, 3), (x - 127) / 128 of pixel values in [0, 255]; see `normalize`.
            train: whether norm "batch" uses batch statistics.

        Returns:
            The output of the last block at each of the strides s = 2, 4, 8, 16, 32, linear,
            (N, ceil(H / s), ceil(W / s), channels) of `dtype`; with `num_classes` followed by the
            logits (N, num_classes), float32.

        Raises:
            RequestError: unknown variant or norm.
            ValueError: `frozen_blocks` exceeds the number of blocks.
        """
        if self.norm not in ("frozen", "batch"):
            raise unknown_name("norm", self.norm, ("frozen", "batch"))
        frozen = frozen_layers(self.variant, self.frozen_blocks)
        tapped = _tapped(self.variant)
        learns_norm = train and self.norm == "batch"
        options = {"dtype": self.dtype, "momentum": self.momentum}

        stem = _ConvNorm(_STEM, 3, 2, name="stem", **options)
        x = nn.relu6(stem(rgb, batch_norm=learns_norm and not frozen))
        maps = []
        for i, block in enumerate(_blocks(self.variant)):
            name = f"block{i}"
            is_frozen = name in frozen
            x = _MBConv(block, name=name, **options)(x, batch_norm=learns_norm and not is_frozen)
            if is_frozen:
                x = lax.stop_gradient(x)
            if i in tapped:
                maps.append(x)
        if not self.num_classes:
            return tuple(maps)
        head = _ConvNorm(_HEAD, name="head", **options)
        x = nn.relu6(head(x, batch_norm=learns_norm))
        pooled = jnp.mean(x.astype(jnp.float32), axis=(1, 2))
        return (*maps, nn.Dense(self.num_classes, name="classifier")(pooled))


def estimate_statistics(
    network: EfficientNetLite, variables: dict[str, Any], batches: Iterable[jax.Array]
) -> dict[str, Any]:
    """Returns BatchNorm statistics recomputed on other photos, for example gray ones.

    Each batch is normalized by its own statistics. A layer's new mean and variance are those of all
    its inputs: the mean of the batch means, and the mean of the batch variances plus the variance
    of the batch means.

    Args:
        network: the encoder; its `frozen_blocks` keep their statistics.
        variables: its params and batch_stats.
        batches: inputs of the network, (N, H, W, 3), all of the same shape.

    Returns:
        batch_stats that replace those in `variables`, float32.

    Raises:
        ValueError: no batches.
    """
    recorder = network.clone(norm="batch", momentum=0.0)

    @jax.jit
    def of_batch(rgb: jax.Array) -> Any:
        return recorder.apply(variables, rgb, train=True, mutable=["batch_stats"])[1]["batch_stats"]

    count, total = 0, None
    for rgb in batches:
        moments = _moments(of_batch(rgb))
        total = moments if total is None else jax.tree.map(jnp.add, total, moments)
        count += 1
    if total is None:
        raise ValueError("batches must hold at least one batch, got none")
    first, second = (jax.tree.map(lambda value: value / count, part) for part in total)
    second = {path: second[path] - first[path] ** 2 for path in second}
    flat = {(*path, "mean"): value for path, value in first.items()}
    flat |= {(*path, "var"): value for path, value in second.items()}
    return traverse_util.unflatten_dict(flat)


def _moments(batch_stats: Any) -> tuple[dict[Any, jax.Array], dict[Any, jax.Array]]:
    """Returns the mean and the mean square of each layer, by its path."""
    flat: dict[Any, Any] = traverse_util.flatten_dict(batch_stats)
    means = {path[:-1]: value for path, value in flat.items() if path[-1] == "mean"}
    return means, {path: flat[*path, "var"] + mean**2 for path, mean in means.items()}
