"""The network `ddcolor`: color queries that attend to a photo (Kang et al. 2023, DDColor)."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from colorjax.errors import RequestError, unknown_name
from colorjax.models.blocks.added_layer import AddedLayer
from colorjax.models.blocks.convolution import BatchNorm, Conv
from colorjax.models.blocks.pixel_shuffle import he_normal, icnr, pixel_shuffle, shuffle_blur
from colorjax.models.blocks.portable import encoded, is_portable
from colorjax.models.blocks.shapes import enlarge
from colorjax.models.blocks.spectral import SpectralNorm
from colorjax.models.encoders import convnext, efficientnet_lite
from colorjax.models.encoders.convnext import ConvNeXt
from colorjax.models.encoders.efficientnet_lite import EfficientNetLite

ENCODERS = (*convnext.VARIANTS, *efficientnet_lite.VARIANTS)
HEADS = 8  # of all attention
LEVELS = 3  # maps that the queries attend to, coarse first
_SHUFFLE = 4  # factor of the last pixel shuffle
_EPSILON = 1e-5  # of the LayerNorms of the color decoder
_MOST = {"queries": 4096, "layers": 64, "mlp": 2**16}  # a config may come from a stranger
_AB_SCALE = 110.0  # the network predicts ab in Lab units
_BLOCK = 2**20  # elements of the last convolution that are held at a time on a CPU: 4 MB


class _PixelBlock(nn.Module):
    """Doubles a map's size and adds the encoder's features of that size.

    relu([blur(shuffle(relu(norm(conv1x1(x))))), norm(skip)]), then norm(relu(conv3x3)): the last
    BatchNorm follows the ReLU, so outputs can be negative.
    """

    features: int
    spectral_norm: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, skip: jax.Array, *, train: bool) -> jax.Array:
        """Maps (N, H, W, I) and (N, 2 H, 2 W, J) to (N, 2 H, 2 W, features)."""

        def conv(name: str, features: int, size: int, init: Any, x: jax.Array) -> jax.Array:
            options = {"dtype": self.dtype, "use_bias": False, "kernel_init": init}
            options["spectral_norm"] = self.spectral_norm
            return Conv(features, size, name=name, **options)(x, train=train)

        x = conv("up", 4 * self.features, 1, icnr(2), x)
        x = nn.relu(BatchNorm(self.dtype, name="up_norm")(x, train=train))
        x = shuffle_blur(pixel_shuffle(x, 2))
        above_zero = nn.initializers.constant(1e-3)
        skip_norm = BatchNorm(self.dtype, bias_init=above_zero, name="skip_norm")
        x = nn.relu(jnp.concatenate([x, skip_norm(skip, train=train)], axis=-1))
        x = nn.relu(conv("conv", self.features, 3, he_normal, x))
        return BatchNorm(self.dtype, name="norm")(x, train=train)


def sine_encoding(height: int, width: int, features: int) -> jax.Array:
    """Returns the position encoding of a map: sines and cosines of y, then of x.

    A coordinate p = 2 pi k / (K + 1e-6) counts from k = 1 to K. Feature j of its features / 2 ones
    is the sine (even j) or cosine (odd j) of p / 10000^(2 floor(j / 2) / (features / 2)).

    Args:
        height: of the map.
        width: of the map.
        features: a multiple of 4.

    Returns:
        (height, width, features), float32.
    """

    def of_axis(length: Any) -> Any:
        is_known = isinstance(length, int)  # else a symbol, of an export for any size
        numpy, count = (np, length) if is_known else (jnp, jnp.asarray(length).astype(jnp.float32))
        position = 2 * math.pi * (numpy.arange(length) + 1) / (count + 1e-6)
        half = features // 2
        angle = position[:, None] / 10_000 ** (2 * (np.arange(half) // 2) / half)[None]
        is_even = (np.arange(half) % 2 == 0)[None]
        return numpy.where(is_even, numpy.sin(angle), numpy.cos(angle)).astype(np.float32)

    shape = (height, width, features // 2)
    y = jnp.broadcast_to(of_axis(height)[:, None], shape)
    x = jnp.broadcast_to(of_axis(width)[None], shape)
    return jnp.concatenate([y, x], axis=-1)


class _Heads(nn.Module):
    """The kernel and bias of a dense layer to or from the heads of an attention."""

    shape: tuple[int, ...]
    outputs: int  # number of last axes that are outputs

    @nn.compact
    def __call__(self) -> tuple[jax.Array, jax.Array]:
        """Returns the kernel, of `shape`, and the bias, of its outputs."""
        inputs = len(self.shape) - self.outputs
        axes = tuple(range(inputs)), tuple(range(inputs, len(self.shape)))
        init = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform", *axes)
        kernel = self.param("kernel", init, self.shape)
        return kernel, self.param("bias", nn.initializers.zeros, self.shape[inputs:])


class _Attention(nn.Module):
    """Multi-head attention: the same parameters and values as `nn.MultiHeadDotProductAttention`.

    One head after the other: on a CPU that takes less than half of the time of batched products.
    """

    @nn.compact
    def __call__(self, x: jax.Array, keys: jax.Array, values: jax.Array) -> jax.Array:
        """Maps queries (N, Q, D), keys and values (N, K, D) to (N, Q, D)."""
        dim = x.shape[-1]
        width = dim // HEADS

        def project(name: str, x: jax.Array) -> jax.Array:
            kernel, bias = _Heads((dim, HEADS, width), 2, name=name)()
            rows = x.reshape(-1, dim) @ kernel.reshape(dim, dim) + bias.reshape(1, dim)
            return rows.reshape(x.shape)

        queries = project("query", x) / math.sqrt(width)
        keys, values = project("key", keys), project("value", values)
        attended = []
        for head in range(HEADS):
            part = slice(head * width, (head + 1) * width)
            scores = jnp.einsum("nqd,nkd->nqk", queries[..., part], keys[..., part])
            shares = jax.nn.softmax(scores, axis=-1)
            attended.append(jnp.einsum("nqk,nkd->nqd", shares, values[..., part]))
        kernel, bias = _Heads((HEADS, width, dim), 1, name="out")()
        joined = jnp.concatenate(attended, axis=-1)
        return joined @ kernel.reshape(dim, dim) + bias.reshape(1, 1, dim)


class _QueryLayer(nn.Module):
    """Cross-attention to a map, self-attention, two dense layers; each ends with a LayerNorm.

    Positions are added to queries and keys, never to values.
    """

    mlp: int

    @nn.compact
    def __call__(
        self, queries: jax.Array, query_positions: jax.Array, tokens: jax.Array, keys: jax.Array
    ) -> jax.Array:
        """Maps queries (N, Q, D) to the same shape.

        Args:
            queries: (N, Q, D).
            query_positions: (1, Q, D).
            tokens: (N, H W, D), the values.
            keys: (N, H W, D), tokens with their positions.
        """

        def attend(name: str, x: jax.Array, keys: jax.Array, values: jax.Array) -> jax.Array:
            y = x + _Attention(name=name)(x + query_positions, keys, values)
            return _norm(f"{name}_norm")(y)

        x = attend("cross", queries, keys, tokens)
        x = attend("among", x, x + query_positions, x)
        y = nn.relu(nn.Dense(self.mlp, name="widen")(x))
        return _norm("norm")(x + nn.Dense(x.shape[-1], name="narrow")(y))


def _norm(name: str) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon=_EPSILON, use_fast_variance=False, name=name)


class _ColorDecoder(nn.Module):
    """Learned queries that attend to the maps of the pixel decoder in turn, coarse first."""

    queries: int
    dim: int
    layers: int
    mlp: int
    features: int  # of a color embedding

    @nn.compact
    def __call__(self, maps: tuple[jax.Array, ...]) -> jax.Array:
        """Maps LEVELS maps (N, h, w, C) to color embeddings (N, queries, features), float32."""
        normal, shape = nn.initializers.normal(1.0), (self.queries, self.dim)
        start = self.param("queries", normal, shape)
        positions = self.param("query_positions", normal, shape)[None]
        of_levels = self.param("levels", normal, (LEVELS, self.dim))
        tokens, keys = [], []
        for level, x in enumerate(maps):
            n, height, width, _ = x.shape
            rows = x.astype(jnp.float32).reshape(-1, x.shape[-1])
            x = nn.Dense(self.dim, name=f"project{level}")(rows)
            x = x.reshape(n, height * width, self.dim) + of_levels[level].reshape(1, 1, -1)
            tokens.append(x)
            encoding = sine_encoding(height, width, self.dim)
            keys.append(x + encoding.reshape(1, -1, self.dim))
        x = jnp.broadcast_to(start, (maps[0].shape[0], *shape))
        for number in range(self.layers):
            level = number % LEVELS
            layer = _QueryLayer(self.mlp, name=f"layer{number}")
            x = layer(x, positions, tokens[level], keys[level])
        x = _norm("norm")(x)
        for number in range(2):
            x = nn.relu(nn.Dense(self.dim, name=f"embed{number}")(x))
        return nn.Dense(self.features, name="embed2")(x)


class _Kernel(nn.Module):
    """The kernel and bias of a 1x1 convolution, for a computation that reorders it."""

    features: int
    kernel_init: Any
    spectral_norm: bool

    @nn.compact
    def __call__(self, channels: int, *, train: bool) -> tuple[jax.Array, jax.Array]:
        """Returns the kernel (channels, features), divided by sigma, and the bias, float32."""
        kernel = self.param("kernel", self.kernel_init, (1, 1, channels, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        matrix = kernel[0, 0]
        if self.spectral_norm:
            matrix = matrix / SpectralNorm(name="spectral")(kernel, train=train)
        return matrix, bias


def _ab_in_cells(
    x: jax.Array, kernel: jax.Array, bias: jax.Array, palette: jax.Array, *, in_blocks: bool
) -> jax.Array:
    """Returns the contribution of each cell of pixels to ab, before shuffle and blur.

    The last convolution has C r r channels. The palette contracts them to 2 r r at once, so that
    neither they nor their maps for each query are kept.

    Args:
        x: (N, h, w, C).
        kernel: (C, C r r), of the last convolution.
        bias: (C r r,).
        palette: (N, C, 2), of each photo.
        in_blocks: compute it for a few pixels at a time, which keeps them in a CPU's cache.

    Returns:
        (N, h, w, 2 r r), float32.
    """
    n, height, width, channels = x.shape
    cells = _SHUFFLE**2
    kernel = kernel.reshape(channels, -1, cells).swapaxes(1, 2).reshape(channels, -1)
    bias = bias.reshape(-1, cells).T.reshape(1, -1)
    kernel, bias = kernel.astype(x.dtype), bias.astype(x.dtype)

    def of_pixels(given: tuple[jax.Array, jax.Array]) -> jax.Array:
        rows, palette = given  # (P, C), (C, 2)
        y = nn.relu(rows @ kernel + bias).astype(jnp.float32)
        ab = y.reshape(-1, palette.shape[0]) @ palette
        return ab.reshape(-1, cells, 2).swapaxes(1, 2).reshape(-1, 2 * cells)

    pixels = height * width
    blocks = 1
    while in_blocks and pixels % 2 == 0 and pixels * kernel.shape[1] > _BLOCK:
        pixels, blocks = pixels // 2, 2 * blocks
    rows = x.reshape(n * blocks, pixels, channels)
    palettes = jnp.repeat(palette, blocks, axis=0)
    map_over = jax.lax.map if in_blocks else (lambda f, given: jax.vmap(f)(given))
    return map_over(of_pixels, (rows, palettes)).reshape(n, height, width, -1)


class DDColor(nn.Module):
    """A ConvNeXt encoder, a pixel decoder, a color decoder of learned queries, and their product.

    The published head multiplies the pixel features by the color embeddings, which gives a map per
    query, and mixes the maps and the gray input to ab by a 1x1 convolution. All of this is linear,
    so the queries collapse into one 2 x C matrix per photo: its palette.

    Attributes:
        encoder: a variant of `ConvNeXt` or `EfficientNetLite`.
        widths: channels of the pixel decoder at strides 16, 8 and 4.
        dim: channels of the queries.
        queries: number of queries.
        layers: of the color decoder.
        mlp: hidden channels of its dense layers.
        full_size: whether a last pixel shuffle returns to the photo's size, as published; False:
            ab is predicted at a quarter of the size and enlarged bilinearly.
        spectral_norm: of the pixel decoder and the head.
        late_head: use the palette instead of the maps of all queries: the same result.
        dtype: of the encoder and the pixel decoder; the rest is float32.
        add_layer: whether an `AddedLayer` follows the pixel decoder, for fine-tuning.
    """

    encoder: str = "convnext_l"
    widths: tuple[int, ...] = (512, 512, 256)
    dim: int = 256
    queries: int = 100
    layers: int = 9
    mlp: int = 2048
    full_size: bool = True
    spectral_norm: bool = True
    late_head: bool = True
    dtype: Any = jnp.float32
    add_layer: bool = False

    inputs: ClassVar[frozenset[str]] = frozenset({"gray"})
    outputs: ClassVar[frozenset[str]] = frozenset({"ab"})
    fixed_size: ClassVar[int | None] = None
    size_multiple: ClassVar[int] = 32
    fit: ClassVar[str] = "resize"
    head_layers: ClassVar[tuple[str, ...]] = ("head",)
    pretrained_layer: ClassVar[str] = "encoder"
    feature_layers: ClassVar[tuple[str, ...]] = ("pixel2", "pixel1")

    @nn.compact
    def __call__(self, inputs: dict[str, jax.Array], *, train: bool) -> dict[str, jax.Array]:
        """Predicts colors from lightness.

        Args:
            inputs: gray (N, H, W, 1), L / 50 - 1, H and W multiples of 32.
            train: whether BatchNorm uses batch statistics and updates the running ones, and the
                spectral norms are updated.

        Returns:
            ab (N, H, W, 2), ab / 110, float32.

        Raises:
            RequestError: unknown encoder.
            ValueError: H or W is no multiple of 32.
        """
        gray = inputs["gray"]
        if gray.shape[1] % 32 or gray.shape[2] % 32:
            raise ValueError(f"ddcolor needs sides that are multiples of 32, got {gray.shape[1:3]}")
        *skips, x = encoded(*self._encoded(gray, train=train))
        maps = []
        for number, (skip, features) in enumerate(zip(skips[::-1], self.widths, strict=True)):
            block = _PixelBlock(features, self.spectral_norm, self.dtype, name=f"pixel{number}")
            x = block(x, skip, train=train)
            maps.append(x)
        if self.add_layer:
            x = AddedLayer(name="added")(x.astype(jnp.float32), train=train)
        predict = self._at_full_size if self.full_size else self._at_a_quarter
        return {"ab": predict(x, tuple(maps), gray, train=train) / _AB_SCALE}

    def _encoded(self, gray: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """Returns the maps of the encoder at strides 4, 8, 16 and 32."""
        if self.encoder in convnext.VARIANTS:
            encoder = ConvNeXt(self.encoder, self.dtype, name="encoder")
            return encoder(convnext.normalize(gray))
        lite = EfficientNetLite(self.encoder, dtype=self.dtype, name="encoder")
        return lite(efficientnet_lite.normalize(gray), train=train)[1:]

    def _embeddings(self, maps: tuple[jax.Array, ...], features: int) -> jax.Array:
        decoder = _ColorDecoder(
            self.queries, self.dim, self.layers, self.mlp, features, name="color"
        )
        return decoder(maps)

    def _at_full_size(
        self, x: jax.Array, maps: tuple[jax.Array, ...], gray: jax.Array, *, train: bool
    ) -> jax.Array:
        """Returns ab in Lab units, (N, H, W, 2), from features x: the published head."""
        features = x.shape[-1]
        embeddings = self._embeddings(maps, features)
        last = _Kernel(features * _SHUFFLE**2, icnr(_SHUFFLE), self.spectral_norm, name="last")
        kernel, bias = last(features, train=train)
        head = _Kernel(2, he_normal, self.spectral_norm, name="head")
        mix, shift = head(self.queries + 3, train=train)
        rgb = convnext.normalize(gray)
        if not self.late_head:
            y = nn.relu(x @ kernel.astype(x.dtype) + bias.astype(x.dtype).reshape(1, 1, 1, -1))
            y = shuffle_blur(pixel_shuffle(y.astype(jnp.float32), _SHUFFLE))
            of_queries = jnp.einsum("nqc,nhwc->nhwq", embeddings, y)
            mixed = jnp.concatenate([of_queries, rgb], axis=-1) @ mix
            return mixed + shift.reshape(1, 1, 1, -1)
        palette = jnp.einsum("nqc,qd->ncd", embeddings, mix[: self.queries])
        is_for_xla = jax.default_backend() == "cpu" and not is_portable()
        in_blocks = not train and is_for_xla
        ab = _ab_in_cells(x, kernel, bias, palette, in_blocks=in_blocks)
        ab = shuffle_blur(pixel_shuffle(ab, _SHUFFLE))
        return ab + rgb @ mix[self.queries :] + shift.reshape(1, 1, 1, -1)

    def _at_a_quarter(
        self, x: jax.Array, maps: tuple[jax.Array, ...], gray: jax.Array, *, train: bool
    ) -> jax.Array:
        """Returns ab in Lab units, (N, H, W, 2), enlarged from a quarter of the size."""
        del gray
        x = x.astype(jnp.float32)
        embeddings = self._embeddings(maps, x.shape[-1] + 1)  # the last feature is constant
        head = _Kernel(2, he_normal, self.spectral_norm, name="head")
        mix, shift = head(self.queries, train=train)
        palette = jnp.einsum("nqc,qd->ncd", embeddings, mix)
        ab = jnp.einsum("nhwc,ncd->nhwd", x, palette[:, :-1])
        ab = ab + palette[:, None, None, -1] + shift.reshape(1, 1, 1, -1)
        return enlarge(ab, _SHUFFLE)


def ddcolor(**options: Any) -> DDColor:
    """Builds the network of a config's `model`.

    Raises:
        RequestError: unknown encoder, or a number out of range.
        TypeError: unknown option.
    """
    net = DDColor(**options)
    if net.encoder not in ENCODERS:
        raise unknown_name("model.encoder", net.encoder, ENCODERS)
    if len(net.widths) != LEVELS or not min(net.widths) >= 1:
        raise RequestError(
            f"model.widths must be {LEVELS} numbers of channels above 0, not {tuple(net.widths)}"
        )
    if not (net.dim >= HEADS and net.dim % HEADS == 0):
        raise RequestError(f"model.dim must be a multiple of {HEADS} above 0, not {net.dim}")
    for name, most in _MOST.items():
        if not 1 <= getattr(net, name) <= most:
            raise RequestError(f"model.{name} must be from 1 to {most}, not {getattr(net, name)}")
    return net
