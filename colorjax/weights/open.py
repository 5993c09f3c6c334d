"""Opens weights by name or path: the config at once, the arrays on request."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import hashlib
import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etils import epath
from ml_collections import ConfigDict

from colorjax.errors import RequestError
from colorjax.runtime import jax_setup, paths
from colorjax.weights import hub, hub_site, named, store
from colorjax.weights.hub import HubFolder
from colorjax.weights.named import WeightsFile
from colorjax.weights.published import PUBLISHED
from colorjax.weights.workdir import SEAL, Workdir

if TYPE_CHECKING:
    from jax.sharding import Sharding

    from colorjax.methods.method import Method, Variables
    from colorjax.weights.checkpoint import Checkpoints

_COLORIZERS = tuple(name for name, each in PUBLISHED.items() if not each.is_encoder)
# Fields of `model` that define the meaning or the shapes of the weights.
_MEANING = ("folded_temperature", "mask_cent", "num_classes", "global_size")


@dataclasses.dataclass(frozen=True, eq=False)
class StoredWeights:
    """Weights that ship, those of a run, imported ones, or those of a hub folder.

    Attributes:
        name: of shipped or published weights, hf:OWNER/NAME, or the absolute path of a folder.
        config: of the training; imported weights lack the sections that only a training needs.
            Changes of it count until `method` is used.
        source: the workdir, the file of shipped weights, or the hub folder.
    """

    name: str
    config: ConfigDict
    source: Workdir | WeightsFile | HubFolder

    @property
    def workdir(self) -> Workdir | None:
        """The workdir of a path; None for weights by name, and for hub folders."""
        is_path = isinstance(self.source, Workdir) and self.name == str(self.source.root)
        return self.source if is_path else None  # pyrefly: ignore

    @property
    def card(self) -> dict[str, Any]:
        """Data, license, step, metrics, ... of shipped weights or a hub folder; else empty."""
        return {} if isinstance(self.source, Workdir) else self.source.card

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of the network's classifier; empty without one."""
        if isinstance(self.source, Workdir):
            return self.source.read_classes() or ()
        return self.source.classes if isinstance(self.source, HubFolder) else ()

    @functools.cached_property
    def method(self) -> Method:
        """The method of `config`, for prediction only.

        Raises:
            RequestError: the config describes no network of this version of colorjax.
        """
        from colorjax import methods  # imports JAX, which opening weights does not need

        try:
            return methods.build(self.config, with_loss=False)
        except RequestError:
            raise
        except Exception as error:  # a network raises errors of any type for wrong attributes
            raise self._unusable(error) from None

    def digest(self) -> str:
        """Returns a SHA-256 that differs when the stored weights or their config change.

        Reads no arrays: of a workdir, it covers the config and the checksums of the newest
        checkpoint.

        Raises:
            RequestError: the workdir has no checkpoint.
        """
        if isinstance(self.source, WeightsFile):
            return named.SHA256[self.name]
        if isinstance(self.source, HubFolder):
            return self.source.digest()
        for folder in (self.source.best, self.source.checkpoints):
            steps = [int(path.name) for path in _folders(folder) if path.name.isdecimal()]
            if steps:
                seal = folder / str(max(steps)) / SEAL
                about = seal.read_bytes() if seal.is_file() else str(max(steps)).encode()
                return hashlib.sha256(self.source.config_file.read_bytes() + about).hexdigest()
        raise self._lacks_checkpoint()

    def load(
        self, method: Method | None = None, sharding: Sharding | None = None
    ) -> tuple[int, Variables]:
        """Loads the arrays; from a workdir the best checkpoint if it has one, else the newest.

        Args:
            method: another one than `self.method`, with a network that these weights must fit.
            sharding: of the loaded arrays; None: on the first local device.

        Returns:
            (step, variables), with averaged params if the run averaged; float32.

        Raises:
            RequestError: no intact checkpoint, or weights of another network.
        """
        import jax
        from jax.sharding import SingleDeviceSharding

        if sharding is None:
            jax_setup.require_devices()
            sharding = SingleDeviceSharding(jax.local_devices()[0])
        if method is not None:
            _check_meaning(self.config, method)
        if isinstance(self.source, Workdir):
            return self._restore(self.source, method or self.method, sharding)
        if isinstance(self.source, HubFolder):
            abstract = self._abstract(method or self.method, sharding)
            variables = self.source.variables(_shapes(abstract))
            return self.card["step"], jax.device_put(variables, sharding)
        variables = {"batch_stats": {}} | self.source.variables()
        if method is not None and _shapes(variables) != _shapes(_abstract(method, sharding)):
            raise self._misfit(method.network)
        return self.card["step"], jax.device_put(variables, sharding)

    def _restore(
        self, workdir: Workdir, method: Method, sharding: Sharding
    ) -> tuple[int, Variables]:
        from colorjax.weights.checkpoint import Checkpoints

        lost: RequestError | None = None
        for folder in (workdir.best, workdir.checkpoints):
            if not folder.is_dir():
                continue
            with contextlib.closing(Checkpoints(folder)) as checkpoints:
                try:
                    step = checkpoints.newest()
                except RequestError as error:  # all damaged; the log has a line for each
                    lost = error
                    continue
                if step is not None:
                    return step, self._restore_step(checkpoints, step, method, sharding)
        raise lost or self._lacks_checkpoint()

    def _lacks_checkpoint(self) -> RequestError:
        return RequestError(f"workdir {self.name!r} has no checkpoint yet; train it first")

    def _restore_step(
        self, checkpoints: Checkpoints, step: int, method: Method, sharding: Sharding
    ) -> Variables:
        weights = self._abstract(method, sharding)
        # Imported weights have no optimizer.
        has_average = "optimizer" in self.config and self.config.optimizer.ema_decay
        if has_average:
            weights["average"] = weights["params"]
        try:
            restored = checkpoints.restore(step, weights=weights)["weights"]
        except ValueError as error:
            raise self._misfit(method.network, f" ({error})") from None
        params = restored["average"] if has_average else restored["params"]
        return {"params": params, "batch_stats": restored["batch_stats"]}

    def _abstract(self, method: Method, sharding: Sharding) -> dict[str, Any]:
        try:
            return _abstract(method, sharding)
        except RequestError:
            raise
        except Exception as error:  # see `method`
            raise self._unusable(error) from None

    def _unusable(self, error: Exception) -> RequestError:
        return RequestError(
            f"the config of the weights {self.name} describes no network of this version of "
            f"colorjax ({_first_line(error)}); restore a copy of its config.json"
        )

    def _misfit(self, network: Any, why: str = "") -> RequestError:
        return RequestError(
            f"the weights {self.name} do not fit the {type(network).__name__} of this config{why}; "
            "use the model settings of those weights"
        )


