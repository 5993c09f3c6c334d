"""Loads weights for an engine."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from colorjax.errors import RequestError, unknown_name
from colorjax.inference.engines import model_file
from colorjax.inference.engines.engine import ENGINES, Loaded
from colorjax.inference.options import is_number
from colorjax.runtime import atomic
from colorjax.version import __version__

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from colorjax.weights.open import StoredWeights


def load(
    workdir_or_name: str | os.PathLike[str],
    engine: str,
    temperature: float | None,
    decode: str | None,
    *,
    calibrated: bool,
) -> Loaded:
    """Loads weights; see `Colorizer.load`.

    Raises:
        RequestError: see `Colorizer.load`; or the engine is unknown or not installed.
    """
    if not isinstance(workdir_or_name, str | os.PathLike):
        raise RequestError(
            f"weights must be a name or the path of a workdir, not {workdir_or_name!r}"
        )
    if engine not in ENGINES:
        raise unknown_name("engine", engine, ENGINES)
    if engine == "jax":
        return _with_jax(_opened(workdir_or_name, temperature, decode, calibrated=calibrated))
    path = Path(workdir_or_name)
    if path.suffix == model_file.SUFFIX:
        if temperature is not None or decode is not None:
            raise RequestError(
                "an exported model has its decoding inside; leave --temperature and --decode out, "
                "or give the weights by name"
            )
    else:
        weights = _opened(workdir_or_name, temperature, decode, calibrated=True)
        path = _exported(weights)
    return _with_model(engine, path, calibrated=calibrated)


def _with_jax(weights: StoredWeights) -> Loaded:
    from colorjax.inference.engines.jax import JaxEngine
    from colorjax.runtime import forks

    forks.check_same_process()
    step, variables = weights.load()
    network = JaxEngine(weights.method, variables)
    return Loaded(network, weights.config, step, _last_part(weights.name), weights)


def _with_model(engine: str, path: Path, *, calibrated: bool) -> Loaded:
    from ml_collections import ConfigDict

    from colorjax.inference.engines.exported import ExportedEngine

    module = importlib.import_module(f"colorjax.inference.engines.{engine}")
    network = ExportedEngine(module.open_session, path)
    if not calibrated:
        network.facts = dataclasses.replace(network.facts, bin_bias=(), bin_temperature=1.0)
    about = network.about
    config = ConfigDict(
        {"inference": about["inference"], "data": {"image_size": about["image_size"]}}
    )
    return Loaded(network, config, about["step"], about["weights"])


def _exported(weights: StoredWeights) -> Path:
    """Returns the model of weights in the cache; the first time, JAX writes it.

    Raises:
        RequestError: JAX or onnx is not installed, or the cache cannot be written.
    """
    from colorjax.weights import store

    model = weights.config.model.to_dict()
    about = (__version__, weights.digest(), weights.config.inference.to_dict(), model)
    key = hashlib.sha256(repr(about).encode()).hexdigest()[:16]
    path = store.folder() / "engines" / f"{_last_part(weights.name)}-{key}{model_file.SUFFIX}"
    if path.is_file():
        return path
    from colorjax.weights.onnx import write

    side = weights.method.network.fixed_size
    content = write.onnx_bytes(weights, write.Export((side, side) if side else None))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(path, content)
    except OSError as error:
        raise RequestError(
            f"the model for this engine cannot be stored in {str(path.parent)!r} "
            f"({error.strerror}); set {store.FOLDER} to another folder"
        ) from None
    return path


def _last_part(name: str) -> str:
    return os.path.basename(name.rstrip("/"))


def _opened(
    name: str | os.PathLike[str],
    temperature: float | None,
    decode: str | None,
    *,
    calibrated: bool,
) -> StoredWeights:
    """Opens weights and changes their config as the user asks."""
    from colorjax.weights.open import open_weights

    weights = open_weights(name)
    config = weights.config
    if decode is not None:
        config.inference.decode = decode
    if temperature is not None:
        _set_temperature(config, temperature)
    if not calibrated and "inference" in config:
        with config.unlocked():
            config.inference.update({"bin_bias": (), "bin_temperature": 1.0})
    return weights


def _set_temperature(config: ConfigDict, temperature: float) -> None:
    if not (is_number(temperature) and 0 <= temperature < np.inf):
        raise RequestError(f"temperature must be at least 0 (a number), not {temperature!r}")
    is_annealed = config.to_dict().get("inference", {}).get("decode", "ab") != "ab"
    if "temperature" not in config.model or not (is_annealed or config.model.get("head") == "bins"):
        raise RequestError(
            f"these weights of {config.model.name} have no temperature, as they predict no "
            "distribution over color bins; use saturation"
        )
    config.model.temperature = float(temperature)
