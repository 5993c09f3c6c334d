"""Training with labels, with edges and with saturated targets, in the training loop."""

import json
import logging

import pytest
from helpers.synthetic import quick

from colorjax import methods
from colorjax.errors import RequestError
from colorjax.parallel import mesh as parallel
from colorjax.train import loop
from colorjax.train import report as train_report
from colorjax.weights.open import open_weights
from colorjax.weights.workdir import Workdir
from configs import edge_fusion, iizuka

ARGS = "size=32,batch=4,width=0.01,debug"
ALL = ",global_branch=iizuka"  # edges, saturated targets and a classifier in one run


def tiny(module, args, photos, **changes):
    fields = {"total_steps": 3, "model.norm": False}  # fewer layers to compile
    return quick(module.get_config(ARGS + args), photos, **fields | changes)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def labeled(photos, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "joint"
    assert loop.train_and_evaluate(tiny(edge_fusion, ALL, photos), str(workdir)) == loop.DONE
    return workdir


def test_the_classifier_is_trained_measured_and_stored(labeled):
    assert json.loads((labeled / "classes.json").read_text()) == ["beach", "forest"]
    assert Workdir(labeled).read_config().model.num_classes == 2
    lines = [line for line in Workdir(labeled).read_metrics() if "train/loss" in line]
    assert len(lines) == 3
    for line in lines:
        total = line["train/mse"] + line["train/class_cross_entropy"] / 300
        assert line["train/loss"] == pytest.approx(total, rel=1e-4)
        assert line["train/top1"] in (0, 0.25, 0.5, 0.75, 1)
    report = json.loads((labeled / "eval.json").read_text())
    hits = report["metrics"]["top1"] * report["num_images"]
    assert hits == pytest.approx(round(hits), abs=1e-4)
    assert "top1" not in report["baselines"]["grey"]


@pytest.mark.slow
def test_an_evaluation_alone_numbers_classes_as_the_weights_do(labeled, photos, caplog):
    before = json.loads((labeled / "eval.json").read_text())["metrics"]
    # The config of a fresh start: the number of classes and data.grey are not resolved.
    changes = {"data.grey": "luma"}
    config = tiny(edge_fusion, ALL, photos, **changes)
    assert train_report.evaluate_only(config, str(labeled)) == loop.DONE
    after = json.loads((labeled / "eval.json").read_text())["metrics"]
    assert after == pytest.approx(before, rel=1e-5)
    assert "labels" not in caplog.text
    (labeled / "classes.json").write_text('["forest", "beach"]')
    assert train_report.evaluate_only(tiny(edge_fusion, ALL, photos), str(labeled)) == loop.DONE
    swapped = json.loads((labeled / "eval.json").read_text())["metrics"]
    assert swapped["top1"] == pytest.approx(1 - before["top1"])
    with pytest.raises(RequestError, match=r"different classes, see classes\.json"):
        loop.train_and_evaluate(tiny(edge_fusion, ALL, photos), str(labeled))
    (labeled / "classes.json").write_text('["beach", "forest"]')


@pytest.mark.slow
def test_without_labels_the_classifier_is_off_and_the_log_says_so(photos, tmp_path, caplog):
    caplog.set_level(logging.INFO, "colorjax")
    config = tiny(iizuka, "", photos, **{"data.labels": "none", "total_steps": 1, "eval_every": 0})
    assert loop.train_and_evaluate(config, str(tmp_path)) == loop.DONE
    assert "the classifier is off: the data has no labels" in caplog.text
    report = json.loads((tmp_path / "eval.json").read_text())
    assert not {"top1", "mae_ab_scaled"} & report["metrics"].keys()
    assert not (tmp_path / "classes.json").exists()
    lines = [line for line in Workdir(tmp_path).read_metrics() if "train/loss" in line]
    assert lines[0]["train/loss"] == pytest.approx(lines[0]["train/mse"])
    assert "train/class_cross_entropy" not in lines[0]


def test_saturated_targets_are_measured_under_another_name(labeled):
    report = json.loads((labeled / "eval.json").read_text())
    metrics = report["metrics"]
    assert {"mae_ab_scaled", "rmse_ab_scaled"} <= metrics.keys()
    # After three steps predictions are near gray, farther from saturated than from true colors.
    gray = report["baselines"]["grey"]["mae_ab"]
    assert metrics["mae_ab"] == pytest.approx(gray, rel=0.25)
    assert metrics["mae_ab_scaled"] > 1.2 * metrics["mae_ab"]
    assert "scaled by 1.8" in report["protocol"]


def test_weights_with_other_classes_or_another_global_size_say_so(labeled, photos):
    sharding = parallel.make_layout(4).replicated
    for name, value in (("num_classes", 2), ("global_size", 32)):
        changes = {"model.num_classes": 2} | {f"model.{name}": 2 * value}
        method = methods.build(tiny(edge_fusion, ALL, photos, **changes))
        with pytest.raises(RequestError, match=rf"set --config\.model\.{name}={value}$"):
            open_weights(labeled).load(method, sharding)


def test_what_the_network_sees_stays_what_it_was(labeled, photos):
    with pytest.raises(RequestError, match=r"different data\.canny_scale"):
        loop.train_and_evaluate(
            tiny(edge_fusion, ALL, photos, **{"data.canny_scale": 100.0}), str(labeled)
        )
