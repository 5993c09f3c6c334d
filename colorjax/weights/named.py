"""Weights shipped with colorjax, by name: one NPZ file each."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ml_collections import ConfigDict

from colorjax.errors import RequestError

if TYPE_CHECKING:
    from colorjax.methods.method import Variables  # imports JAX, which names do not need

FOLDER = Path(__file__).with_name("files")
DEFAULT = "semantic-lite0"
# name -> SHA-256 of FOLDER/NAME.npz
SHA256 = {
    DEFAULT: "50740115bc8ed7ed689bda6b19c6468e4b5ee111cd5377b9b280d58a078c68be",
    "zhang16-small": "fba62763fe1d9d19417f66174352d1294dd0ba3121f386ad41be136408ab29f3",
}
# name -> description, for `colorjax weights list`
WHAT = {
    DEFAULT: "colors on the features of a pretrained classifier; the default",
    "zhang16-small": "Zhang 2016, rebalanced classification, small",
}
LICENSE = "CC-BY-NC-4.0"  # of both, see docs/weights.md
# Removed weights -> their successors.
RETIRED = {"unet-small": DEFAULT}


class WeightsFile:
    """Content of a weights file, as `pack.write` writes it.

    Attributes:
        config: the sections that prediction needs.
        card: command, data, time, license, parameters, step, metrics, ...
    """

    def __init__(self, content: bytes):
        """Reads the config and the card."""
        self._content = content
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
        self.config = ConfigDict(about["config"])
        self.card: dict[str, Any] = about["card"]

    def parameters(self) -> int:
        """Returns the number of learned values."""
        with np.load(io.BytesIO(self._content), allow_pickle=False) as file:
            return sum(file[name].size for name in file.files if name.startswith("params/"))

    def variables(self) -> Variables:
        """Reads the arrays, as NumPy float32."""
        from flax import traverse_util

        with np.load(io.BytesIO(self._content), allow_pickle=False) as file:
            flat = {
                tuple(name.split("/")): file[name].astype(np.float32)
                for name in file.files
                if name != "about"
            }
        return traverse_util.unflatten_dict(flat)


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


def read(name: str) -> WeightsFile:
    """Reads shipped weights.

    Args:
        name: a key of `SHA256`.

    Raises:
        RequestError: a missing or damaged file.
    """
    path = FOLDER / f"{name}.npz"
    try:
        content = path.read_bytes()
    except OSError:
        raise RequestError(f"the weights {name} are missing: install colorjax again") from None
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise RequestError(f"the weights {str(path)!r} are damaged: install colorjax again")
    return WeightsFile(content)
