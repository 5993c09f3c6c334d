"""Critics (discriminators): networks that distinguish true from predicted colors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

from colorjax import color
from colorjax.errors import RequestError, unknown_name
from colorjax.models.blocks.checks import check_gray_range, check_norm
from colorjax.models.blocks.convolution import BatchNorm, Conv
from colorjax.models.blocks.initializers import KERNEL_INITS
from colorjax.models.blocks.shapes import scaled

_SLOPE = 0.2  # of LeakyReLU, in all critics


class Critic(Protocol):
    """A Linen module that maps colors and their gray photo to logits."""

    @property
    def space(self) -> str:
        """Color space of its input: "own" (the colorizer's output space) or "rgb"."""
        ...

    @property
    def fixed_size(self) -> int | None:
        """The only accepted height and width, in pixels; None: any from `smallest_size`."""
        ...

    @property
    def smallest_size(self) -> int:
        """Smallest accepted height and width, in pixels."""
        ...

    def init(self, rngs: Any, inputs: dict[str, Any], *, train: bool) -> Any:
        """Returns fresh variables."""
        ...

    def apply(self, variables: Any, inputs: dict[str, Any], **options: Any) -> Any:
        """Returns logits (N, h, w, 1), above 0 for true; with `mutable=[...]` also updates."""
        ...


class _Convolution(nn.Module):
    """A convolution with optional spectral normalization (Miyato et al. 2018, one iteration)."""

    features: int
    kernel_size: int
    stride: int = 1
    spectral_norm: bool = False
    use_bias: bool = True
    padding: int | None = None
    dtype: Any = jnp.float32
    kernel_init: str = "he"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        conv = Conv(
            self.features,
            self.kernel_size,
            self.stride,
            dtype=self.dtype,
            use_bias=self.use_bias,
            padding=self.padding,
            kernel_init=KERNEL_INITS[self.kernel_init],
            name="conv",
        )
        if not self.spectral_norm:
            return conv(x, train=train)
        return nn.SpectralNorm(conv, name="spectral")(x, train=train, update_stats=train)


class SelfAttention(nn.Module):
    """Attention between all pixels, added to the input (Zhang et al. 2019, SAGAN).

    x + gamma sum_j softmax_j(f_i . g_j) h_j. f and g have an eighth of the channels; gamma is
    initially 0.
    """

    spectral_norm: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps (N, H, W, C) to the same shape."""
        n, height, width, channels = x.shape

        def project(name: str, features: int) -> jax.Array:
            conv = _Convolution(
                features, 1, 1, self.spectral_norm, use_bias=False, dtype=self.dtype, name=name
            )
            return conv(x, train=train).reshape(n, height * width, features)

        small = max(1, channels // 8)
        queries, keys = project("query", small), project("key", small)
        values = project("value", channels)
        weights = jax.nn.softmax(jnp.einsum("nic,njc->nij", queries, keys).astype(jnp.float32))
        attended = jnp.einsum("nij,njc->nic", weights.astype(self.dtype), values)
        gamma = self.param("gamma", nn.initializers.zeros, ())
        return x + gamma.astype(x.dtype) * attended.reshape(x.shape)


class PatchCritic(nn.Module):
    """The patch discriminator of Nazeri et al. 2018: a logit for each patch (70x70 at 256 px).

    4x4 convolutions of 64, 128 and 256 channels with stride 2, 512 and 1 with stride 1; LeakyReLU;
    BatchNorm except in the first and last layers. 2,767,553 parameters for gray and Lab.

    Attributes:
        width: factor on all channels except the last.
        conditional: whether the gray photo is an additional input.
        norm: BatchNorm.
        norm_momentum: share of its running statistics that a step keeps.
        norm_epsilon: added to its variances.
        spectral_norm: of all convolutions.
        attention: self-attention after the second convolution.
        kernel_init: a key of `KERNEL_INITS`.
        gray_range: values of black and white in the network; its input is always in [-1, 1].
        dtype: of the body; the last convolution is float32.
    """

    width: float = 1.0
    conditional: bool = True
    norm: bool = True
    norm_momentum: float = 0.9
    norm_epsilon: float = 1e-5
    spectral_norm: bool = False
    attention: bool = False
    kernel_init: str = "he"
    gray_range: tuple[float, float] = (-1.0, 1.0)
    dtype: Any = jnp.float32

    space: ClassVar[str] = "own"
    fixed_size: ClassVar[int | None] = None
    smallest_size: ClassVar[int] = 8

    @nn.compact
    def __call__(self, inputs: dict[str, jax.Array], *, train: bool) -> jax.Array:
        """Maps color (N, H, W, C) and gray (N, H, W, 1) to logits (N, H / 8, W / 8, 1)."""
        x = inputs["color"]
        if self.conditional:
            x = jnp.concatenate([color.rescale_gray(inputs["gray"], self.gray_range), x], axis=-1)
        for number, (channels, stride) in enumerate(
            ((64, 2), (128, 2), (256, 2), (512, 1)), start=1
        ):
            conv = _Convolution(
                scaled(channels, self.width),
                4,
                stride,
                self.spectral_norm,
                dtype=self.dtype,
                kernel_init=self.kernel_init,
                name=f"conv{number}",
            )
            x = conv(x, train=train)
            if self.norm and number > 1:
                norm = BatchNorm(
                    self.dtype, self.norm_momentum, self.norm_epsilon, name=f"norm{number}"
                )
                x = norm(x, train=train)
            x = nn.leaky_relu(x, _SLOPE)
            if self.attention and number == 2:
                x = SelfAttention(self.spectral_norm, self.dtype, name="attention")(x, train=train)
        head = _Convolution(1, 4, 1, self.spectral_norm, kernel_init=self.kernel_init, name="head")
        return head(x.astype(jnp.float32), train=train)


class DcganCritic(nn.Module):
    """The discriminator of the conditional DCGAN: one logit per 32x32 photo.

    2x2 convolutions of 64, 128 and 256 channels with stride 2, a 1x1 one of 512, each with
    BatchNorm and LeakyReLU, then two fully connected layers, 128 (linear) and 1. 1,347,649
    trainable parameters for gray and RGB.

    Attributes:
        width: factor on all channels of the convolutions.
        conditional: whether the gray photo is an additional input.
        size: height and width of the photos, in pixels, a multiple of 8.
        norm_momentum: as in `PatchCritic`; likewise the next three.
        norm_epsilon: see there.
        kernel_init: see there.
        gray_range: see there.
        dtype: of the body; the last two layers are float32.
    """

    width: float = 1.0
    conditional: bool = True
    size: int = 32
    norm_momentum: float = 0.9
    norm_epsilon: float = 1e-5
    kernel_init: str = "he"
    gray_range: tuple[float, float] = (-1.0, 1.0)
    dtype: Any = jnp.float32

    space: ClassVar[str] = "own"
    smallest_size: ClassVar[int] = 8

    @property
    def fixed_size(self) -> int:
        """The only accepted height and width, in pixels."""
        return self.size

    @nn.compact
    def __call__(self, inputs: dict[str, jax.Array], *, train: bool) -> jax.Array:
        """Maps color (N, S, S, C) and gray (N, S, S, 1) to logits (N, 1, 1, 1)."""
        x = inputs["color"]
        if self.conditional:
            x = jnp.concatenate([color.rescale_gray(inputs["gray"], self.gray_range), x], axis=-1)
        layers = ((64, 2, 2), (128, 2, 2), (256, 2, 2), (512, 1, 1))
        for number, (channels, kernel_size, stride) in enumerate(layers, start=1):
            features = scaled(channels, self.width)
            conv = Conv(
                features,
                kernel_size,
                stride,
                dtype=self.dtype,
                kernel_init=KERNEL_INITS[self.kernel_init],
                name=f"conv{number}",
            )
            norm = BatchNorm(
                self.dtype, self.norm_momentum, self.norm_epsilon, name=f"norm{number}"
            )
            x = nn.leaky_relu(norm(conv(x, train=train), train=train), _SLOPE)
        x = x.reshape(x.shape[0], -1).astype(jnp.float32)
        # Linear layers, for which He's factor of 2 does not apply.
        start = KERNEL_INITS[self.kernel_init] or KERNEL_INITS["lecun"]
        x = nn.Dense(128, kernel_init=start, name="dense")(x)
        x = nn.Dense(1, kernel_init=start, name="logit")(x)
        return x.reshape(-1, 1, 1, 1)


class NoganCritic(nn.Module):
    """DeOldify's critic for RGB pictures: spectral norms, dropout, one self-attention layer.

    A 4x4 convolution of stride 2; blocks of a 3x3 convolution and a 4x4 one of stride 2 that
    doubles the channels; a 3x3 and a valid 4x4 convolution. The original has 256 channels, 3 blocks
    and about 94.6 million parameters, and needs at least 64 px; with 2 blocks 32 px are enough.
    DDColor's critic ("ddcolor") has 64 channels, 3 blocks, ReLU and no dropout: 5,919,617
    parameters.

    Attributes:
        width: factor on all channels.
        channels: of the first convolution.
        blocks: number of blocks.
        slope: of LeakyReLU; 0: ReLU.
        dropout: whether channels are dropped.
        dtype: of the body; the last convolution is float32.
    """

    width: float = 1.0
    channels: int = 128
    blocks: int = 2
    slope: float = _SLOPE
    dropout: bool = True
    dtype: Any = jnp.float32

    conditional: ClassVar[bool] = False  # no gray input
    space: ClassVar[str] = "rgb"
    fixed_size: ClassVar[int | None] = None

    @property
    def smallest_size(self) -> int:
        """Smallest accepted height and width, in pixels."""
        return 4 * 2 ** (self.blocks + 1)

    @nn.compact
    def __call__(self, inputs: dict[str, jax.Array], *, train: bool) -> jax.Array:
        """Maps color (N, H, W, 3), RGB in [-1, 1], to logits (N, h, w, 1), h = H / 2^(b+1) - 3."""

        def layer(x, name, features, kernel_size, stride=1):
            conv = _Convolution(
                features, kernel_size, stride, spectral_norm=True, dtype=self.dtype, name=name
            )
            return nn.leaky_relu(conv(x, train=train), self.slope)

        def dropped(x, share):  # whole channels
            drops = train and self.dropout
            return nn.Dropout(share, broadcast_dims=(1, 2), deterministic=not drops)(x)

        features = scaled(self.channels, self.width)
        x = dropped(layer(inputs["color"], "first", features, 4, 2), 0.075)
        for number in range(1, self.blocks + 1):
            x = dropped(layer(x, f"block{number}_keep", features, 3), 0.15)
            features *= 2
            x = layer(x, f"block{number}_down", features, 4, 2)
            if number == 1:
                x = SelfAttention(True, self.dtype, name="attention")(x, train=train)
        x = layer(x, "last", features, 3).astype(jnp.float32)
        head = _Convolution(1, 4, 1, spectral_norm=True, use_bias=False, padding=0, name="head")
        return head(x, train=train)


CRITICS: dict[str, Callable[..., Any]] = {
    "patch": PatchCritic,
    "dcgan": DcganCritic,
    "nogan": NoganCritic,
    "ddcolor": functools.partial(NoganCritic, channels=64, blocks=3, slope=0.0, dropout=False),
}


def create_critic(name: str, *, size: int, **options: Any) -> Critic:
    """Builds a critic by name.

    Args:
        name: a key of `CRITICS`.
        size: height and width of the photos that it is trained on, in pixels.
        **options: the critic's attributes.

    Raises:
        RequestError: unknown name or option, or an unsupported size.
    """
    if name not in CRITICS:
        raise unknown_name("critic critic.name =", name, CRITICS)
    if name == "dcgan":
        options = {"size": size} | options
    # A config read from JSON has lists instead of tuples.
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    try:
        critic: Any = CRITICS[name](**options)
    except TypeError as error:  # unknown attribute
        raise RequestError(f"critic {name}: {error}") from None
    if not critic.width > 0:
        raise RequestError(f"critic.width must be above 0, not {critic.width}")
    if name in ("patch", "dcgan"):
        check_norm("critic", critic.norm_momentum, critic.norm_epsilon)
        check_gray_range("critic", critic.gray_range)
        if critic.kernel_init not in KERNEL_INITS:
            raise unknown_name("critic.kernel_init", critic.kernel_init, KERNEL_INITS)
    if critic.fixed_size not in (None, size) or size < critic.smallest_size or size % 8:
        raise RequestError(
            f"critic {name} needs photos of at least {critic.smallest_size} px, in multiples of 8, "
            f"not {size}; change data.image_size or critic.name"
        )
    return critic
