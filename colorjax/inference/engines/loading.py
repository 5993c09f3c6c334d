"""Loads weights for an engine."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from colorjax.errors import RequestError, unknown_name
from colorjax.inference.engines import choice, model_file
from colorjax.inference.engines.engine import ENGINES, Loaded
from colorjax.inference.options import is_number
from colorjax.runtime import atomic, jax_setup
from colorjax.version import __version__
from colorjax.weights import store

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from colorjax.inference.engines.exported import ExportedEngine
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
    path = Path(workdir_or_name).expanduser()
    is_model = path.suffix == model_file.SUFFIX and path.is_file()
    if is_model and engine == "jax":
        raise RequestError(
            f"{str(path)!r} is an exported model; give --engine onnx, openvino or auto, or the "
            "weights that it was exported from"
        )
    if is_model:
        if temperature is not None or decode is not None:
            raise RequestError(
                "an exported model has its decoding inside; leave --temperature and --decode out, "
                "or give the weights by name"
            )
        return _with_model(_of_model(engine), path, calibrated=calibrated)
    opened = functools.partial(_opened, workdir_or_name, temperature, decode)
    if engine == "auto":
        engine = _fastest(opened(calibrated=True))
    if engine == "jax":
        return _with_jax(opened(calibrated=calibrated))
    return _with_model(engine, exported(opened(calibrated=True)), calibrated=calibrated)


def resolved(
    engine: str, workdir_or_name: str, temperature: float | None, decode: str | None
) -> str:
    """Returns the engine that `load` uses: "auto" becomes the name of one.

    Raises:
        RequestError: see `load`.
    """
    if engine != "auto":
        return engine
    path = Path(workdir_or_name).expanduser()
    if path.suffix == model_file.SUFFIX and path.is_file():
        return _of_model(engine)
    return _fastest(_opened(workdir_or_name, temperature, decode, calibrated=True))


def _of_model(engine: str) -> str:
    """Returns the engine for a model of the user's, which has no reference to compare with."""
    return next(iter(choice.installed()), "onnx") if engine == "auto" else engine


def _fastest(weights: StoredWeights) -> str:
    engines = {name: functools.partial(_open, name) for name in choice.installed()}
    if not engines or (find_spec("onnx") is None and not _model_of(weights).is_file()):
        return "jax"
    return choice.fastest(exported(weights), engines) or "jax"


def _open(engine: str, path: Path) -> ExportedEngine:
    from colorjax.inference.engines.exported import ExportedEngine

    return ExportedEngine(engine, path)


def _with_jax(weights: StoredWeights) -> Loaded:
    jax_setup.check_installed()
    from colorjax.inference.engines.jax import JaxEngine
    from colorjax.runtime import forks

    forks.check_same_process()
    step, variables = weights.load()
    network = JaxEngine(weights.method, variables)
    return Loaded(network, weights.config, step, _last_part(weights.name), weights)


def _with_model(engine: str, path: Path, *, calibrated: bool) -> Loaded:
    from ml_collections import ConfigDict

    network = _open(engine, path)
    if not calibrated:
        network.facts = dataclasses.replace(network.facts, bin_bias=(), bin_temperature=1.0)
    about = network.about
    config = ConfigDict(
        {"inference": about["inference"], "data": {"image_size": about["image_size"]}}
    )
    return Loaded(network, config, about["step"], about["weights"])


def exported(weights: StoredWeights) -> Path:
    """Returns the model of weights in the cache; the first time, JAX writes it.

    Raises:
        RequestError: onnx is not installed, or the cache cannot be written.
    """
    path = _model_of(weights)
    if path.is_file():
        return path
    jax_setup.check_installed()
    from colorjax.inference.engines.jax import JaxEngine
    from colorjax.weights.onnx import write

    side = weights.method.network.fixed_size
    content = write.onnx_bytes(weights, write.Export((side, side) if side else None))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        choice.write_reference(JaxEngine(weights.method, weights.load()[1]), path)
        atomic.write_bytes(path, content)  # last: a model in the cache has its reference
    except OSError as error:
        raise RequestError(
            f"the model for this engine cannot be stored in {str(path.parent)!r} "
            f"({error.strerror}); set {store.FOLDER} to another folder"
        ) from None
    return path


def _model_of(weights: StoredWeights) -> Path:
    """Returns the path in the cache, which differs with weights, decoding and version."""
    model = weights.config.model.to_dict()
    about = (__version__, weights.digest(), weights.config.inference.to_dict(), model)
    key = hashlib.sha256(repr(about).encode()).hexdigest()[:16]
    return store.folder() / "engines" / f"{_last_part(weights.name)}-{key}{model_file.SUFFIX}"


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
