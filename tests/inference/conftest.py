import contextlib

import jax
import numpy as np
import pytest
from synthetic import tiny_config

from colorjax import method as methods
from colorjax.inference.colorizer import Colorizer
from colorjax.train.checkpoint import Checkpoints
from colorjax.train.workdir import Workdir


@pytest.fixture(scope="session")
def workdir(tmp_path_factory):
    """A workdir with fresh weights of a tiny network, without training."""
    config = tiny_config("unused")
    folder = Workdir(tmp_path_factory.mktemp("run"))
    folder.prepare(config)
    shapes = jax.eval_shape(methods.build(config).init, jax.random.key(0))  # init compiles for 15 s
    rng = np.random.default_rng(0)
    variables = {
        "params": jax.tree.map(
            lambda x: rng.normal(0, 0.1, x.shape).astype(x.dtype), shapes["params"]
        ),
        "batch_stats": jax.tree.map(lambda x: np.ones(x.shape, x.dtype), shapes["batch_stats"]),
    }
    with contextlib.closing(Checkpoints(folder.checkpoints)) as checkpoints:
        checkpoints.save(7, variables)
    return folder.root


@pytest.fixture(scope="session")
def colorizer(workdir):
    return Colorizer.load(workdir)
