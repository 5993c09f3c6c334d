"""DeOldify's generators (Antic 2019): a U-Net on a ResNet that predicts sRGB."""

from __future__ import annotations

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from colorjax import color
from colorjax.errors import unknown_name
from colorjax.models.blocks.added_layer import AddedLayer
from colorjax.models.blocks.convolution import BatchNorm, Conv, convolve
from colorjax.models.blocks.pixel_shuffle import he_normal, icnr, pixel_shuffle, shuffle_blur
from colorjax.models.blocks.portable import encoded, is_portable
from colorjax.models.blocks.shapes import check_width, scaled
from colorjax.models.encoders import resnet

DECODERS = ("deep", "wide")

_WIDE = 512  # channels of a unit of the wide decoder
_RANGE = 3.0  # largest absolute value of an output, normalized by ImageNet's statistics
_ROWS = 1024  # positions whose attention is computed at once


class DeOldify(nn.Module):
    """A ResNet, two wide convolutions, four units that double the sides, and sRGB.

    Every convolution of the decoder has spectral norm; the second unit ends with self-attention of
    all positions. The normalized input is concatenated before the last layers. Parameters at width
    1: 63,646,881 with "resnet34" and "deep" (the published "artistic"), 218,222,197 with
    "resnet101" and "wide" ("stable" and "video").

    The input is a gray level of sRGB, so a config has `data.grey` "luma", as the original.

    Attributes:
        encoder: a key of `resnet.VARIANTS`.
        decoder: "deep": two convolutions in each unit, with 3/2 times as many channels; "wide": one
            convolution, with a fixed number of channels.
        width: factor on all channels.
        dtype: of the body; the head is float32.
        add_layer: whether an `AddedLayer` precedes the last layer, for fine-tuning.
    """

    encoder: str = "resnet34"
    decoder: str = "deep"
    width: float = 1.0
    dtype: Any = jnp.float32
    add_layer: bool = False

    inputs: ClassVar[frozenset[str]] = frozenset({"gray"})
    outputs: ClassVar[frozenset[str]] = frozenset({"ab", "color"})
    space: ClassVar[str] = "rgb"
    fixed_size: ClassVar[int | None] = None
    size_multiple: ClassVar[int] = 16  # as the original's render factor
    fit: ClassVar[str] = "pad"
    head_layers: ClassVar[tuple[str, ...]] = ("head",)
    feature_layers: ClassVar[tuple[str, ...]] = ("up3",)

    @nn.compact
    def __call__(self, inputs: dict[str, jax.Array], *, train: bool) -> dict[str, jax.Array]:
        """Maps gray (N, H, W, 1) in [-1, 1] to float32 outputs; H and W are even.

        Returns:
            color: (N, H, W, 3), sRGB, from -1 (black) to 1 (white), not clipped;
            ab: (N, H, W, 2), ab / 110 of the clipped color.

        Raises:
            ValueError: H or W is odd.
        """
        gray = inputs["gray"]
        if gray.shape[1] % 2 or gray.shape[2] % 2:
            raise ValueError(f"deoldify needs even sides, got {gray.shape[1:3]}")
        rgb = resnet.normalize(jnp.repeat((gray + 1) / 2, 3, axis=-1))
        encoder = resnet.ResNet(self.encoder, self.width, self.dtype, name="encoder")
        *skips, x = encoded(*encoder(rgb, train=train))
        x = nn.relu(BatchNorm(self.dtype, name="norm")(x, train=train))
        channels = x.shape[-1]
        x = _Unit(2 * channels, dtype=self.dtype, name="middle1")(x, train=train)
        x = _Unit(channels, dtype=self.dtype, name="middle2")(x, train=train)
        for number, skip in enumerate(reversed(skips), start=1):
            shuffled, features = self._channels(number, x.shape[-1], skip.shape[-1])
            attends = number == 2
            options = {"dtype": self.dtype, "attends": attends, "name": f"up{number}"}
            is_deep = self.decoder == "deep"
            x = _Up(shuffled, features, is_deep, **options)(x, skip, train=train)
        shuffle = _WeightNormConv(4 * x.shape[-1], self.dtype, name="shuffle")
        # fastai's last shuffle always blurs, although its option says no.
        x = shuffle_blur(pixel_shuffle(nn.relu(shuffle(x)), 2))
        x = jnp.concatenate([x, rgb.astype(x.dtype)], axis=-1)
        y = x
        for number in (1, 2):
            y = nn.relu(_conv(x.shape[-1], self.dtype, f"residual{number}")(y, train=train))
        x = (x + y).astype(jnp.float32)
        if self.add_layer:
            x = AddedLayer(name="added")(x, train=train)
        values = _conv(3, jnp.float32, "head", 1)(x, train=train)
        values = _RANGE * (2 * jax.nn.sigmoid(values) - 1)
        values = 2 * resnet.denormalize(values) - 1
        ab = color.normalize_ab(color.space_to_lab(values, "rgb", None)[..., 1:])
        return {"ab": ab, "color": values}

    def _channels(self, number: int, below: int, skip: int) -> tuple[int, int]:
        """Returns the channels of a unit of the decoder: after its shuffle, and of its output."""
        is_last = number == 4
        if self.decoder == "wide":
            features = scaled(_WIDE // 2 if is_last else _WIDE, self.width)
            return features, features
        shuffled = below // 2
        features = (shuffled + skip) // 2 if is_last else shuffled + skip
        return shuffled, int(1.5 * features)


def deoldify(**options: Any) -> DeOldify:
    """Builds the network of a config's `model`.

    Raises:
        RequestError: unknown encoder or decoder, or an invalid width.
        TypeError: unknown option.
    """
    net = DeOldify(**options)
    if net.encoder not in resnet.VARIANTS:
        raise unknown_name("model.encoder", net.encoder, resnet.VARIANTS)
    if net.decoder not in DECODERS:
        raise unknown_name("model.decoder", net.decoder, DECODERS)
    check_width(net.width)
    return net


def _conv(
    features: int,
    dtype: Any,
    name: str,
    kernel_size: int = 3,
    kernel_init: Any = he_normal,
    use_bias: bool = True,
) -> Conv:
    options: dict[str, Any] = {"kernel_init": kernel_init, "use_bias": use_bias}
    return Conv(features, kernel_size, dtype=dtype, spectral_norm=True, name=name, **options)


class _WeightNormConv(nn.Module):
    """A 1x1 convolution with kernel scale * W / |W|, the norm over the inputs of an output.

    Salimans and Kingma 2016, equation 2. Parameters kernel (1, 1, I, O), scale (O,), bias (O,).
    """

    features: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (N, H, W, I) to (N, H, W, features)."""
        kernel = self.param("kernel", icnr(2), (1, 1, x.shape[-1], self.features))
        norm = jnp.linalg.norm(kernel, axis=2, keepdims=True)
        scale = self.param("scale", lambda _: norm.reshape(-1))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        kernel = kernel * (scale.reshape(norm.shape) / norm)
        y = convolve(x.astype(self.dtype), kernel.astype(self.dtype), as_patches=True)
        return y + bias.astype(self.dtype).reshape(1, 1, 1, -1)


class _Unit(nn.Module):
    """Convolution with spectral norm, ReLU, BatchNorm (epsilon 1e-5), in this order."""

    features: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps (N, H, W, I) to (N, H, W, features)."""
        conv = _conv(self.features, self.dtype, "conv", use_bias=False)
        return BatchNorm(self.dtype, name="norm")(nn.relu(conv(x, train=train)), train=train)


class _Up(nn.Module):
    """Doubles the sides, concatenates the encoder's features of that size, and convolves."""

    shuffled: int
    features: int
    is_deep: bool
    attends: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, skip: jax.Array, *, train: bool) -> jax.Array:
        """Maps (N, ceil(H / 2), ceil(W / 2), I) and (N, H, W, J) to (N, H, W, features)."""
        conv = _conv(4 * self.shuffled, self.dtype, "shuffle", 1, icnr(2), use_bias=False)
        x = BatchNorm(self.dtype, name="shuffle_norm")(conv(x, train=train), train=train)
        x = shuffle_blur(pixel_shuffle(nn.relu(x), 2))
        # Nearest-neighbor resizing by one pixel drops the last row or column.
        height, width = skip.shape[1:3]
        x = lax.slice(x, (0, 0, 0, 0), (x.shape[0], height, width, x.shape[3]))
        skip = BatchNorm(self.dtype, name="skip_norm")(skip, train=train)
        x = nn.relu(jnp.concatenate([x, skip], axis=-1))
        for number in range(1, 3 if self.is_deep else 2):
            x = _Unit(self.features, self.dtype, name=f"unit{number}")(x, train=train)
        return _SelfAttention(self.dtype, name="attention")(x, train=train) if self.attends else x


