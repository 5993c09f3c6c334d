"""The network `semantic`: a colorizer on the features of a pretrained classifier."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from colorjax import color
from colorjax.color.hint_spreading import Keys
from colorjax.errors import RequestError, unknown_name
from colorjax.models.blocks.added_layer import AddedLayer
from colorjax.models.blocks.convolution import BatchNorm, Conv
from colorjax.models.blocks.portable import encoded
from colorjax.models.blocks.shapes import check_width, enlarge, scaled
from colorjax.models.encoders.efficientnet_lite import (
    VARIANTS,
    EfficientNetLite,
    frozen_layers,
    normalize,
)
from colorjax.models.hint_spreading import HintGuide, feature_keys

DECODERS = ("plain", "query")
DECODER_NORMS = ("batch", "group")
ENCODER_NORMS = ("frozen", "batch")

_CHANNELS = (160, 112, 64)  # of the decoder at strides 16, 8 and 4, at width 1
_GROUPS = 8
_HEADS = 4  # of the attention of the query decoder


class _Norm(nn.Module):
    """Batch or group normalization."""

    kind: str
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        if self.kind == "batch":
            return BatchNorm(self.dtype, name="batch")(x, train=train)
        return nn.GroupNorm(_GROUPS, epsilon=1e-5, dtype=self.dtype, name="group")(x)


class _Merge(nn.Module):
    """Doubles a map's size and adds the encoder's features of that size.

    x -> relu(norm(conv3x3(twice(conv1x1(x)) + conv1x1(skip)))), with `depth` convolution layers.
    """

    features: int
    depth: int
    norm: str
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, skip: jax.Array, *, train: bool) -> jax.Array:
        """Maps (N, H, W, I) and (N, 2 H, 2 W, J) to (N, 2 H, 2 W, features)."""
        x = Conv(self.features, 1, dtype=self.dtype, gain=1.0, name="deep")(x, train=train)
        lateral = Conv(self.features, 1, dtype=self.dtype, gain=1.0, name="skip")
        x = enlarge(x, 2, "nearest") + lateral(skip, train=train)
        for number in range(1, self.depth + 1):
            conv = Conv(self.features, dtype=self.dtype, use_bias=False, name=f"conv{number}")
            norm = _Norm(self.norm, self.dtype, name=f"norm{number}")
            x = nn.relu(norm(conv(x, train=train), train=train))
        return x


class _GlobalColors(nn.Module):
    """Contribution of a photo's palette to its global vector; 0 if no palette is given.

    The input is sqrt(313 x share) of each bin, which is 1 for a uniform distribution. The shares
    themselves, about 1 / 313, are too small to be learned in hours of training.
    """

    features: int

    @nn.compact
    def __call__(self, colors: jax.Array) -> jax.Array:
        """Maps the input global_colors (N, 315) to (N, features)."""
        shares, chroma, is_given = jnp.split(colors, [color.NUM_BINS, color.NUM_BINS + 1], axis=-1)
        seen = jnp.concatenate([jnp.sqrt(color.NUM_BINS * shares), chroma], axis=-1)
        hidden = nn.relu(nn.Dense(self.features, name="bins")(seen))
        return is_given * nn.Dense(self.features, name="scene")(hidden)


class _QueryLayer(nn.Module):
    """Cross-attention of queries to a decoder map, self-attention, then an MLP.

    The order is DDColor's; each part is followed by its residual sum and LayerNorm.
    """

    width: int

    @nn.compact
    def __call__(self, queries: jax.Array, features: jax.Array) -> jax.Array:
        """Maps queries (N, Q, D) and a map (N, H, W, C) to queries (N, Q, D), float32."""
        tokens = features.reshape(features.shape[0], -1, features.shape[-1]).astype(jnp.float32)
        tokens = nn.Dense(self.width, name="tokens")(tokens)

        def attend(name: str, q: jax.Array, kv: jax.Array) -> jax.Array:
            attention = nn.MultiHeadDotProductAttention(_HEADS, name=name, deterministic=True)
            return nn.LayerNorm(epsilon=1e-5, name=f"{name}_norm")(q + attention(q, kv))  # pyrefly: ignore

        queries = attend("cross", queries, tokens)
        queries = attend("among", queries, queries)
        y = nn.relu(nn.Dense(4 * self.width, name="widen")(queries))
        y = nn.Dense(self.width, name="narrow")(y)
        return nn.LayerNorm(epsilon=1e-5, name="norm")(queries + y)


class _Palette(nn.Module):
    """Maps of a photo's own palette, one for each learned query (Kang et al. 2023, DDColor).

    maps[q] = features . e_q + c_q, where (e_q, c_q) is computed from query q after it has attended
    to the photo.
    """

    queries: int
    width: int

    @nn.compact
    def __call__(self, levels: tuple[jax.Array, ...], features: jax.Array) -> jax.Array:
        """Maps the decoder maps, and the last one (N, H, W, C), to (N, H, W, queries), float32."""
        start = self.param("queries", nn.initializers.normal(1.0), (self.queries, self.width))
        queries = jnp.broadcast_to(start, (features.shape[0], *start.shape))
        for number, level in enumerate(levels, start=1):
            queries = _QueryLayer(self.width, name=f"layer{number}")(queries, level)
        embedding = nn.Dense(features.shape[-1] + 1, name="embedding")(queries)
        maps = jnp.einsum("nhwc,nqc->nhwq", features, embedding[..., :-1])
        scale = features.shape[-1] ** -0.5
        return scale * maps + embedding[:, None, None, :, -1]


class Semantic(nn.Module):
    """An EfficientNet-Lite encoder, a decoder to a quarter of the size, two heads.

    Attributes:
        encoder: "lite0", "lite1", "lite2", or "tiny", for tests and first trials.
        frozen_blocks: number of encoder blocks that do not learn, the stem included; 0: all learn.
        encoder_norm: BatchNorm of the encoder: "frozen", always in evaluation mode, or "batch".
        decoder: "plain", or "query": with palette maps from queries that attend to the photo
            (specs of DDColor).
        decoder_norm: "batch" or "group".
        width: factor on the decoder's channels.
        queries: of the query decoder.
        temperature: T of the annealed mean, for combining distributions over the bins.
        dtype: of the body; the heads and the attention are float32.
        add_layer: whether an `AddedLayer` precedes the heads, for fine-tuning.
        hint_guide: whether a `HintGuide` sets how far color hints spread; see `hint_spreading`.
    """

    encoder: str = "lite0"
    frozen_blocks: int = 5
    encoder_norm: Literal["frozen", "batch"] = "frozen"
    decoder: str = "plain"
    decoder_norm: str = "batch"
    width: float = 1.0
    queries: int = 32
    temperature: float = 0.38
    dtype: Any = jnp.float32
    add_layer: bool = False
    hint_guide: bool = False

    inputs: ClassVar[frozenset[str]] = frozenset({"gray", "global_colors"})
    fixed_size: ClassVar[int | None] = None
    size_multiple: ClassVar[int] = 32
    fit: ClassVar[str] = "pad"
    head_layers: ClassVar[tuple[str, ...]] = ("head", "logits")
    pretrained_layer: ClassVar[str] = "encoder"  # starts from published weights
    feature_layers: ClassVar[tuple[str, ...]] = ("merge4", "merge8")

    @property
    def outputs(self) -> frozenset[str]:
        """Names of the outputs of `apply`."""
        own = {"ab", "ab_quarter", "bin_logits"}
        return frozenset(own | {"hint_keys"} if self.hint_guide else own)

    @property
    def frozen_layers(self) -> tuple[str, ...]:
        """Paths of the parameters that never learn."""
        names = frozen_layers(self.encoder, self.frozen_blocks)
        return tuple(f"{self.pretrained_layer}/{name}" for name in names)

    @nn.compact
    def __call__(self, inputs: dict[str, jax.Array], *, train: bool) -> dict[str, jax.Array]:
        """Predicts colors from lightness.

        Args:
            inputs: gray (N, H, W, 1), L / 50 - 1, H and W multiples of 32; global_colors
                (N, 315), `colorjax.color.palette` of the requested colors of the whole photo,
                followed by a 1; zeros: the network chooses.
            train: whether BatchNorm uses batch statistics and updates the running ones.

        Returns:
            ab (N, H, W, 2), ab / 110, enlarged bilinearly from ab_quarter (N, H/4, W/4, 2);
            bin_logits (N, H/4, W/4, 313), log probabilities of the bins, up to a constant;
            with the guide hint_keys, `Keys` of (N, H/4, W/4). float32.

        Raises:
            ValueError: H or W is no multiple of 32.
        """
        gray = inputs["gray"]
        if gray.shape[1] % 32 or gray.shape[2] % 32:
            raise ValueError(
                f"semantic needs sides that are multiples of 32, got {gray.shape[1:3]}"
            )
        wide, middle, narrow = (scaled(channels, self.width) for channels in _CHANNELS)
        encoder = EfficientNetLite(
            self.encoder,
            dtype=self.dtype,
            frozen_blocks=self.frozen_blocks,
            norm=self.encoder_norm,
            name="encoder",
        )
        levels = encoder(normalize(gray), train=train)[1:]
        quarter, eighth, sixteenth, deepest = encoded(*levels)

        scene = jnp.mean(deepest.astype(jnp.float32), axis=(1, 2))
        scene = nn.Dense(wide, name="scene")(scene)
        scene += _GlobalColors(wide, name="global")(inputs["global_colors"])
        x = Conv(wide, 1, dtype=self.dtype, name="top")(deepest, train=train)
        x = nn.relu(x + scene.astype(self.dtype)[:, None, None])

        def merge(stride: int, features: int, depth: int, x: jax.Array, skip: jax.Array):
            module = _Merge(features, depth, self.decoder_norm, self.dtype, name=f"merge{stride}")
            return module(x, skip, train=train)

        x16 = merge(16, wide, 2, x, sixteenth)
        x8 = merge(8, middle, 1, x16, eighth)
        x4 = merge(4, narrow, 1, x8, quarter)
        x = x4.astype(jnp.float32)
        if self.decoder == "query":
            maps = _Palette(self.queries, wide, name="palette")((x16, x8, x4), x)
            x = jnp.concatenate([x, maps], axis=-1)
        if self.add_layer:
            x = AddedLayer(name="added")(x, train=train)
        # A small initial head predicts near gray.
        ab = Conv(2, 1, gain=1e-2, name="head")(x, train=train)
        logits = Conv(color.NUM_BINS, 1, gain=1.0, name="logits")(x, train=train)
        outputs: dict[str, Any] = {"ab": enlarge(ab, 4), "ab_quarter": ab, "bin_logits": logits}
        if self.hint_guide:
            outputs["hint_keys"] = self._keys((x4, x8), outputs, gray, train=train)
        return outputs

    def _keys(
        self,
        features: tuple[jax.Array, ...],
        outputs: dict[str, jax.Array],
        gray: jax.Array,
        *,
        train: bool,
    ) -> Keys:
        """Returns the hint keys: features, and a guide from features and predictions."""
        ab, logits = outputs["ab_quarter"], outputs["bin_logits"]
        size = ab.shape[1], ab.shape[2]
        log_shares = jax.nn.log_softmax(logits)
        entropy = -jnp.sum(jnp.exp(log_shares) * log_shares, axis=-1, keepdims=True)
        maps = [enlarge(x, size[0] // x.shape[1]).astype(jnp.float32) for x in features]
        lightness = nn.avg_pool(gray, (4, 4), strides=(4, 4))
        seen = jnp.concatenate([*maps, ab, entropy, lightness], axis=-1)
        guide = HintGuide(name="guide")(jax.lax.stop_gradient(seen), train=train)
        return Keys(feature_keys(features, size), guide)


def semantic(**options: Any) -> Semantic:
    """Builds the network of a config's `model`.

    Raises:
        RequestError: unknown encoder, decoder or normalization, or a number out of range.
        TypeError: unknown option.
    """
    net = Semantic(**options)
    for field, value, known in (
        ("encoder", net.encoder, tuple(VARIANTS)),
        ("encoder_norm", net.encoder_norm, ENCODER_NORMS),
        ("decoder", net.decoder, DECODERS),
        ("decoder_norm", net.decoder_norm, DECODER_NORMS),
    ):
        if value not in known:
            raise unknown_name(f"model.{field}", value, known)
    check_width(net.width)
    if not net.queries >= 1:
        raise RequestError(f"model.queries must be at least 1, not {net.queries}")
    try:
        frozen_layers(net.encoder, net.frozen_blocks)
    except ValueError as error:
        raise RequestError(f"model.frozen_blocks: {error}") from None
    return net
