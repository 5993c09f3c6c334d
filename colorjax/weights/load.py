"""Loads the weights for inference from a workdir."""

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
        shardings: one for all leaves, or a tree of the same structure.
    """
    if isinstance(shardings, Sharding):
        shardings = jax.tree.map(lambda _: shardings, tree)
    return jax.tree.map(
        lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where),
        tree,
        shardings,
    )


def load(path: str | os.PathLike[str], method: Method, sharding: Sharding) -> tuple[int, Variables]:
    """Loads the weights of a workdir: the best if it has them, else the newest.

    Args:
        path: the workdir.
        method: with the network of the weights.
        sharding: of the loaded weights.

    Returns:
        (step, variables), with averaged params if the run averaged.

    Raises:
        RequestError: no workdir, no intact checkpoint, or weights of another network.
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
            except RequestError as error:  # all damaged; the log has a line for each
                lost = error
                continue
            if step is not None:
                return step, _restore(checkpoints, step, method, config, sharding)
    raise lost or RequestError(f"workdir {str(path)!r} has no checkpoint yet; train it first")


# Fields of `model` that define the meaning or the shapes of the weights.
_MEANING = ("folded_temperature", "mask_cent", "num_classes", "global_size")


def check_meaning(config: ConfigDict, method: Method) -> None:
    """Raises a RequestError if weights would have another meaning in a method.

    Args:
        config: of the weights.
        method: that loads them.
    """
    for name in _MEANING:
        theirs, ours = config.model.get(name), getattr(method.network, name, None)
        if theirs is not None and ours is not None and theirs != ours:
            raise RequestError(
                f"these weights have {name} = {theirs}, but the config {ours}; set "
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
        restored = checkpoints.restore(step, weights=weights)["weights"]
    except ValueError as error:
        raise RequestError(
            f"the weights of step {step} do not fit {config.model.name} as configured here: "
            f"{str(error).splitlines()[0]}"
        ) from None
    params = restored["average"] if has_average else restored["params"]
    return {"params": params, "batch_stats": restored["batch_stats"]}
