import contextlib

import jax
import numpy as np
import pytest
from synthetic import tiny_config

from colorjax import color
from colorjax.inference.colorizer import Colorizer
from colorjax.methods import method as methods
from colorjax.weights.checkpoint import Checkpoints
from colorjax.weights.workdir import Workdir
from configs import edge_fusion, iizuka, semantic, zhang16, zhang17


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
    with contextlib.closing(Checkpoints(folder.checkpoints)) as checkpoints:
        checkpoints.save(7, variables)
    return folder.root


@pytest.fixture(scope="session")
def workdir(tmp_path_factory):
    """A workdir with fresh weights of a tiny network, without training."""
    # Small weights: strong colours would multiply the rounding that the tests allow for.
    return fresh_workdir(tmp_path_factory.mktemp("run"), tiny_config("unused"), deviation=0.1)


@pytest.fixture(scope="session")
def zhang16_workdir(tmp_path_factory):
    config = zhang16.get_config("size=32,width=0.125")
    return fresh_workdir(tmp_path_factory.mktemp("zhang16"), config)


@pytest.fixture(scope="session")
def zhang17_workdir(tmp_path_factory):
    config = zhang17.get_config("size=32,width=0.125")
    return fresh_workdir(tmp_path_factory.mktemp("zhang17"), config)


@pytest.fixture(scope="session")
def iizuka_workdir(tmp_path_factory):
    config = iizuka.get_config("size=32,width=0.125")
    return fresh_workdir(tmp_path_factory.mktemp("iizuka"), config)


@pytest.fixture(scope="session")
def edge_fusion_workdir(tmp_path_factory):
    config = edge_fusion.get_config("size=32,width=0.125")
    return fresh_workdir(tmp_path_factory.mktemp("edge_fusion"), config)


@pytest.fixture(scope="session")
def semantic_workdir(tmp_path_factory):
    config = semantic.get_config("encoder=tiny,size=32,width=0.125")
    config.optimizer.ema_decay = 0.0
    return fresh_workdir(tmp_path_factory.mktemp("semantic"), config)


@pytest.fixture(scope="session")
def colorizer(workdir):
    return Colorizer.load(workdir)


@pytest.fixture
def make_workdir():
    """`fresh_workdir`, for configs of a test's own."""
    return fresh_workdir
