"""U-Nets for small photos: Nazeri et al. 2018 and a conditional DCGAN (docs/papers.md)."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from colorjax import color
from colorjax.errors import RequestError, unknown_name
from colorjax.models.blocks.added_layer import AddedLayer
from colorjax.models.blocks.checks import check_gray_range, check_norm
from colorjax.models.blocks.convolution import BatchNorm, Conv, UpConv
from colorjax.models.blocks.initializers import KERNEL_INITS, UP_KERNEL_INITS
from colorjax.models.blocks.portable import encoded
from colorjax.models.blocks.shapes import check_width, scaled
from colorjax.models.blocks.zhang_blocks import BinHead

HEADS = ("auto", "ab", "bins")
NORMS = ("batch", "affine")


class Layout(NamedTuple):
    """The units of a U-Net, all of one kernel size."""

    encoder: tuple[tuple[int, int], ...]  # channels and stride of each unit
    decoder: tuple[int, ...]  # channels; each unit doubles the sides and concatenates a skip
    kernel_size: int
    dropouts: int  # number of first decoder units with dropout
    encoder_norm: bool = True
    leaky_decoder: bool = False  # LeakyReLU, BatchNorm instead of BatchNorm, ReLU


LAYOUTS = {
    "cifar": Layout(
        ((64, 1), (128, 2), (256, 2), (512, 2), (512, 2)), (512, 256, 128, 64), 4, dropouts=2
    ),
    "places": Layout(
        ((64, 1), (64, 2), (128, 2), (256, 2), (512, 2), (512, 2), (512, 2), (512, 2)),
        (512, 512, 512, 256, 128, 64, 64),
        4,
        dropouts=0,
    ),
    "dcgan": Layout(
        ((64, 1), (128, 2), (256, 2), (512, 2), (512, 2)),
        (512, 256, 128, 64),
        2,
        dropouts=2,
        encoder_norm=False,
        leaky_decoder=True,
    ),
}


class UNet(nn.Module):
    """Encoder of convolutions, decoder of transposed convolutions, skips between equal sizes.

    A decoder unit is transposed convolution, BatchNorm, ReLU, dropout, then the skip connection.
    Trainable parameters at width 1: "cifar" 16,654,722, with space "lab" 16,654,851; "places"
    42,023,682 and 42,023,811; "dcgan" with space "rgb" 4,166,339.

    Attributes:
        layout: a key of `LAYOUTS`.
        width: factor on all channels.
        space: output space: "ab", "lab" (with lightness) or "rgb"; see
            `colorjax.color.lab_to_space`.
        head: "ab": tanh values in `space`; "bins": a distribution over the 313 bins.
        dropout: share of features dropped in training, in the units that have dropout.
        norm: "batch"; "affine": only scale and shift, as if BatchNorm never updated statistics.
        norm_momentum: share of BatchNorm's running statistics that a step keeps; Keras: 0.99.
        norm_epsilon: added to BatchNorm's variances; Keras: 1e-3.
        kernel_init: a key of `KERNEL_INITS`.
        gray_range: values of black and white in the network; its input is always in [-1, 1].
        temperature: of the annealed mean of "bins".
        folded_temperature: see `BinHead`.
        dtype: of the body; the head is float32.
        add_layer: whether an `AddedLayer` precedes the last layer, for fine-tuning.
    """

    layout: str = "cifar"
    width: float = 1.0
    space: str = "ab"
    head: str = "ab"
    dropout: float = 0.5
    norm: str = "batch"
    norm_momentum: float = 0.9
    norm_epsilon: float = 1e-5
    kernel_init: str = "he"
    gray_range: tuple[float, float] = (-1.0, 1.0)
    temperature: float = 0.38
    folded_temperature: float = 1.0
    dtype: Any = jnp.float32
    add_layer: bool = False

    inputs: ClassVar[frozenset[str]] = frozenset({"gray"})
    fixed_size: ClassVar[int | None] = None
    fit: ClassVar[str] = "pad"
    head_layers: ClassVar[tuple[str, ...]] = ("head",)

    @property
    def feature_layers(self) -> tuple[str, ...]:
        """Submodules whose outputs serve as features in `colorjax.models.hint_spreading`."""
        last = len(LAYOUTS[self.layout].decoder)
        return f"up{last}_norm", f"up{last - 1}_norm"

    @property
    def outputs(self) -> frozenset[str]:
        """Names of the outputs of `apply`."""
        return frozenset({"ab", "logits", "bin_logits"} if self.head == "bins" else {"ab", "color"})

    @property
    def size_multiple(self) -> int:
        """Heights and widths must be multiples of this, in pixels."""
        return 2 ** len(LAYOUTS[self.layout].decoder)

    @property
    def reach(self) -> int:
        """Upper bound of the receptive field's radius in pixels; layout "cifar": exactly 41."""
        return 3 * self.size_multiple

    @nn.compact
    def __call__(self, inputs: dict[str, jax.Array], *, train: bool) -> dict[str, jax.Array]:
        """Maps gray (N, H, W, 1) in [-1, 1] to float32 outputs.

        Returns:
            ab: (N, H, W, 2), ab / 110;
            color: (N, H, W, 2 or 3), the prediction in `space`, with the head "ab";
            with the head "bins" the outputs of `BinHead`.

        Raises:
            ValueError: H or W is no multiple of `size_multiple`.
        """
        layout, multiple = LAYOUTS[self.layout], self.size_multiple
        x = inputs["gray"]
        if x.shape[1] % multiple or x.shape[2] % multiple:
            raise ValueError(
                f"unet needs sides that are multiples of {multiple}, got {x.shape[1:3]}"
            )
        x = color.rescale_gray(x, self.gray_range)
        skips = []
        for number, (channels, stride) in enumerate(layout.encoder, start=1):
            x = self._down(x, number, channels, stride, layout, train=train)
            skips.append(x)
        x, *skips = encoded(x, *skips[:-1])
        for number, channels in enumerate(layout.decoder, start=1):
            x = self._up(x, number, channels, layout, train=train)
            x = jnp.concatenate([x, skips.pop()], axis=-1)
        x = x.astype(jnp.float32)
        if self.add_layer:
            x = AddedLayer(name="added")(x, train=train)
        if self.head == "bins":
            head = BinHead(self.temperature, self.folded_temperature, name="head")
            return head(x, train=train)
        # A small initial head (with He) predicts near gray instead of saturating tanh.
        start = KERNEL_INITS[self.kernel_init]
        head = Conv(color.SPACES[self.space], 1, gain=1e-2, kernel_init=start, name="head")
        values = jnp.tanh(head(x, train=train))
        if self.space == "rgb":
            ab = color.normalize_ab(color.space_to_lab(values, "rgb", None)[..., 1:])
        else:
            ab = values[..., -2:]
        return {"ab": ab, "color": values}

    def _down(
        self, x: jax.Array, number: int, channels: int, stride: int, layout: Layout, *, train: bool
    ) -> jax.Array:
        conv = Conv(
            scaled(channels, self.width),
            1 if number == 1 and layout.kernel_size == 2 else layout.kernel_size,
            stride,
            dtype=self.dtype,
            kernel_init=KERNEL_INITS[self.kernel_init],
            name=f"down{number}",
        )
        x = conv(x, train=train)
        if layout.encoder_norm:
            x = self._normalized(x, f"down{number}_norm", train=train)
        return nn.leaky_relu(x, 0.2)

    def _up(
        self, x: jax.Array, number: int, channels: int, layout: Layout, *, train: bool
    ) -> jax.Array:
        up = UpConv(
            scaled(channels, self.width),
            self.dtype,
            kernel_size=layout.kernel_size,
            kernel_init=UP_KERNEL_INITS[self.kernel_init],
            name=f"up{number}",
        )
        x = up(x, train=train)
        if layout.leaky_decoder:
            x = self._normalized(nn.leaky_relu(x, 0.2), f"up{number}_norm", train=train)
        else:
            x = nn.relu(self._normalized(x, f"up{number}_norm", train=train))
        if number <= layout.dropouts:
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return x

    def _normalized(self, x: jax.Array, name: str, *, train: bool) -> jax.Array:
        norm = BatchNorm(self.dtype, self.norm_momentum, self.norm_epsilon, name=name)
        return norm(x, train=train and self.norm == "batch")


def unet(**options: Any) -> UNet:
    """Builds the network of a config's `model`.

    Raises:
        RequestError: unknown values, or incompatible ones.
        TypeError: unknown option.
    """
    net = UNet(**options)
    known = {
        "layout": LAYOUTS,
        "space": color.SPACES,
        "head": HEADS,
        "norm": NORMS,
        "kernel_init": KERNEL_INITS,
    }
    for name, values in known.items():
        if getattr(net, name) not in values:
            raise unknown_name(f"model.{name}", getattr(net, name), values)
    if net.head == "bins" and net.space != "ab":
        raise RequestError(f"model.head=bins predicts only ab; set model.space=ab, not {net.space}")
    if not 0 <= net.dropout < 1:
        raise RequestError(f"model.dropout must be at least 0 and below 1, not {net.dropout}")
    if not (net.temperature >= 0 and net.folded_temperature > 0):
        raise RequestError(
            "model.temperature must be at least 0 and model.folded_temperature above 0, not "
            f"{net.temperature} and {net.folded_temperature}"
        )
    check_width(net.width)
    check_norm("model", net.norm_momentum, net.norm_epsilon)
    check_gray_range("model", net.gray_range)
    return net
