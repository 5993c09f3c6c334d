import shutil

import jax
import numpy as np
import pytest
from helpers.synthetic import tiny_config
from helpers.workdirs import fresh_workdir

from colorjax import methods
from colorjax.cli import main as cli
from colorjax.errors import RequestError
from colorjax.weights import named
from colorjax.weights.checkpoint import SEAL
from colorjax.weights.named import WeightsFile
from colorjax.weights.open import are_weights, open_weights
from colorjax.weights.workdir import Workdir


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return fresh_workdir(tmp_path_factory.mktemp("runs") / "unet-large", tiny_config(""))


def test_a_name_and_a_path_open_alike(workdir):
    by_name, by_path = open_weights(named.DEFAULT), open_weights(workdir)
    assert (by_name.name, by_path.name) == (named.DEFAULT, str(workdir))
    assert (by_name.config.model.name, by_path.config.model.name) == ("semantic", "plain_cnn")
    assert by_name.workdir is None
    assert by_path.workdir.root == workdir
    assert by_name.card["metrics"]["psnr"] > 0
    assert by_path.card == {}
    for weights in (by_name, by_path):
        step, variables = weights.load()
        assert set(variables) == {"params", "batch_stats"}
        assert step == weights.card.get("step", 7)


def test_the_digest_is_that_of_weights_and_config(workdir, tmp_path, monkeypatch):
    monkeypatch.setattr("colorjax.weights.checkpoint.Checkpoints", None)  # reads no arrays
    assert open_weights(named.DEFAULT).digest() == named.SHA256[named.DEFAULT]
    shutil.copytree(workdir, tmp_path / "copy")
    copy = Workdir(tmp_path / "copy")
    wanted = open_weights(workdir).digest()
    assert open_weights(copy.root).digest() == wanted
    config = copy.config_file.read_text()
    copy.config_file.write_text(config.replace('"seed": 0', '"seed": 1'))
    assert open_weights(copy.root).digest() != wanted
    copy.config_file.write_text(config)
    seal = copy.checkpoints / "7" / SEAL
    seal.write_text(seal.read_text().replace("0", "1"))
    assert open_weights(copy.root).digest() != wanted
    shutil.rmtree(copy.checkpoints)
    with pytest.raises(RequestError, match="has no checkpoint yet; train it first"):
        open_weights(copy.root).digest()


def test_arrays_are_read_on_request_only(workdir, monkeypatch):
    monkeypatch.setattr(WeightsFile, "variables", None)
    monkeypatch.setattr("colorjax.weights.checkpoint.Checkpoints", None)
    assert open_weights(named.DEFAULT).method.image_size == 160
    assert open_weights(workdir).method.image_size == 32


@pytest.mark.parametrize("source", [named.DEFAULT, "workdir"])
def test_weights_fit_only_their_own_network(source, workdir):
    weights = open_weights(workdir if source == "workdir" else source)
    same = methods.build(weights.config, with_loss=False)
    _, variables = weights.load(same)
    shapes = jax.eval_shape(same.init, jax.random.key(0))
    assert jax.tree.map(np.shape, variables["params"]) == jax.tree.map(np.shape, shapes["params"])
    other = methods.build(tiny_config("", **{"model.kernel_size": 5}), with_loss=False)
    with pytest.raises(RequestError, match=r"do not fit the PlainCNN of this config.*; use the"):
        weights.load(other)


def test_a_mistyped_name_gets_suggestions(workdir, monkeypatch):
    monkeypatch.setitem(named.RETIRED, "ancient", "zhang16-small")
    says = (
        rf"weights 'unet_small' not found; did you mean '{named.DEFAULT}'\? give one of the names"
    )
    known = ", ".join([*named.SHA256, "zhang16, .*deoldify-stable"])
    with pytest.raises(RequestError, match=f"{says} {known}, or the workdir"):
        open_weights("unet_small")
    with pytest.raises(RequestError, match=r"did you mean 'zhang16-small'\?"):
        open_weights("ancients")
    mistyped = str(workdir).replace("large", "larg")
    with pytest.raises(RequestError, match=rf"did you mean '{workdir}'\?"):
        open_weights(mistyped)
    with pytest.raises(
        RequestError, match=r"weights 'gs:/nowhere/0' not found; give one of the names"
    ):
        open_weights("gs:/nowhere/0")
    assert not are_weights("unet_small")
    assert are_weights(workdir)
    assert are_weights(named.DEFAULT)


def test_all_commands_say_it_alike(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    says = f"weights 'unet-smal' not found; did you mean '{named.DEFAULT}'? give one of the names"
    for arguments in (
        ["compare", "unet-smal", "--data", ".", "--output", "out"],
        ["evaluate", "unet-smal", "--suite", "folder", "--data", ".", "--output", "out"],
        ["finetune", "unet-smal", "--data", ".", "--output", "out"],
        ["calibrate", "unet-smal", "--data", "."],
    ):
        assert cli.run(arguments) == 2, arguments
        assert says in capsys.readouterr().err
