"""Strict flags for every test: four simulated devices, no silent rank promotion."""

import os
from pathlib import Path

import jax

if jax.__version_info__[:2] == (0, 10):  # XLA ends a process that gives it a flag it lost
    # Before the first compilation, and for the processes that tests start: a third of the time.
    flag = "--xla_cpu_use_fusion_emitters=false"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()
os.environ["COLORJAX_CACHE"] = os.devnull + "/none"  # no weights of the person who tests
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_disable_most_optimizations", True)  # tiny networks: compiling is the cost
# Many tests compile the same programs: compile once for both workers and for the next run.
_CACHE = Path(__file__).parents[1] / ".pytest_cache" / f"jax-{jax.__version__}"
jax.config.update("jax_compilation_cache_dir", str(_CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)

import pytest  # noqa: E402
from absl import flags  # noqa: E402
from helpers.synthetic import synthetic_images, tiny_config  # noqa: E402
from helpers.workdirs import fresh_workdir  # noqa: E402
from PIL import Image  # noqa: E402

from colorjax.inference.colorizer import Colorizer  # noqa: E402
from configs import edge_fusion, iizuka, semantic, zhang16, zhang17  # noqa: E402

flags.FLAGS.mark_as_parsed()  # grain reads absl flags


@pytest.fixture(scope="module")
def optimized():
    """For networks of their real width, whose convolutions take ten times as long without."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder with 40 photos of 40x40 in two classes."""
    root = tmp_path_factory.mktemp("photos")
    for index, image in enumerate(synthetic_images(40, 40)):
        folder = root / ("forest" if index % 2 else "beach")
        folder.mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / f"{index:02d}.png")
    return root


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
