"""InceptionV3 up to its last pool (Szegedy et al. 2016), in the two versions used for FID.

Modules have the names in the published files, so `colorjax.weights.torch.features` needs no
mapping. Nothing here is trained: BatchNorm uses its running statistics; the auxiliary head and the
last layer are omitted.
"""

from __future__ import annotations

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from colorjax.models.judges.features import IMAGENET_MEAN, IMAGENET_STD

Kind = Literal["pytorch-fid", "torchvision"]
InputScale = Literal["pytorch-fid", "ct2", "ddcolor"]

FEATURES = 2048
INPUT_SIZE = 299  # pixels per side
SMALLEST_SIZE = 75  # pixels per side; with less, the last blocks have no input
_EPSILON = 1e-3

_Padding = tuple[int, int]


class _Layer(nn.Module):
    """A convolution without bias, BatchNorm, ReLU; `padding` is (vertical, horizontal) zeros."""

    features: int
    kernel_size: tuple[int, int] = (1, 1)
    padding: _Padding = (0, 0)
    stride: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv = nn.Conv(
            self.features,
            self.kernel_size,
            strides=self.stride,
            padding=[(zeros, zeros) for zeros in self.padding],
            use_bias=False,
            name="conv",
        )
        return nn.relu(nn.BatchNorm(use_running_average=True, epsilon=_EPSILON, name="bn")(conv(x)))


def _square(features: int, name: str, *, stride: int = 1, padding: int = 0) -> _Layer:
    return _Layer(features, (3, 3), (padding, padding), stride, name=name)


