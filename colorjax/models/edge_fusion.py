"""Natural Image Colorization (ACIIDS 2020): local and global features, fused with edges."""

from __future__ import annotations

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from colorjax import color
from colorjax.errors import RequestError, unknown_name
from colorjax.models.blocks.added_layer import AddedLayer
from colorjax.models.blocks.convolution import Conv, convolve
from colorjax.models.blocks.iizuka_blocks import (
    LOW_LEVEL,
    MID_LEVEL,
    Classifier,
    ConvLayer,
    Convs,
    GlobalFeatures,
    Layers,
    Style,
    check_global_size,
    check_sides,
    dense,
    fuse,
)
from colorjax.models.blocks.portable import encoded
from colorjax.models.blocks.shapes import enlarge, scaled, squeezed
from colorjax.models.iizuka import ab_outputs, check_output

EDGES = ("canny", "sobel", "off")
GLOBAL_BRANCHES = ("faithful", "iizuka")
DENSE_ACTIVATIONS = ("relu", "linear")

_LOCAL: Layers = ((64, 2), (128, 1), (128, 2), (256, 2), (512, 1), (256, 1))
_CLASSIFICATION: Layers = (*_LOCAL, (128, 1), (32, 1), (8, 1), (1, 1))
_EDGES: Layers = ((8, 2), (8, 2), (8, 2))


