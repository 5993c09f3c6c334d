"""Weights as a folder in the layout of model hubs: config.json, model.safetensors, README.md."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from colorjax.errors import RequestError
from colorjax.runtime import atomic, foreign_files, paths
from colorjax.version import __version__
from colorjax.weights import model_card, stored_config, tensor_file
from colorjax.weights.model_card import Claims

CONFIG, ARRAYS, CARD = "config.json", "model.safetensors", "README.md"
FORMATS = ("colorjax", "torch-safetensors")
_LIBRARY, _VERSION = "colorjax", 1
# Sections of a config that prediction needs; the others are for training.
SECTIONS = ("dtype", "model", "data", "inference")
# Fields of `data` that name photos or files of the person who trained.
_PRIVATE = ("path", "eval_path", "parts", "weights")
_LABELS = ("folder", "path", "none")  # values of data.labels that are no file


class HubFolder:
    """A folder with weights, as `write` writes it.

    Attributes:
        root: the folder.
        config: the sections that prediction needs.
        card: step, license, metrics, ... as config.json has them.
        classes: names of the classes of the network's classifier; empty without one.
    """

    def __init__(self, root: str | os.PathLike[str]):
        """Reads config.json.

        Raises:
            RequestError: it is damaged, or of another library or a later version.
        """
        self.root = Path(root)
        about = _read_about(self.root / CONFIG)
        self.config: ConfigDict = stored_config.from_fields(self.root / CONFIG, about["config"])
        self.card = {name: about[name] for name in about if name not in ("config", "classes")}
        self.classes: tuple[str, ...] = tuple(about["classes"])
        self._sha256: str = about["sha256"]
        self._names: str = about["names"]

    def digest(self) -> str:
        """Returns a SHA-256 of config.json, which has that of the arrays."""
        return hashlib.sha256((self.root / CONFIG).read_bytes()).hexdigest()

    def variables(self, shapes: Mapping[str, Any]) -> dict[str, Any]:
        """Reads the arrays.

        Args:
            shapes: shapes of the network's variables, as nested mappings.

        Raises:
            RequestError: a damaged file, or arrays of another network; found before they are read.
        """
        from flax import traverse_util

        from colorjax.weights.torch import state_dicts

        path = self.root / ARRAYS
        flat: dict[Any, Any] = traverse_util.flatten_dict(dict(shapes))
        needed = 4 * sum(math.prod(shape) for shape in flat.values())
        if needed > (size := path.stat().st_size):
            raise RequestError(
                f"{str(path)!r} has {size} bytes, but the network of its config.json needs "
                f"{needed}; get both files from the same source"
            )
        blank = {name: np.broadcast_to(np.float32(0), shape) for name, shape in flat.items()}
        model = self.config.model.to_dict()
        try:
            expected = _named(self._names, traverse_util.unflatten_dict(blank), model)
        except (LookupError, ValueError, TypeError) as error:  # of fields that a stranger chose
            raise foreign_files.damaged(
                self.root / CONFIG, f"{self._names} has no such model: {type(error).__name__}"
            ) from None
        arrays = tensor_file.read(path, expected)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()  # pyrefly: ignore
        if digest != self._sha256:
            raise RequestError(
                f"{str(path)!r} has the SHA-256 {digest}, but its config.json says "
                f"{self._sha256}; get both files again"
            )
        if self._names == "colorjax":
            return traverse_util.unflatten_dict(arrays, sep=".")
        return state_dicts.NAMINGS[self._names].to_flax(arrays, model)


def is_hub_folder(root: str | os.PathLike[str]) -> bool:
    """Returns whether a local folder has the files of `write`; does not read them."""
    if paths.is_remote(root):
        return False
    folder = Path(root).expanduser()
    return (folder / ARRAYS).is_file() and (folder / CONFIG).is_file()


def for_prediction(config: ConfigDict) -> dict[str, Any]:
    """Returns the sections of a config that prediction needs, without names of photos."""
    fields = config.to_dict()
    kept = {name: fields[name] for name in SECTIONS if name in fields}
    for name in _PRIVATE:
        if name in kept["data"]:
            kept["data"][name] = () if name == "weights" else ""
    if kept["data"].get("labels", "none") not in _LABELS:
        kept["data"]["labels"] = "none"
    return json.loads(json.dumps(kept))


@contextlib.contextmanager
def new_folder(root: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Context manager of a temporary folder that becomes `root` if the block succeeds.

    Raises:
        RequestError: `root` exists, and is neither empty nor, with `overwrite`, an earlier folder
            of `write`; or it cannot be written.
    """
    target = paths.local(root).absolute()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        if not is_hub_folder(target):
            raise RequestError(f"{str(target)!r} exists; give another folder")
        if not overwrite:
            raise RequestError(f"{str(target)!r} already holds weights; add --overwrite")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".colorjax-", dir=target.parent))
    except OSError as error:
        raise RequestError(
            f"{str(target)!r} cannot be created ({error.strerror}); give another folder"
        ) from None
    try:
        yield partial
        target.mkdir(exist_ok=True)
        files = [path for path in sorted(partial.rglob("*")) if path.is_file()]
        for path in sorted(files, key=lambda path: path.name == CONFIG):  # last: it has the sum
            new = target / path.relative_to(partial)
            new.parent.mkdir(exist_ok=True)
            os.replace(path, new)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write(
    folder: Path,
    config: ConfigDict,
    variables: Mapping[str, Any],
    claims: Claims,
    *,
    step: int,
    classes: tuple[str, ...] = (),
    layout: str = "colorjax",
) -> list[str]:
    """Writes config.json, model.safetensors and README.md.

    Args:
        folder: an existing one.
        config: of the weights.
        variables: all collections that prediction needs, float32.
        claims: license, data and metrics, for the card.
        step: of the training.
        classes: names of the classes of the network's classifier.
        layout: "colorjax", our names; or "torch-safetensors", those of the published PyTorch
            program, see `state_dicts.export`.

    Returns:
        Notices for the user.

    Raises:
        RequestError: no such layout, or not for this network.
        OSError: the folder cannot be written.
    """
    import jax

    from colorjax.weights.torch import state_dicts

    if layout not in FORMATS:
        raise RequestError(f"--format must be {' or '.join(FORMATS)}, not {layout!r}")
    fields, notices, names = for_prediction(config), [], "colorjax"
    variables = jax.tree.map(np.asarray, dict(variables))
    if layout == "colorjax":
        arrays = _named(names, variables, fields["model"])
    else:
        arrays, fields["model"], notices = state_dicts.export(config, variables)
        names = config.model.name
    file = folder / ARRAYS
    tensor_file.write(file, arrays, {"format": "flax" if names == "colorjax" else "pt"})
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()  # pyrefly: ignore
    parameters = sum(x.size for x in jax.tree.leaves(variables["params"]))
    about = {
        "library_name": _LIBRARY,
        "format": _VERSION,
        "colorjax_version": __version__,
        "model_type": config.model.name,
        "names": names,
        "sha256": digest,
        "step": step,
        "parameters": parameters,
        "classes": list(classes),
    }
    about |= claims.fields() | {"config": fields}
    atomic.write_text(folder / CONFIG, json.dumps(about, indent=2) + "\n")
    atomic.write_text(folder / CARD, model_card.text(about, claims))
    return notices


