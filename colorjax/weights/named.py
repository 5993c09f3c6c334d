"""Weights shipped with colorjax, by name: one NPZ file each."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import traverse_util
from jax.sharding import Sharding
from ml_collections import ConfigDict

from colorjax.errors import RequestError, unknown_name
from colorjax.methods.method import Variables

FOLDER = Path(__file__).with_name("files")
DEFAULT = "semantic-lite0"
# name -> SHA-256 of FOLDER/NAME.npz
SHA256 = {
    DEFAULT: "a5053f586f5a7d3b8928c270451efdfad01fb350a56cd8e85908af3365a7f70c",
    "zhang16-small": "fba62763fe1d9d19417f66174352d1294dd0ba3121f386ad41be136408ab29f3",
}
# Removed weights -> their successors.
RETIRED = {"unet-small": DEFAULT}


class Shipped(NamedTuple):
    """Content of a weights file."""

    config: ConfigDict
    variables: Variables
    card: dict[str, Any]  # command, data, time, license, parameters, step, metrics, ...


def ships(name: str) -> bool:
    """Returns whether shipped weights have this name.

    Raises:
        RequestError: weights of this name were removed, and no such path exists; the message names
            their successor.
    """
    if name in RETIRED and not Path(name).exists():
        raise RequestError(
            f"the weights {name!r} are no longer included; use their successor {RETIRED[name]!r}"
        )
    return name in SHA256


def load(name: str, sharding: Sharding | None = None) -> Shipped:
    """Loads weights by name.

    Args:
        name: a key of `SHA256`.
        sharding: of the loaded weights.

    Raises:
        RequestError: unknown name, or a missing or damaged file.
    """
    if not ships(name):
        raise unknown_name("weights", name, SHA256)
    path = FOLDER / f"{name}.npz"
    try:
        content = path.read_bytes()
    except OSError:
        raise RequestError(f"the weights {name} are missing: install colorjax again") from None
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise RequestError(f"the weights {str(path)!r} are damaged: install colorjax again")
    config, variables, card = read(content)
    return Shipped(config, jax.device_put(variables, sharding), card)


def read(content: bytes) -> Shipped:
    """Reads the content of a file written by `pack.write`; the variables become float32."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        about = json.loads(str(file["about"]))
        flat = {
            tuple(name.split("/")): file[name].astype(np.float32)
            for name in file.files
            if name != "about"
        }
    variables = traverse_util.unflatten_dict(flat)
    return Shipped(ConfigDict(about["config"]), variables, about["card"])
