"""Layers, branches and fusion shared by Iizuka 2016 and the edge-fusion network."""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from colorjax.errors import RequestError, unknown_name
from colorjax.models.blocks.convolution import BatchNorm, Conv
from colorjax.models.blocks.shapes import check_width, scaled

ACTIVATIONS = {"relu": nn.relu, "tanh": nn.tanh}
INITS = ("he", "glorot", "normal")
# Zeros around the input of a 3x3 convolution of stride 2: one on every side, or none before and one
# after, as SAME of Keras and TensorFlow on even sizes.
STRIDE_PADDINGS = {"both": None, "after": (0, 1)}
GLOBAL_MULTIPLE = 32  # five strides of 2 from a photo to its global features

Layers = tuple[tuple[int, int], ...]  # (channels, stride) of each 3x3 convolution

LOW_LEVEL: Layers = ((64, 2), (128, 1), (128, 2), (256, 1), (256, 2), (512, 1))
MID_LEVEL: Layers = ((512, 1), (256, 1))
_GLOBAL: Layers = ((512, 2), (512, 1), (512, 2), (512, 1))


@dataclasses.dataclass(frozen=True)
class Style:
    """Construction options of all layers of a network.

    Attributes:
        width: factor on all channels.
        norm: whether BatchNorm is between a layer and its activation.
        activation: of convolutions, "relu" or "tanh"; fully connected layers use ReLU.
        kernel_init: initialization of the kernels: "he"; "glorot", as in Keras; "normal": truncated
            normal with deviation 0.1 (convolutions) or 0.04 (fully connected), and biases of 0.1.
        stride_padding: a key of `STRIDE_PADDINGS`.
        dtype: of the computation.
    """

    width: float = 1.0
    norm: bool = True
    activation: str = "relu"
    kernel_init: str = "he"
    stride_padding: str = "both"
    dtype: Any = jnp.float32

    def initializers(self, deviation: float) -> dict[str, Any]:
        """Returns kernel_init and bias_init; empty for He initialization and zero biases."""
        if self.kernel_init == "glorot":
            return {"kernel_init": nn.initializers.glorot_uniform()}
        if self.kernel_init == "normal":
            return {
                "kernel_init": nn.initializers.truncated_normal(deviation),
                "bias_init": nn.initializers.constant(0.1),
            }
        return {}

    def check(self) -> None:
        """Raises a RequestError for an unknown name or a width of 0 or less."""
        check_width(self.width)
        if self.activation not in ACTIVATIONS:
            raise unknown_name("model.activation", self.activation, ACTIVATIONS)
        if self.kernel_init not in INITS:
            raise unknown_name("model.kernel_init", self.kernel_init, INITS)
        if self.stride_padding not in STRIDE_PADDINGS:
            raise unknown_name("model.stride_padding", self.stride_padding, STRIDE_PADDINGS)


def check_global_size(size: int) -> None:
    """Raises a RequestError unless the size of the global branch is a multiple of 32."""
    if size <= 0 or size % GLOBAL_MULTIPLE:
        raise RequestError(f"model.global_size must be a multiple of {GLOBAL_MULTIPLE}, not {size}")


def check_sides(gray: jax.Array) -> None:
    """Raises a ValueError unless the sides of (N, H, W, 1) are multiples of 8."""
    if gray.shape[1] % 8 or gray.shape[2] % 8:
        raise ValueError(f"sides must be multiples of 8, got {gray.shape[1:3]}")


class ConvLayer(nn.Module):
    """A convolution, optional BatchNorm, and the activation."""

    features: int
    style: Style
    stride: int = 1
    kernel_size: int = 3

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool, update: bool = True) -> jax.Array:
        """Maps (N, H, W, I) to (N, ceil(H / stride), ceil(W / stride), features)."""
        style = self.style
        conv = Conv(
            self.features,
            self.kernel_size,
            self.stride,
            dtype=style.dtype,
            padding=STRIDE_PADDINGS[style.stride_padding] if self.stride == 2 else None,
            name="conv",
            **style.initializers(0.1),
        )
        x = conv(x, train=train)
        if style.norm:
            x = BatchNorm(style.dtype, name="norm")(x, train=train, update=update)
        return ACTIVATIONS[style.activation](x)


