"""The part of a state that makes pictures, and how to load it from a workdir."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import jax
from jax.sharding import Sharding
from ml_collections import ConfigDict

from colorjax.errors import RequestError
from colorjax.methods.method import Method, Variables
from colorjax.weights.checkpoint import Checkpoints
from colorjax.weights.workdir import Workdir


def with_sharding(tree: Any, shardings: Any) -> Any:
    """Adds shardings to the shapes of `jax.eval_shape`, for `Checkpoints.restore`.

    Args:
        tree: of shapes.
        shardings: one for all, or a tree of the same structure.
    """
    if isinstance(shardings, Sharding):
        shardings = jax.tree.map(lambda _: shardings, tree)
    return jax.tree.map(
        lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where),
        tree,
        shardings,
    )


def load(path: str | os.PathLike[str], method: Method, sharding: Sharding) -> tuple[int, Variables]:
    """Loads the weights that a workdir offers: the best where it keeps those, else the newest.

    Args:
        path: the workdir.
        method: whose network the weights are for.
        sharding: where to put them.

    Returns:
        (step, variables), with averaged params where the run averaged.

    Raises:
        RequestError: no workdir, no whole checkpoint, or weights of another network.
    """
    workdir = Workdir(path)
    config = workdir.read_config()
    check_meaning(config, method)
    lost: RequestError | None = None
    for folder in (workdir.best, workdir.checkpoints):
        if not folder.is_dir():
            continue
        with contextlib.closing(Checkpoints(folder)) as checkpoints:
            try:
                step = checkpoints.newest()
            except RequestError as error:  # all damaged, with a line in the log for each
                lost = error
                continue
            if step is not None:
                return step, _restore(checkpoints, step, method, config, sharding)
    raise lost or RequestError(f"workdir {str(path)!r} has no checkpoint yet; train it first")


# Fields of `model` that say what the numbers of the weights mean, and how many there are.
_MEANING = ("folded_temperature", "mask_cent", "num_classes", "global_size")


def check_meaning(config: ConfigDict, method: Method) -> None:
    """Raises a RequestError where the numbers of other weights mean something else here.

    Args:
        config: of the weights.
        method: that would take them over.
    """
    for name in _MEANING:
        theirs, ours = config.model.get(name), getattr(method.network, name, None)
        if theirs is not None and ours is not None and theirs != ours:
            raise RequestError(
                f"these weights have {name} = {theirs}, the config {ours}; set "
                f"--config.model.{name}={theirs}"
            )


def _restore(
    checkpoints: Checkpoints, step: int, method: Method, config: ConfigDict, sharding: Sharding
) -> Variables:
    abstract = with_sharding(jax.eval_shape(method.init, jax.random.key(0)), sharding)
    weights = {"params": abstract["params"], "batch_stats": abstract.get("batch_stats", {})}
    has_average = (
        "optimizer" in config and config.optimizer.ema_decay
    )  # imported ones: no optimizer
    if has_average:
        weights["average"] = abstract["params"]
    try:
        found = checkpoints.restore(step, weights=weights)["weights"]
    except ValueError as error:
        raise RequestError(
            f"the weights of step {step} are not those of {config.model.name} as configured here: "
            f"{str(error).splitlines()[0]}"
        ) from None
    params = found["average"] if has_average else found["params"]
    return {"params": params, "batch_stats": found["batch_stats"]}
