"""Plain CNN with L2 loss (docs/papers.md): strided convolutions, then transposed ones."""

from __future__ import annotations

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from colorjax.errors import RequestError, unknown_name
from colorjax.models.blocks.added_layer import AddedLayer
from colorjax.models.blocks.convolution import BatchNorm, Conv, UpConv
from colorjax.models.blocks.portable import encoded


class PlainCNN(nn.Module):
    """The report's network: six convolutions, then transposed ones back to full size.

    Each layer is convolution, ReLU, BatchNorm, in the report's order. The head ends in tanh, which
    the report recommends. The report does not say where dropout acts; here it acts once, between
    the two halves.

    Attributes:
        filters: channels of each convolution, then of the transposed ones.
        strides: 1 or 2 for each convolution; as many transposed convolutions undo them.
        kernel_size: odd, of the convolutions; the transposed ones are 4x4.
        dilation: of the convolutions with stride 1.
        dropout: share of features dropped in training.
        dtype: of the body; the head is float32.
        add_layer: whether an `AddedLayer` precedes the last layer, for fine-tuning.
    """

    filters: tuple[int, ...] = (64, 128, 128, 256, 256, 256, 128)
    strides: tuple[int, ...] = (1, 2, 2, 1, 1, 1)
    kernel_size: int = 3
    dilation: int = 1
    dropout: float = 0.4
    dtype: Any = jnp.float32
    add_layer: bool = False

    inputs: ClassVar[frozenset[str]] = frozenset({"gray"})
    outputs: ClassVar[frozenset[str]] = frozenset({"ab"})
    fixed_size: ClassVar[int | None] = None
    fit: ClassVar[str] = "pad"
    head_layers: ClassVar[tuple[str, ...]] = ("head",)

    @property
    def feature_layers(self) -> tuple[str, ...]:
        """Submodules whose outputs serve as features in `colorjax.models.hint_spreading`."""
        ups = self.strides.count(2)
        return (f"BatchNorm_{len(self.strides) + max(ups - 1, 0) - 1}",)  # before the head

    @property
    def size_multiple(self) -> int:
        """Heights and widths must be multiples of this, in pixels."""
        return 2 ** self.strides.count(2)

    @property
    def reach(self) -> int:
        """Radius of the receptive field in pixels, or slightly more."""
        far, step = 0, 1
        for stride in (*self.strides, 1):  # one more filter than strides
            far += self.kernel_size // 2 * step * (self.dilation if stride == 1 else 1)
            step *= stride
        return far + 4 * step  # transposed convolutions, and pixels of one cell

    @nn.compact
    def __call__(self, inputs: dict[str, jax.Array], *, train: bool) -> dict[str, jax.Array]:
        """Maps gray (N, H, W, 1), L / 50 - 1, to ab (N, H, W, 2), ab / 110, float32."""
        x = inputs["gray"]
        for features, stride in zip(self.filters, self.strides, strict=False):
            dilation = self.dilation if stride == 1 else 1
            conv = Conv(features, self.kernel_size, stride, dilation, self.dtype)
            x = BatchNorm(self.dtype)(nn.relu(conv(x, train=train)), train=train)
        (x,) = encoded(x)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        ups = self.strides.count(2)
        for _ in range(ups - 1):
            up = UpConv(self.filters[-1], self.dtype)
            x = BatchNorm(self.dtype)(nn.relu(up(x, train=train)), train=train)
        x = x.astype(jnp.float32)
        if self.add_layer:
            x = AddedLayer(name="added")(x, train=train)
        # A small initial head predicts near gray instead of saturating tanh.
        small = {"gain": 1e-4, "name": "head"}
        head = UpConv(2, **small) if ups else Conv(2, self.kernel_size, **small)
        return {"ab": jnp.tanh(head(x, train=train))}


class PlainDense(nn.Module):
    """The Keras notebook's 128x128 network (4.2): all colors are decoded from 64 numbers.

    Valid 3x3 to 5x5 convolutions with ReLU down to 1x1x64, then one linear dense layer to
    128x128x2. 2,214,736 trainable parameters.
    """

    dtype: Any = jnp.float32

    inputs: ClassVar[frozenset[str]] = frozenset({"gray"})
    outputs: ClassVar[frozenset[str]] = frozenset({"ab"})
    fixed_size: ClassVar[int | None] = 128
    size_multiple: ClassVar[int] = 128
    fit: ClassVar[str] = "resize"
    head_layers: ClassVar[tuple[str, ...]] = ("head",)
    feature_layers: ClassVar[tuple[str, ...]] = ("BatchNorm_0",)  # 59x59

    @nn.compact
    def __call__(self, inputs: dict[str, jax.Array], *, train: bool) -> dict[str, jax.Array]:
        """Maps gray (N, 128, 128, 1), L / 50 - 1, to ab (N, 128, 128, 2), ab / 110, float32."""
        x = inputs["gray"].astype(self.dtype)
        for features, kernel_size, *after in (
            (16, 5, "pool"),
            (16, 4, "norm", "pool"),
            (32, 4, "pool"),
            (32, 4, "norm", "pool"),
            (64, 3),
            (64, 3, "norm"),
        ):
            conv = nn.Conv(features, (kernel_size,) * 2, padding="VALID", dtype=self.dtype)
            x = nn.relu(conv(x))
            if "norm" in after:
                x = BatchNorm(self.dtype)(x, train=train)
            if "pool" in after:
                x = nn.max_pool(x, (2, 2), (2, 2))
        (x,) = encoded(x)
        x = x.reshape(x.shape[0], -1).astype(jnp.float32)
        return {"ab": nn.Dense(128 * 128 * 2, name="head")(x).reshape(-1, 128, 128, 2)}


def plain_cnn(variant: str = "cnn", **options: Any) -> nn.Module:
    """Builds the network of a config's `model`.

    Args:
        variant: "cnn" or "dense".
        **options: attributes of `PlainCNN`; "dense" uses only dtype, its layers are fixed.

    Raises:
        RequestError: unknown variant, or incompatible options.
    """
    if variant == "dense":
        if options.get("add_layer"):
            raise RequestError(
                "model.variant=dense has no feature map for an added layer; set "
                "model.add_layer=False and train_only=head"
            )
        return PlainDense(options.get("dtype", jnp.float32))
    if variant != "cnn":
        raise unknown_name("model.variant", variant, ("cnn", "dense"))
    net = PlainCNN(**options)
    if len(net.filters) != len(net.strides) + 1:
        raise RequestError(
            f"model.filters needs one more number than model.strides; got {len(net.filters)} "
            f"and {len(net.strides)}"
        )
    if not set(net.strides) <= {1, 2} or net.size_multiple > 8:
        raise RequestError(
            f"model.strides must be 1 or 2, at most three of them 2; got {net.strides}"
        )
    if net.kernel_size % 2 == 0:
        raise RequestError(f"model.kernel_size must be odd; got {net.kernel_size}")
    return net