def _named(
    names: str, variables: Mapping[str, Any], model: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Returns the arrays of variables by their names in the file."""
    from flax import traverse_util

    from colorjax.weights.torch import state_dicts

    if names == "colorjax":
        flat: dict[Any, Any] = traverse_util.flatten_dict(dict(variables), sep=".")
        return flat
    return state_dicts.NAMINGS[names].to_torch(variables, model)


def _read_about(path: Path) -> dict[str, Any]:
    """Returns the content of config.json with fields of the right types.

    Raises:
        RequestError: it is damaged, or of another library or a later version.
    """
    from colorjax.weights.torch import state_dicts

    try:
        about = foreign_files.read_json(path)
    except FileNotFoundError:
        raise RequestError(f"{str(path.parent)!r} has no config.json") from None
    library = about.get("library_name") if isinstance(about, dict) else None
    if library != _LIBRARY:
        raise RequestError(
            f"{str(path)!r} was not written by `colorjax weights push`; weights of other programs "
            "are converted with `colorjax import-weights`, if they are of a supported network"
        )
    types = {
        "format": int,
        "names": str,
        "sha256": str,
        "step": int,
        "classes": list,
        "config": dict,
    }
    for name, kind in types.items():
        if type(about.get(name)) is not kind:
            raise foreign_files.damaged(path, f"{name} is not of type {kind.__name__}")
    if about["format"] > _VERSION:
        raise RequestError(f"{str(path)!r} is of a later version; install a newer colorjax")
    if not all(isinstance(name, str) for name in about["classes"]):
        raise foreign_files.damaged(path, "classes is not a list of names")
    if about["names"] not in ("colorjax", *state_dicts.NAMINGS):
        raise foreign_files.damaged(path, "names is unknown")
    if about["names"] != "colorjax" and about["names"] != _network(about["config"]):
        raise foreign_files.damaged(path, "names and config.model.name differ")
    return about


def _network(config: dict[str, Any]) -> Any:
    model = config.get("model")
    return model.get("name") if isinstance(model, dict) else None
