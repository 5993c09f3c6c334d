"""Workdirs with weights, without training."""

import contextlib

import jax
import numpy as np
from flax import traverse_util

from colorjax import color, methods
from colorjax.weights.checkpoint import Checkpoints
from colorjax.weights.workdir import Workdir


def with_singular_vectors(params, batch_stats):
    """Returns statistics with the vectors of spectral norms; zeros would divide by 0."""
    kernels, stats = map(traverse_util.flatten_dict, (params, batch_stats))
    for *parent, layer, name in list(stats):
        if name == "u":
            kernel = kernels[(*parent, "kernel")]
            left, _, right = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), False)
            stats[(*parent, layer, "u")] = right[0]
            stats[(*parent, layer, "v")] = left[:, 0].reshape(kernel.shape[:-1])
    return traverse_util.unflatten_dict(stats)


def fresh_workdir(root, config, deviation=None):
    """Fills a folder with fresh weights of a config's network, without training.

    Their standard deviation is `deviation`, or that of He where it is None.
    """
    folder = Workdir(root)
    folder.prepare(config)
    shapes = jax.eval_shape(methods.build(config).init, jax.random.key(0))  # init compiles for 15 s
    rng = np.random.default_rng(0)

    def weights(path, leaf):
        name = path[-1].key
        if deviation is not None:
            return rng.normal(0, deviation, leaf.shape).astype(leaf.dtype)
        if name == "centers":
            return (color.ab_bins() / 110).astype(np.float32)
        if name == "scale":
            return np.ones(leaf.shape, leaf.dtype)
        spread = np.sqrt(2 / np.prod(leaf.shape[:-1])) if name == "kernel" else 0.1
        return rng.normal(0, spread, leaf.shape).astype(leaf.dtype)

    variables = {
        "params": jax.tree_util.tree_map_with_path(weights, shapes["params"]),
        "batch_stats": jax.tree_util.tree_map_with_path(
            lambda path, x: np.full(x.shape, path[-1].key == "var", x.dtype), shapes["batch_stats"]
        ),
    }
    variables["batch_stats"] = with_singular_vectors(**variables)
    with contextlib.closing(Checkpoints(folder.checkpoints)) as checkpoints:
        checkpoints.save(7, variables)
    return folder.root