class _SelfAttention(nn.Module):
    """Self-attention of all positions (Zhang et al. 2019, SAGAN), with fastai's names and axes.

    y_j = x_j + gamma sum_i s_ij value_i, s_ij = softmax over i of (query_i . key_j); gamma is 0 at
    the start. Positions j are handled in groups, so that memory is linear in the area.
    """

    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps (N, H, W, C) to the same shape; C is at least 8."""
        number, height, width, channels = x.shape

        def project(features: int, name: str) -> jax.Array:
            conv = _conv(features, self.dtype, name, 1, use_bias=False)
            return conv(x, train=train).reshape(number, height * width, features)

        query, key = (project(channels // 8, name) for name in ("query", "key"))
        value = project(channels, "value")

        def attend(keys: jax.Array) -> jax.Array:
            """Maps keys (N, D) of one position to its output (N, C)."""
            logits = jnp.einsum("nid,nd->ni", query, keys, preferred_element_type=jnp.float32)
            shares = jax.nn.softmax(logits, axis=-1).astype(value.dtype)
            return jnp.einsum("ni,nic->nc", shares, value)

        keys = key.swapaxes(0, 1)
        rows = jax.vmap(attend)(keys) if is_portable() else lax.map(attend, keys, batch_size=_ROWS)
        gamma = self.param("gamma", nn.initializers.zeros, (1,)).astype(self.dtype)
        return x + gamma.reshape(1, 1, 1, 1) * rows.swapaxes(0, 1).reshape(x.shape)