class Convs(nn.Module):
    """A stack of 3x3 convolutions with scaled widths.

    Attributes:
        layers: (channels at width 1, stride) of each convolution.
        style: of all convolutions.
    """

    layers: Layers
    style: Style

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool, update: bool = True) -> jax.Array:
        """Maps (N, H, W, I) to (N, H / strides, W / strides, channels)."""
        for number, (channels, stride) in enumerate(self.layers, start=1):
            # A single channel is not scaled: the faithful edge-fusion network ends in one.
            features = 1 if channels == 1 else scaled(channels, self.style.width)
            layer = ConvLayer(features, self.style, stride, name=f"conv{number}")
            x = layer(x, train=train, update=update)
        return x


class DenseLayer(nn.Module):
    """A fully connected layer, optional BatchNorm, and ReLU."""

    features: int
    style: Style

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps (N, I) to (N, features)."""
        x = dense(self.features, self.style, name="dense")(x)
        if self.style.norm:
            x = BatchNorm(self.style.dtype, name="norm")(x, train=train)
        return nn.relu(x)


def dense(features: int, style: Style, name: str) -> nn.Dense:
    """Returns a fully connected layer without normalization or activation."""
    initializers = {"kernel_init": nn.initializers.he_normal()} | style.initializers(0.04)
    return _dense(features, style.dtype, initializers, name)


def _dense(features: int, dtype: Any, initializers: dict[str, Any], name: str) -> nn.Dense:
    return nn.Dense(
        features,
        dtype=dtype,
        kernel_init=initializers["kernel_init"],
        bias_init=initializers.get("bias_init", nn.initializers.zeros),
        name=name,
    )


class GlobalFeatures(nn.Module):
    """Maps low-level features of a fixed size to a global vector and a classifier input."""

    style: Style

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array]:
        """Maps (N, S / 8, S / 8, C) to vectors for fusion (N, 256) and for classes (N, 512)."""
        x = Convs(_GLOBAL, self.style, name="convs")(x, train=train)
        x = x.reshape(x.shape[0], -1)
        width = self.style.width
        x = DenseLayer(scaled(1024, width), self.style, name="dense1")(x, train=train)
        for_classes = DenseLayer(scaled(512, width), self.style, name="dense2")(x, train=train)
        fused = DenseLayer(scaled(256, width), self.style, name="dense3")(for_classes, train=train)
        return fused, for_classes


class Classifier(nn.Module):
    """Class logits from global features."""

    num_classes: int
    style: Style

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps (N, 512) to float32 logits (N, num_classes)."""
        x = DenseLayer(scaled(256, self.style.width), self.style, name="dense1")(x, train=train)
        # No ReLU follows the logits, so He's factor of 2 does not apply.
        plain = {"kernel_init": nn.initializers.lecun_normal()}
        options = plain | self.style.initializers(0.04)
        logits = _dense(self.num_classes, jnp.float32, options, "logits")
        return logits(x.astype(jnp.float32))


def fuse(vector: jax.Array, *maps: jax.Array) -> jax.Array:
    """Prepends a vector to the features at every position: [y_global ; y_mid(u, v)].

    Args:
        vector: (N, G), global features.
        *maps: (N, H, W, C) each.

    Returns:
        (N, H, W, G + sum of C).
    """
    n, height, width, _ = maps[0].shape
    spread = jnp.broadcast_to(vector[:, None, None, :], (n, height, width, vector.shape[-1]))
    return jnp.concatenate([spread.astype(maps[0].dtype), *maps], axis=-1)
