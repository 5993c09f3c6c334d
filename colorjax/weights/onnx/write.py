"""The exported file: which model, in which form, written atomically."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from colorjax.errors import RequestError
from colorjax.models.hint_spreading import feature_layers
from colorjax.weights.onnx import compress
from colorjax.weights.onnx.export import build
from colorjax.weights.open import StoredWeights

STORED_AS = ("float32", "float16", "int8")


@dataclasses.dataclass(frozen=True)
class Export:
    """What to write.

    Attributes:
        size: H and W of the model, multiples of the network's step; None: any.
        stored_as: type of the stored weights, one of `STORED_AS`.
        part: of the network, one of `colorjax.weights.onnx.export.PARTS`.
    """

    size: tuple[int, int] | None
    stored_as: str = "float32"
    part: str = "all"


def about(weights: StoredWeights, step: int) -> dict[str, Any]:
    """Returns the metadata of a model: what a program needs to use it as colorjax does."""
    method, config = weights.method, weights.config
    network = method.network
    hint_form = "spread" if feature_layers(network) else "region"
    return {
        "weights": weights.name.rstrip("/").rsplit("/", 1)[-1],
        "step": step,
        "license": weights.card.get("license", ""),
        "inference": config.inference.to_dict(),
        "image_size": config.data.image_size,
        "gray": method.encode.grey,
        "decode": method.decode,
        "saturation": method.saturation,
        "temperature": getattr(network, "temperature", None),
        "size_multiple": network.size_multiple,
        "fixed_size": network.fixed_size,
        "fit": network.fit,
        "global_size": method.global_size,
        "digest": weights.digest(),
        "inputs": sorted(network.inputs),
        "reach": getattr(network, "reach", None),
        "has_bins": "bin_logits" in network.outputs,
        "hint_form": "input" if method.takes_hints else hint_form,
        "predicts_lightness": method.predicts_lightness,
        "bin_bias": list(method.bin_bias),
        "bin_temperature": method.bin_temperature,
        "edges": dataclasses.asdict(method.detect_edges),
    }


def onnx_bytes(weights: StoredWeights, export: Export) -> bytes:
    """Returns the content of an ONNX file.

    Raises:
        RequestError: see `build`; or the size is no multiple of the network's step.
    """
    _check(weights, export.size)
    step, variables = weights.load()
    content = about(weights, step) | {"part": export.part}
    model = build(weights.method, variables, export.size, about=content, part=export.part)
    if export.stored_as == "float16":
        compress.as_float16(model)
    elif export.stored_as == "int8":
        compress.as_int8(model)
    return model.SerializeToString()


def stablehlo_bytes(weights: StoredWeights, export: Export) -> bytes:
    """Returns a program for `jax.export.deserialize`: gray (1, H, W, 1) in [-1, 1] to ab.

    It holds the weights, runs without colorjax and Flax, on CPU, GPU and TPU.
    """
    _check(weights, export.size)
    if export.size is None or export.stored_as != "float32" or export.part != "all":
        raise RequestError("--format stablehlo needs --size, and stores all of it as float32 only")
    _, variables = weights.load()
    predict = jax.jit(functools.partial(_ab_of_gray, weights.method, jax.device_get(variables)))
    gray = jax.ShapeDtypeStruct((1, *export.size, 1), jnp.float32)
    exported = jax.export.export(predict, platforms=("cpu", "cuda", "tpu"))(gray)
    return bytes(exported.serialize())


def _ab_of_gray(method: Any, variables: Any, gray: jax.Array) -> jax.Array:
    return method.predict(variables, {"gray": gray})["ab"]


def check_target(path: Path, *, overwrite: bool) -> None:
    """Raises a RequestError if a file exists and is not to be replaced, or its folder does not."""
    if path.exists() and not overwrite:
        raise RequestError(f"{str(path)!r} exists; give --overwrite to replace it")
    if not path.parent.is_dir():
        raise RequestError(f"the folder {str(path.parent)!r} does not exist; create it first")


def _check(weights: StoredWeights, size: tuple[int, int] | None) -> None:
    network = weights.method.network
    if size is None:
        return
    fixed, step = network.fixed_size, network.size_multiple
    if fixed and size != (fixed, fixed):
        raise RequestError(f"this network has one size; give --size {fixed}")
    if any(side <= 0 or side % step for side in size):
        nearest = " x ".join(str(max(1, round(side / step)) * step) for side in size[::-1])
        raise RequestError(
            f"sides must be multiples of {step} for these weights; the nearest size is {nearest}"
        )


def colors_of(content: bytes, lightness: np.ndarray) -> np.ndarray:
    """Returns ab (h, w, 2) that ONNX Runtime computes from L (h, w) at a model's size.

    Raises:
        RequestError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise RequestError(
            "--check needs ONNX Runtime; install it: pip install 'colorjax[onnx]'"
        ) from None
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    feeds = {"gray": lightness[None, None].astype(np.float32)}
    for field in session.get_inputs():
        if field.name not in feeds:
            sides = [side if isinstance(side, int) else None for side in field.shape]
            shape = [side or lightness.shape[axis - 2] for axis, side in enumerate(sides)]
            feeds[field.name] = np.zeros(shape, np.float32)
    (ab,) = session.run(["ab"], feeds)
    return np.moveaxis(np.asarray(ab)[0], 0, -1)
