"""Networks whose hidden layers compare pictures, for the feature loss (Johnson et al. 2016)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

from colorjax.errors import RequestError, unknown_name
from colorjax.models.blocks.convolution import BatchNorm, Conv
from colorjax.models.blocks.shapes import scaled
from colorjax.models.encoders.efficientnet_lite import EfficientNetLite

# Mean and standard deviation of ImageNet's sRGB in [0, 1], as torchvision's networks expect.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Channels and number of convolutions of each stage; a 2x2 max pool separates stages.
VGG16_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
_VGG16_TAPPED = 3  # number of last stages used: those before pools 3, 4 and 5
# Weights of each tap of the networks with published ones: of DeOldify and of DDColor.
PUBLISHED_TAP_WEIGHTS = {
    "vgg16_bn": (20.0, 70.0, 10.0),
    "vgg16_bn_conv": (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0),
}
_CLASSIFIER_STAGES = ((64, 2), (128, 2), (256, 2))


class FeatureNetwork(Protocol):
    """A Linen module that maps pictures to the activations of its hidden layers."""

    @property
    def smallest_size(self) -> int:
        """Smallest accepted height and width, in pixels."""
        ...

    def init(self, rngs: Any, rgb: Any, *, train: bool) -> Any:
        """Returns fresh variables."""
        ...

    def apply(self, variables: Any, rgb: Any, **options: Any) -> Any:
        """Returns {"taps": (three activations), ...}; with `mutable=[...]` also updates."""
        ...


class _Layer(nn.Module):
    """A 3x3 convolution, BatchNorm, ReLU; returns the outputs of the first and the last."""

    features: int
    use_bias: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array]:
        conv = Conv(self.features, dtype=self.dtype, use_bias=self.use_bias, name="conv")
        norm = BatchNorm(self.dtype, name="norm")
        y = conv(x, train=train)
        return y, nn.relu(norm(y, train=train))


def _check_size(rgb: jax.Array, smallest: int, name: str) -> None:
    height, width = rgb.shape[1:3]
    if min(height, width) < smallest:
        raise RequestError(
            f"features {name} needs photos of at least {smallest} px, not {width}x{height}; "
            "increase data.image_size"
        )


def _pooled(x: jax.Array) -> jax.Array:
    return nn.max_pool(x, (2, 2), strides=(2, 2))


class Vgg16Features(nn.Module):
    """VGG16 with BatchNorm up to its last pool (Simonyan and Zisserman 2015, configuration D).

    The layers are `features` of torchvision's vgg16_bn; `colorjax.weights.torch.vgg` reads its
    weights. It is never trained: BatchNorm always uses its running statistics.

    Attributes:
        dtype: of the computation.
        before_norm: whether the taps are the first convolutions of the stages, as in DDColor.
    """

    dtype: Any = jnp.float32
    before_norm: bool = False

    smallest_size: ClassVar[int] = 16

    @nn.compact
    def __call__(self, rgb: jax.Array, *, train: bool = False) -> dict[str, Any]:
        """Computes the features of pictures.

        Args:
            rgb: (N, H, W, 3) sRGB in [0, 1], H and W at least 16.
            train: ignored.

        Returns:
            taps: the activations just before pools 3, 4 and 5 (relu3_3, relu4_3, relu5_3), as in
            DeOldify: (N, H // 4, W // 4, 256), (N, H // 8, W // 8, 512) and
            (N, H // 16, W // 16, 512), float32; with `before_norm` the outputs of conv1_1, conv2_1,
            conv3_1, conv4_1 and conv5_1, before BatchNorm and ReLU.

        Raises:
            RequestError: a picture is too small.
        """
        _check_size(rgb, self.smallest_size, "vgg16_bn")
        mean, std = (jnp.asarray(v).reshape(1, 1, 1, 3) for v in (IMAGENET_MEAN, IMAGENET_STD))
        x = (rgb - mean) / std
        activations, convolutions = [], []
        for stage, (channels, layers) in enumerate(VGG16_STAGES, start=1):
            if stage > 1:
                x = _pooled(x)
            for number in range(1, layers + 1):
                name = f"layer{stage}_{number}"
                y, x = _Layer(channels, True, self.dtype, name=name)(x, train=False)
                if number == 1:
                    convolutions.append(y.astype(jnp.float32))
            activations.append(x.astype(jnp.float32))
        taps = convolutions if self.before_norm else activations[-_VGG16_TAPPED:]
        return {"taps": tuple(taps)}


class LiteFeatures(nn.Module):
    """EfficientNet-Lite0 on color pictures; `colorjax.weights.torch.encoders` reads its weights.

    It is never trained. Its taps are the linear outputs of blocks, before any ReLU6, so that the
    gradient does not vanish where a unit is inactive.

    Attributes:
        dtype: of the computation.
    """

    dtype: Any = jnp.float32

    smallest_size: ClassVar[int] = 16

    @nn.compact
    def __call__(self, rgb: jax.Array, *, train: bool = False) -> dict[str, Any]:
        """Computes the features of pictures.

        Args:
            rgb: (N, H, W, 3) sRGB in [0, 1], H and W at least 16.
            train: ignored.

        Returns:
            taps: the maps at strides 4, 8 and 16, of 24, 40 and 112 channels, float32.

        Raises:
            RequestError: a picture is too small.
        """
        _check_size(rgb, self.smallest_size, "lite0")
        encoder = EfficientNetLite("lite0", dtype=self.dtype, name="encoder")
        maps = encoder((255 * rgb - 127) / 128, train=False)
        return {"taps": tuple(x.astype(jnp.float32) for x in maps[1:4])}


class SmallClassifier(nn.Module):
    """A classifier of small photos, trained on the colorizer's training photos.

    Three stages of 64, 128 and 256 channels, each of two 3x3 convolutions with BatchNorm and ReLU
    and a 2x2 max pool; then global average pooling, dropout and a fully connected layer.

    Attributes:
        num_classes: of the photos.
        width: factor on all channels.
        dtype: of the body; the last layer is float32.
    """

    num_classes: int
    width: float = 1.0
    dtype: Any = jnp.float32

    smallest_size: ClassVar[int] = 8

    @nn.compact
    def __call__(self, rgb: jax.Array, *, train: bool) -> dict[str, Any]:
        """Classifies pictures.

        Args:
            rgb: (N, H, W, 3) sRGB in [0, 1], H and W at least 8.
            train: whether dropout is active and BatchNorm uses batch statistics and updates the
                running ones.

        Returns:
            taps: the activations before each pool, (N, H, W, 64), (N, H // 2, W // 2, 128) and
                (N, H // 4, W // 4, 256) at width 1;
            class_logits: (N, num_classes). All float32.

        Raises:
            RequestError: a picture is too small.
        """
        _check_size(rgb, self.smallest_size, "classifier")
        x = (rgb - 0.5) / 0.25
        taps = []
        for stage, (channels, layers) in enumerate(_CLASSIFIER_STAGES, start=1):
            for number in range(1, layers + 1):
                layer = _Layer(
                    scaled(channels, self.width),
                    False,  # BatchNorm has a bias
                    self.dtype,
                    name=f"layer{stage}_{number}",
                )
                _, x = layer(x, train=train)
            taps.append(x.astype(jnp.float32))
            x = _pooled(x)
        x = jnp.mean(x.astype(jnp.float32), axis=(1, 2))
        x = nn.Dropout(0.3, deterministic=not train)(x)
        return {"taps": tuple(taps), "class_logits": nn.Dense(self.num_classes, name="logits")(x)}


def _small_classifier(**options: Any) -> SmallClassifier:
    net = SmallClassifier(**options)
    if not net.num_classes > 0:
        raise RequestError(f"features.num_classes must be above 0, not {net.num_classes}")
    if not net.width > 0:
        raise RequestError(f"features.width must be above 0, not {net.width}")
    return net


FEATURES: dict[str, Callable[..., Any]] = {
    "vgg16_bn": Vgg16Features,
    "vgg16_bn_conv": functools.partial(Vgg16Features, before_norm=True),
    "classifier": _small_classifier,
    "lite0": LiteFeatures,
}


def create_features(name: str, **options: Any) -> FeatureNetwork:
    """Builds a feature network by name.

    Args:
        name: a key of `FEATURES`.
        **options: the network's attributes.

    Raises:
        RequestError: unknown name (the message lists the known ones) or option, or an invalid
            value.

    >>> create_features("classifier", num_classes=10).smallest_size
    8
    """
    if name not in FEATURES:
        raise unknown_name("feature network features.name =", name, FEATURES)
    try:
        return FEATURES[name](**options)
    except TypeError as error:  # an attribute that the network does not have
        raise RequestError(f"features {name}: {error}") from None
