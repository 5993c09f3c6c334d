import pytest
from helpers.synthetic import tiny_config
from helpers.workdirs import fresh_workdir

from colorjax.inference.colorizer import Colorizer
from configs import edge_fusion, iizuka, semantic, zhang16, zhang17


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