def _row(features: int, length: int, name: str) -> _Layer:
    return _Layer(features, (1, length), (0, length // 2), name=name)


def _column(features: int, length: int, name: str) -> _Layer:
    return _Layer(features, (length, 1), (length // 2, 0), name=name)


def _max_pool(x: jax.Array) -> jax.Array:
    return nn.max_pool(x, (3, 3), (2, 2))


def _around(x: jax.Array, pool: str) -> jax.Array:
    """Pools the 3x3 pixels around each pixel; "mean with border" counts the padded zeros."""
    border = ((1, 1), (1, 1))
    if pool == "max":
        return nn.max_pool(x, (3, 3), (1, 1), border)
    return nn.avg_pool(x, (3, 3), (1, 1), border, count_include_pad=pool == "mean with border")


class _BlockA(nn.Module):
    pool_features: int
    pool: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        wide = _Layer(48, name="branch5x5_1")(x)
        double = _Layer(64, name="branch3x3dbl_1")(x)
        double = _square(96, "branch3x3dbl_2", padding=1)(double)
        branches = [
            _Layer(64, name="branch1x1")(x),
            _Layer(64, (5, 5), (2, 2), name="branch5x5_2")(wide),
            _square(96, "branch3x3dbl_3", padding=1)(double),
            _Layer(self.pool_features, name="branch_pool")(_around(x, self.pool)),
        ]
        return jnp.concatenate(branches, axis=-1)


class _BlockB(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        double = _Layer(64, name="branch3x3dbl_1")(x)
        double = _square(96, "branch3x3dbl_2", padding=1)(double)
        branches = [
            _square(384, "branch3x3", stride=2)(x),
            _square(96, "branch3x3dbl_3", stride=2)(double),
            _max_pool(x),
        ]
        return jnp.concatenate(branches, axis=-1)


class _BlockC(nn.Module):
    middle: int  # channels between two convolutions of 7
    pool: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        single = _Layer(self.middle, name="branch7x7_1")(x)
        single = _row(self.middle, 7, "branch7x7_2")(single)
        double = _Layer(self.middle, name="branch7x7dbl_1")(x)
        double = _column(self.middle, 7, "branch7x7dbl_2")(double)
        double = _row(self.middle, 7, "branch7x7dbl_3")(double)
        double = _column(self.middle, 7, "branch7x7dbl_4")(double)
        branches = [
            _Layer(192, name="branch1x1")(x),
            _column(192, 7, "branch7x7_3")(single),
            _row(192, 7, "branch7x7dbl_5")(double),
            _Layer(192, name="branch_pool")(_around(x, self.pool)),
        ]
        return jnp.concatenate(branches, axis=-1)


class _BlockD(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        single = _Layer(192, name="branch3x3_1")(x)
        long = _Layer(192, name="branch7x7x3_1")(x)
        long = _row(192, 7, "branch7x7x3_2")(long)
        long = _column(192, 7, "branch7x7x3_3")(long)
        branches = [
            _square(320, "branch3x3_2", stride=2)(single),
            _square(192, "branch7x7x3_4", stride=2)(long),
            _max_pool(x),
        ]
        return jnp.concatenate(branches, axis=-1)


class _BlockE(nn.Module):
    pool: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        single = _Layer(384, name="branch3x3_1")(x)
        double = _Layer(448, name="branch3x3dbl_1")(x)
        double = _square(384, "branch3x3dbl_2", padding=1)(double)
        branches = [
            _Layer(320, name="branch1x1")(x),
            _row(384, 3, "branch3x3_2a")(single),
            _column(384, 3, "branch3x3_2b")(single),
            _row(384, 3, "branch3x3dbl_3a")(double),
            _column(384, 3, "branch3x3dbl_3b")(double),
            _Layer(192, name="branch_pool")(_around(x, self.pool)),
        ]
        return jnp.concatenate(branches, axis=-1)


class InceptionV3(nn.Module):
    """InceptionV3 up to the pool over all pixels, "pool3".

    Attributes:
        kind: "torchvision": the published network. "pytorch-fid": the network of TensorFlow's
            weights of 2015-12-05, as ported by pytorch-fid: means over 3x3 pixels exclude the
            border's zeros, and the last block uses the maximum instead of the mean.
    """

    kind: Kind

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps photos on the scale of `inception_input`, (N, H, W, 3), to (N, 2048) float32.

        H and W are 299 in all published results; the network accepts sizes from 75.

        Raises:
            ValueError: a photo is too small.
        """
        if min(x.shape[1:3]) < SMALLEST_SIZE:
            raise ValueError(f"x must be at least {SMALLEST_SIZE} pixels per side, got {x.shape}")
        fid = self.kind == "pytorch-fid"
        mean = "mean within" if fid else "mean with border"
        x = _square(32, "Conv2d_1a_3x3", stride=2)(x)
        x = _square(32, "Conv2d_2a_3x3")(x)
        x = _max_pool(_square(64, "Conv2d_2b_3x3", padding=1)(x))
        x = _Layer(80, name="Conv2d_3b_1x1")(x)
        x = _max_pool(_square(192, "Conv2d_4a_3x3")(x))
        for name, channels in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
            x = _BlockA(channels, mean, name=name)(x)
        x = _BlockB(name="Mixed_6a")(x)
        for letter, channels in zip("bcde", (128, 160, 160, 192), strict=True):
            x = _BlockC(channels, mean, name=f"Mixed_6{letter}")(x)
        x = _BlockD(name="Mixed_7a")(x)
        x = _BlockE(mean, name="Mixed_7b")(x)
        x = _BlockE("max" if fid else mean, name="Mixed_7c")(x)
        return jnp.mean(x, axis=(1, 2))


def inception_input(rgb_u8: jax.Array, scale: InputScale) -> jax.Array:
    """Resizes photos to 299x299 and scales them as a published protocol does.

    The resize is bilinear with half-pixel centers, without antialiasing (PyTorch's `interpolate`
    with align_corners=False). Then, for x in [0, 1]: "pytorch-fid": 2 x - 1, as both networks were
    trained. "ct2": x std / 0.5 + (mean - 0.5) / 0.5 with ImageNet's mean and std. This undoes a
    normalization that was never applied; CT2 and older code of text-to-image GANs do so. "ddcolor":
    the same of (x + 1) / 2, because DDColor passes photos in [0, 1] to code that expects [-1, 1].

    Args:
        rgb_u8: (N, H, W, 3) uint8 sRGB.
        scale: "pytorch-fid", "ct2" or "ddcolor".

    Returns:
        (N, 299, 299, 3) float32.
    """
    factor, offset = _affine(scale)
    x = rgb_u8.astype(jnp.float32) / 255
    shape = (x.shape[0], INPUT_SIZE, INPUT_SIZE, 3)
    x = jax.image.resize(x, shape, "bilinear", antialias=False)
    return x * factor.reshape(1, 1, 1, 3) + offset.reshape(1, 1, 1, 3)


def _affine(scale: InputScale) -> tuple[np.ndarray, np.ndarray]:
    """Returns the factor and the offset of each channel, (3,) float32."""
    factor, offset = np.full(3, 2.0), np.full(3, -1.0)
    if scale != "pytorch-fid":
        factor, offset = 2 * np.array(IMAGENET_STD), 2 * np.array(IMAGENET_MEAN) - 1
    if scale == "ddcolor":
        factor, offset = factor / 2, offset + factor / 2
    return factor.astype(np.float32), offset.astype(np.float32)