class EdgeFusion(nn.Module):
    """A local, a global and an edge branch, fused at an eighth of the size.

    The faithful layout at width 1 and global_size 256 has 9,844,743 parameters.

    Attributes:
        width: factor on all channels.
        global_size: side in pixels, a multiple of 32, of the global branch's input; the same as in
            training. A property of the weights.
        global_branch: "faithful": the original's "classification" network, which has separate
            weights and no classifier; "iizuka": low-level features shared with the local branch,
            global features and a classifier as in Iizuka 2016.
        edges: input of the edge branch: "canny": the input `edges`; "sobel": the magnitude of the
            gradient of gray; "off": no edge branch.
        num_classes: as in `Iizuka`, for that global branch; the faithful one has no classifier.
        norm: whether BatchNorm follows every layer, except the two fully connected layers of the
            faithful branch; the original has none.
        dense_activation: between the two fully connected layers of the faithful branch: "relu", or
            "linear" as in the original, which makes the two equivalent to one.
        kernel_init: initialization of the kernels, "he", or "glorot" as in the original.
        stride_padding: zeros around the input of a convolution of stride 2: "both", one on every
            side; "after", none at the top and left, as in the original.
        ab_range: ab units at tanh = 1; 128 in the original.
        raw_lightness: whether its input is scaled to 0 ... 100 instead of -1 ... 1, as in the
            original.
        upsample: from half to full size: "bilinear", or "nearest" as in the original.
        dtype: of the body; the outputs are float32.
        add_layer: whether an `AddedLayer` precedes the last layer, for fine-tuning.
    """

    width: float = 1.0
    global_size: int = 256
    global_branch: str = "faithful"
    edges: str = "canny"
    num_classes: int = 0
    norm: bool = False
    dense_activation: str = "relu"
    kernel_init: str = "he"
    stride_padding: str = "both"
    ab_range: float = color.AB_SCALE
    raw_lightness: bool = False
    upsample: str = "bilinear"
    dtype: Any = jnp.float32
    add_layer: bool = False

    fixed_size: ClassVar[int | None] = None
    size_multiple: ClassVar[int] = 8
    reach: ClassVar[int] = 72  # radius of the receptive field in pixels, without the global branch
    fit: ClassVar[str] = "resize"
    head_layers: ClassVar[tuple[str, ...]] = ("head",)
    feature_layers: ClassVar[tuple[str, ...]] = ("color2", "color1")

    @property
    def inputs(self) -> frozenset[str]:
        """Names of the inputs of `apply`."""
        names = {"gray", "global_gray"}
        return frozenset(names | {"edges"} if self.edges == "canny" else names)

    @property
    def can_classify(self) -> bool:
        """Whether the layout supports a classifier."""
        return self.global_branch == "iizuka"

    @property
    def has_classes(self) -> bool:
        """Whether the network has a classifier."""
        return self.num_classes > 0 and self.can_classify

    @property
    def outputs(self) -> frozenset[str]:
        """Names of the outputs of `apply`."""
        names = {"ab", "ab_half"}
        return frozenset(names | {"class_logits"} if self.has_classes else names)

    @property
    def style(self) -> Style:
        """Construction options of its layers."""
        return Style(
            self.width, self.norm, "relu", self.kernel_init, self.stride_padding, self.dtype
        )

    @nn.compact
    def __call__(self, inputs: dict[str, jax.Array], *, train: bool) -> dict[str, jax.Array]:
        """Predicts the colors of gray photos.

        Args:
            inputs: gray (N, H, W, 1) in [-1, 1], H and W multiples of 8; edges (N, H, W, 1) in
                [0, 1], for "canny"; global_gray (N, h, w, 1), of any size, the source of
                the global features; default: gray.
            train: whether BatchNorm uses batch statistics and updates the running ones.

        Returns:
            ab (N, H, W, 2), ab / 110, enlarged from ab_half (N, H/2, W/2, 2); with a classifier
            class_logits (N, num_classes). float32.

        Raises:
            ValueError: H or W is no multiple of 8.
        """
        gray, style = inputs["gray"], self.style
        check_sides(gray)
        seen = squeezed(inputs.get("global_gray", gray), self.global_size)
        x, wide = (self._scaled(view) for view in (gray, seen))
        local, vector, for_classes = (
            self._iizuka(x, None if seen is gray else wide, train=train)
            if self.global_branch == "iizuka"
            else self._faithful(x, wide, train=train)
        )
        parts = [local]
        if self.edges != "off":
            edges = inputs["edges"] if self.edges == "canny" else sobel((gray + 1) / 2)
            parts.append(Convs(_EDGES, style, name="edge_level")(edges, train=train))

        fusion = ConvLayer(scaled(256, self.width), style, kernel_size=1, name="fusion")
        (x,) = encoded(fusion(fuse(vector, *parts), train=train))
        x = Convs(((128, 1),), style, name="color1")(x, train=train)
        x = Convs(((64, 1),), style, name="color2")(enlarge(x, 2, "nearest"), train=train)
        x = Convs(((32, 1), (16, 1)), style, name="color3")(enlarge(x, 2, "nearest"), train=train)
        x = x.astype(jnp.float32)
        if self.add_layer:
            x = AddedLayer(name="added")(x, train=train)
        # A small initial head predicts near gray instead of saturating tanh.
        head = Conv(2, gain=1e-2, name="head", **style.initializers(0.1))
        ab = nn.tanh(head(x, train=train))
        outputs = ab_outputs(ab, self.ab_range, self.upsample)
        if self.has_classes:
            assert for_classes is not None
            classifier = Classifier(self.num_classes, style, name="classifier")
            outputs["class_logits"] = classifier(for_classes, train=train)
        return outputs

    def _scaled(self, gray: jax.Array) -> jax.Array:
        return color.denormalize_lightness(gray) if self.raw_lightness else gray

    def _faithful(
        self, x: jax.Array, wide: jax.Array, *, train: bool
    ) -> tuple[jax.Array, jax.Array, None]:
        """Returns local features, the global vector, and None (no classifier input)."""
        style = self.style
        y = Convs(_CLASSIFICATION, style, name="classification")(wide, train=train)
        y = y.reshape(y.shape[0], -1)
        y = dense(max(1, round(1500 * self.width)), style, name="dense1")(y)
        y = nn.relu(y) if self.dense_activation == "relu" else y
        vector = dense(max(1, round(1000 * self.width)), style, name="dense2")(y)
        return Convs(_LOCAL, style, name="local_level")(x, train=train), vector, None

    def _iizuka(
        self, x: jax.Array, wide: jax.Array | None, *, train: bool
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Returns local features, the global vector, and the classifier's input.

        `wide` is the input of the global branch; None: `x`.
        """
        low_level = Convs(LOW_LEVEL, self.style, name="low_level")
        low = low_level(x, train=train)
        far = low if wide is None else low_level(wide, train=train, update=False)
        vector, for_classes = GlobalFeatures(self.style, name="global_level")(far, train=train)
        mid = Convs(MID_LEVEL, self.style, name="mid_level")(low, train=train)
        return mid, vector, for_classes


def sobel(gray: jax.Array) -> jax.Array:
    """Returns the magnitude of Sobel's gradient, as `skimage.filters.sobel` does.

    Args:
        gray: (N, H, W, 1) in [0, 1].

    Returns:
        (N, H, W, 1), at least 0; borders are mirrored.
    """
    across = jnp.array([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -1.0]]) / 4
    kernel = jnp.stack([across, across.T], axis=-1)[:, :, None, :]
    padded = jnp.pad(gray, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")
    slopes = convolve(padded.astype(jnp.float32), kernel)
    # Avoids 0, where the root has no gradient.
    return jnp.sqrt(jnp.mean(jnp.square(slopes), axis=-1, keepdims=True) + 1e-12)


def edge_fusion(**options: Any) -> EdgeFusion:
    """Builds the network of a config's `model`.

    Raises:
        RequestError: invalid option.
        TypeError: unknown option.
    """
    net = EdgeFusion(**options)
    net.style.check()
    check_global_size(net.global_size)
    check_output(net.ab_range, net.upsample)
    for name, known in (
        ("edges", EDGES),
        ("global_branch", GLOBAL_BRANCHES),
        ("dense_activation", DENSE_ACTIVATIONS),
    ):
        if getattr(net, name) not in known:
            raise unknown_name(f"model.{name}", getattr(net, name), known)
    if net.num_classes > 0 and not net.can_classify:
        raise RequestError(
            "model.global_branch=faithful has no classifier; set model.num_classes=0, or "
            "model.global_branch=iizuka"
        )
    return net
