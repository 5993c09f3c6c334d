"""Everything of a training is built once, after its config is resolved."""

import contextlib
import sys
from collections import Counter

import pytest
from helpers.synthetic import tiny_config

from colorjax import losses, methods, models
from colorjax.data.selection import splits
from colorjax.errors import RequestError
from colorjax.methods import resolve
from colorjax.train import loop, optim, phases
from colorjax.train.assemble import assemble
from configs import iizuka

NETWORKS = (methods.build, methods.build_network, models.create, phases.build, optim.build)
ONCE = (*NETWORKS, methods.build_loss, losses.create, losses.find, resolve.resolve)


@contextlib.contextmanager
def counted(*functions):
    """Counts the calls of functions, wherever they are imported."""
    names = {function.__code__: function for function in functions}
    calls = Counter()

    def note(frame, event, _):
        if event == "call" and frame.f_code in names:
            function = names[frame.f_code]
            calls[f"{function.__module__.removeprefix('colorjax.')}.{function.__name__}"] += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(before)


def test_a_training_builds_everything_once(photos, tmp_path):
    config = tiny_config(photos, total_steps=1, **{"evaluation.report": False})
    with counted(*ONCE) as calls:
        assert loop.train_and_evaluate(config, str(tmp_path)) == loop.DONE
    assert calls.pop("losses.find") == 2  # in build_loss and in create
    assert len(calls) == len(ONCE) - 1
    assert set(calls.values()) == {1}, calls


def test_values_that_are_cheap_to_check_fail_before_anything_is_opened_or_built(photos):
    for changes, says in (
        ({"total_steps": 0}, "total_steps must be at least 1"),
        ({"model.name": "vgg"}, "unknown model"),
        ({"loss.name": "l3"}, "unknown loss"),
        ({"optimizer.name": "lion"}, "unknown optimizer.name"),
        ({"optimizer.schedule": "step"}, "unknown optimizer.schedule"),
        ({"optimizer.warmup_steps": 100}, "is not below total_steps"),
        ({"data.targets": "tpu"}, "unknown data.targets"),
        ({"early_stopping.metric": "beauty"}, "unknown early_stopping.metric"),
        ({"nogan.shares": (1, 1)}, "nogan.shares must be three numbers"),
        ({"data.path": "/nowhere", "loss.name": "l3"}, "unknown loss"),
    ):
        config = tiny_config(photos, **changes)
        with (
            counted(*NETWORKS, splits.open_sources) as calls,
            pytest.raises(RequestError, match=says),
        ):
            assemble(config)
        assert not calls, changes


def test_a_method_that_cannot_be_built_fails_before_the_data_is_opened(photos):
    fails = pytest.raises(RequestError, match="must be a multiple")
    with counted(splits.open_sources, splits.split) as calls, fails:
        assemble(tiny_config(photos, **{"data.image_size": -8}))
    assert not calls


def test_a_method_that_needs_classes_fails_before_photos_are_read(photos):
    config = iizuka.get_config("size=32,batch=2,width=0.01,debug")
    config.data.path, config.data.image_size = str(photos), -8
    fails = pytest.raises(RequestError, match="must be a multiple")
    with counted(splits.open_sources, splits.split) as calls, fails:
        assemble(config)
    assert calls == {"data.selection.splits.open_sources": 1}


def test_the_log_says_whether_there_is_a_classifier(photos, caplog):
    config = iizuka.get_config("size=32,batch=2,width=0.01,debug")
    config.data.path, config.data.labels = str(photos), "none"
    with caplog.at_level("INFO", logger="colorjax"):
        assemble(config)
        config.data.labels = "folder"
        built = assemble(config)
    assert "the classifier is off: the data has no labels" in caplog.text
    assert f"the classifier has {len(built.splits.train.class_names)} classes" in caplog.text