def open_weights(name_or_path: str | os.PathLike[str]) -> StoredWeights:
    """Opens weights: checks that they exist and reads their config, but not their arrays.

    Args:
        name_or_path: name of shipped or published weights, workdir of a run or of imported
            weights, a hub folder, or hf:OWNER/NAME. Nothing is downloaded.

    Raises:
        RequestError: no such weights, damaged ones, or ones that have to be downloaded first.

    >>> open_weights("semantic-lite0").config.model.name
    'semantic'
    """
    name = os.fspath(name_or_path)
    if named.ships(name):
        file = named.read(name)
        return StoredWeights(name, file.config, file)
    if hub_site.is_name(name):
        folder = HubFolder(hub_site.find(name))
        _check_module(folder.config.model.name, folder.root)
        return StoredWeights(name, folder.config, folder)
    if hub.is_hub_folder(name) and not Workdir(name).checkpoints.is_dir():
        folder = HubFolder(Workdir(name).root)
        _check_module(folder.config.model.name, folder.root)
        return StoredWeights(str(folder.root), folder.config, folder)
    if store.is_published(name):
        if PUBLISHED[name].is_encoder or not store.is_installed(name):
            raise store.missing(name)
        workdir = Workdir(store.workdir_of(name))
        return StoredWeights(name, workdir.read_config(), workdir)
    workdir = Workdir(name)
    if not workdir.config_file.is_file():
        raise no_such_weights(name)
    config = workdir.read_config()
    _check_module(config.model.name, workdir.root)
    return StoredWeights(str(workdir.root), config, workdir)


