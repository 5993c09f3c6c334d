"""Strict flags for every test: four simulated devices, no silent rank promotion."""

import os
from pathlib import Path

import jax

if jax.__version_info__[:2] == (0, 10):  # XLA ends a process that gives it a flag it lost
    # Before the first compilation, and for the processes that tests start: a third of the time.
    flag = "--xla_cpu_use_fusion_emitters=false"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()
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
from helpers.synthetic import synthetic_images  # noqa: E402
from PIL import Image  # noqa: E402

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