def _check_module(network: str, root: str | os.PathLike[str]) -> None:
    """Raises a RequestError if a network MODULE:CLASS would be imported from the folder itself.

    A workdir is data. A class of the user's own is imported from where Python finds it.
    """
    module = network.partition(":")[0]
    if ":" not in network or paths.is_remote(root):
        return
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return  # it is not found when it is imported either
    origins = list(spec.submodule_search_locations or ()) if spec else []
    if not rest and spec and spec.origin:
        origins = [spec.origin]
    for origin in origins:
        if Path(origin, *rest).resolve().is_relative_to(Path(root).resolve()):
            raise RequestError(
                f"the network {network} of workdir {str(root)!r} is code inside that "
                "workdir, which is data only; move the module elsewhere, if you trust it"
            )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]


def are_weights(name_or_path: str | os.PathLike[str]) -> bool:
    """Returns whether weights have this name or path.

    Raises:
        RequestError: weights of this name were removed.
    """
    name = os.fspath(name_or_path)
    if named.ships(name) or hub_site.is_name(name) or store.is_published(name):
        return True
    return Workdir(name).config_file.is_file()


def no_such_weights(name: str, otherwise: str = "") -> RequestError:
    """Returns the error for a name or path without weights, with the known names and similar ones.

    Args:
        name: as the user gave it.
        otherwise: what else the user could give, such as "a folder of pictures".
    """
    known = {name: name for name in (*named.SHA256, *_COLORIZERS)} | named.RETIRED
    like = [known[match] for match in difflib.get_close_matches(name, known)]
    like = list(dict.fromkeys(like + _similar_workdirs(name)))
    question = f"; did you mean {' or '.join(map(repr, like))}?" if like else ";"
    return RequestError(
        f"weights {name!r} not found{question} give one of the names "
        f"{', '.join((*named.SHA256, *_COLORIZERS))}, or the workdir of a run or of imported "
        "weights (a folder with config.json and checkpoints)"
        + (f", or {otherwise}" if otherwise else "")
    )


def _similar_workdirs(path: str) -> list[str]:
    """Returns workdirs in the same local folder with a name like that of a path."""
    parent, name = os.path.split(path.rstrip("/"))
    try:
        others = os.listdir(os.path.expanduser(parent) or ".")
    except OSError:  # a bucket, or no such folder
        return []
    like = (os.path.join(parent, other) for other in difflib.get_close_matches(name, others))
    return [other for other in like if Workdir(other).config_file.is_file()]


def _check_meaning(config: ConfigDict, method: Method) -> None:
    """Raises a RequestError if weights would have another meaning in a method."""
    for name in _MEANING:
        theirs, ours = config.model.get(name), getattr(method.network, name, None)
        if theirs is not None and ours is not None and theirs != ours:
            raise RequestError(
                f"these weights have {name} = {theirs}, but the config {ours}; set "
                f"--config.model.{name}={theirs}"
            )


def _folders(root: epath.Path) -> list[epath.Path]:
    return [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []


def _abstract(method: Method, sharding: Sharding) -> dict[str, Any]:
    """Returns the shapes of a method's variables."""
    import jax

    from colorjax.weights.checkpoint import with_sharding

    shapes = with_sharding(jax.eval_shape(method.init, jax.random.key(0)), sharding)
    return {"params": shapes["params"], "batch_stats": shapes.get("batch_stats", {})}


def _shapes(variables: Variables) -> Any:
    import jax

    return jax.tree.map(lambda leaf: leaf.shape, variables)
