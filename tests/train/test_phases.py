import json
import os
import signal

import jax
import numpy as np
import pytest
from helpers.program import TIMES
from helpers.synthetic import tiny_config

from colorjax import methods
from colorjax.data.selection import splits
from colorjax.errors import RequestError
from colorjax.methods import resolve
from colorjax.parallel import mesh as parallel
from colorjax.runtime import paths
from colorjax.train import loop, phases
from colorjax.train.nogan import generations
from colorjax.train.nogan.candidates import Candidates
from colorjax.train.report import Reporter
from colorjax.weights.open import open_weights
from colorjax.weights.workdir import Workdir
from configs import cgan, nogan, unet

SPANS = {"features": (0, 2), "pretrain": (2, 5), "critic": (5, 7), "gan": (7, 10)}


def tiny_nogan(photos, **changes):
    """Ten steps of four phases, of networks with few channels."""
    config = nogan.get_config("width=0.125,batch=4")
    with config.unlocked():
        config.model = {"name": "helpers.synthetic:TinyNet"}
        config.critic = {"name": "patch", "width": 0.125, "conditional": False}
        config.update_from_flattened_dict(
            {
                "total_steps": 10,
                "log_every": 1,
                "eval_every": 0,
                "checkpoint_every": 100,
                "features.share": 0.2,
                "nogan.shares": (3, 2, 3),
                "nogan.save_every": 2,
                "nogan.generated": 0.3,
                "data.image_size": 16,
                "data.path": str(photos),
                "data.eval_fraction": 0.2,
                "data.validation_fraction": 0.2,
                "evaluation.batch_size": 4,
                "evaluation.baseline_photos": 16,
                "progress": False,
            }
            | changes
        )
    return config.lock()


def plan_of(config):
    config = resolve.resolve(config, 2)
    return phases.build(config, methods.build(config), num_photos=24)


@pytest.fixture(scope="module")
def finished(photos, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("nogan") / "run"
    assert loop.train_and_evaluate(tiny_nogan(photos), str(workdir)) == loop.DONE
    return workdir


def read_metrics(workdir):
    lines = Workdir(workdir).read_metrics()
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


def weights_of(workdir):
    return open_weights(workdir).load()


def test_one_command_runs_all_phases(finished):
    lines = [line for line in read_metrics(finished) if any(k.startswith("train/") for k in line)]
    assert [line["step"] for line in lines] == list(range(1, 11))
    logged = {
        name: [line["step"] for line in lines if f"train/{name}" in line]
        for name in ("features_loss", "features_top1", "loss", "l1", "critic_loss")
    }
    assert logged["features_loss"] == logged["features_top1"] == [1, 2]
    assert logged["loss"][:3] == logged["l1"][:3] == [3, 4, 5]
    assert logged["critic_loss"][:3] == [6, 7, 8]  # the critic learns first in the last phase
    assert set(logged["loss"][3:]) | set(logged["critic_loss"][2:]) == {8, 9, 10}
    assert not any("train/adversarial" in line for line in lines if line["step"] <= 5)


def test_the_critic_trained_on_what_the_colorizer_made(finished):
    made = sorted((finished / "generations").glob("*.png"))
    assert (finished / "generations/whole.txt").read_text() == f"{len(made)} photos\n"
    assert [path.name for path in made] == [f"{n:06d}.png" for n in range(len(made))]
    assert len(made) > 3


def test_pictures_for_the_critic_go_on_where_they_were_stopped(finished, photos, tmp_path):
    config = resolve.resolve(tiny_nogan(photos), 2)
    method, layout = methods.build(config), parallel.layout_of(config)
    _, variables = open_weights(finished).load(method, layout.replicated)
    train = splits.open_splits(config.data).train
    batches = []

    def made(name, stops_after):
        batches.clear()
        folder = paths.locate(tmp_path / name)
        stop = lambda: batches.append(1) or len(batches) > stops_after  # noqa: E731
        actual = generations.open_source(folder, method, variables, train, config, layout, stop)
        return actual, {path.name: path.read_bytes() for path in folder.glob("*.png")}

    whole, pictures = made("whole", 1000)
    assert len(pictures) > 4
    actual, part = made("parts", 1)
    assert actual is None
    assert part == dict(sorted(pictures.items())[:4])  # a batch
    actual, rest = made("parts", 1000)
    assert rest == pictures
    assert list(actual.keys) == list(whole.keys)
    (tmp_path / "parts/whole.txt").unlink()  # stopped before the completion marker
    assert made("parts", 1000)[1] == pictures


def test_a_state_is_picked_and_shipped(finished, photos):
    actual = json.loads((finished / "pick.json").read_text())
    rows = {row["step"]: row for row in actual["candidates"]}
    assert list(rows) == [7, 9, 10]  # before the phase, every second step, and the last
    assert actual["by"] == "auto"
    assert actual["picked"] in rows
    assert all(row["feature_loss"] > 0 for row in rows.values())
    assert weights_of(finished)[0] == actual["picked"]
    assert json.loads((finished / "eval.json").read_text())["step"] == actual["picked"]


@pytest.mark.slow
def test_a_person_overrules_the_pick(finished, photos):
    for step in (9, 7):
        config = tiny_nogan(photos, **{"nogan.pick": str(step)})
        assert loop.train_and_evaluate(config, str(finished)) == loop.DONE
        assert weights_of(finished)[0] == step
        assert json.loads((finished / "eval.json").read_text())["step"] == step
    with pytest.raises(RequestError, match="auto or one of the steps 7, 9, 10"):
        loop.train_and_evaluate(tiny_nogan(photos, **{"nogan.pick": "8"}), str(finished))


@pytest.mark.slow
def test_stopped_in_every_phase_it_resumes_exactly(finished, photos, tmp_path):
    workdir = tmp_path / "stopped"

    def stop(step):
        if step == last:
            os.kill(os.getpid(), signal.SIGTERM)

    for last in (1, 4, 6, 8):
        config = tiny_nogan(photos)
        assert loop.train_and_evaluate(config, str(workdir), after_step=stop) == loop.STOPPED
        assert (workdir / "checkpoints" / str(last)).is_dir()
    assert loop.train_and_evaluate(tiny_nogan(photos), str(workdir)) == loop.DONE
    actual, wanted = (
        [line for line in read_metrics(folder) if any(k.startswith("train/") for k in line)]
        for folder in (workdir, finished)
    )
    assert actual == wanted
    picks = [
        json.loads((folder / "pick.json").read_text())["candidates"]
        for folder in (workdir, finished)
    ]
    assert picks[0] == picks[1]


@pytest.mark.slow
def test_the_state_before_the_last_phase_is_kept_whenever_a_signal_comes(
    finished, photos, tmp_path, monkeypatch
):
    workdir, validate, stops = tmp_path / "stopped", Reporter.validate, [1]

    def stop(self, step, variables):
        if stops:  # the first validation is before the phase
            stops.pop()
            os.kill(os.getpid(), signal.SIGTERM)
            return None
        return validate(self, step, variables)

    monkeypatch.setattr(Reporter, "validate", stop)
    assert loop.train_and_evaluate(tiny_nogan(photos), str(workdir)) == loop.STOPPED
    assert [line["step"] for line in read_metrics(workdir)][-1] == SPANS["gan"][0]
    assert loop.train_and_evaluate(tiny_nogan(photos), str(workdir)) == loop.DONE
    picks = [
        json.loads((folder / "pick.json").read_text())["candidates"]
        for folder in (workdir, finished)
    ]
    assert picks[0] == picks[1]


def test_a_log_line_has_the_newest_of_both_who_take_turns(photos, tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(loop, "open_writers", lambda *_: Lines(lines))
    config = tiny_config(photos, total_steps=4, log_every=4, eval_every=0)
    monkeypatch.setattr(Reporter, "report", lambda *_, **options: True)
    values = iter([{"loss": 1.0}, {"critic_loss": 2.0}, {"loss": 3.0}, {"critic_loss": 4.0}])
    monkeypatch.setattr(loop.steps, "computed", lambda actual: next(values))
    assert loop.train_and_evaluate(config, str(tmp_path / "w")) == loop.DONE
    (line,) = (line for line in lines if "train/loss" in line)
    assert (line["train/loss"], line["train/critic_loss"]) == (3.0, 4.0)


class Lines:
    def __init__(self, lines):
        self._lines = lines

    def write_scalars(self, step, scalars, details=()):
        self._lines.append(scalars)

    def write_overview(self, overview):
        pass

    def write_texts(self, step, texts):
        pass

    def flush(self):
        pass


@pytest.mark.parametrize(
    "changes",
    [
        {"total_steps": 12},
        {"nogan.generated": 0.2},
        {"nogan.shares": (1, 1, 1)},
        {"critic.width": 0.25},
        {"features.width": 0.5},
    ],
)
def test_phases_do_not_move_in_the_middle(finished, photos, changes):
    (name,) = changes
    with pytest.raises(RequestError, match=f"holds a run with a different {name}"):
        loop.train_and_evaluate(tiny_nogan(photos, **changes), str(finished))


def test_spans(photos):
    plan = plan_of(tiny_nogan(photos))
    assert {p.name: (p.first_step, p.last_step) for p in plan.phases} == SPANS
    assert [plan.at(step).name for step in (1, 2, 3, 5, 6, 10, 11)] == [
        "features",
        "features",
        "pretrain",
        "pretrain",
        "critic",
        "gan",
        "gan",
    ]
    for total in (4, 5, 12_000):
        spans = plan_of(tiny_nogan(photos, total_steps=total)).phases
        assert [p.first_step for p in spans[1:]] == [p.last_step for p in spans[:-1]]
        assert all(p.first_step < p.last_step for p in spans)
        assert spans[-1].last_step == total


def test_other_methods_have_one_phase(photos):
    plan = plan_of(tiny_config(photos))
    assert [(p.name, p.first_step, p.last_step) for p in plan.phases] == [("train", 0, 6)]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"total_steps": 3},
            "too small for one step in each phase: features, pretrain, critic, gan",
        ),
        ({"nogan.shares": (1.0, 1.0)}, "three numbers above 0"),
        ({"features.share": 1.0}, "features.share must be at least 0 and below 1"),
        ({"loss.name": "feature"}, "nogan.shares needs an adversarial loss"),
        ({"loss.l1_weight": 0.0, "loss.feature_weight": 0.0}, "set one of them above 0"),
        ({"optimizer.ema_decay": 0.9}, "set optimizer.ema_decay=0"),
        ({"loss.tap_weights": (5.0, 2.0)}, "3 numbers, at least 0"),
        ({"loss.tap_weights": (5.0, 2.0, -1.0)}, "3 numbers, at least 0"),
    ],
)
def test_plans_that_mean_nothing(photos, changes, says):
    with pytest.raises(RequestError, match=says):
        plan_of(tiny_nogan(photos, **changes))


def test_weights_of_features_are_read_only_when_asked_for(photos):
    plan = plan_of(tiny_nogan(photos, **{"features.name": "vgg16_bn"}))
    with pytest.raises(RequestError, match=r"features\.path"):
        plan.read_features()


def test_a_pick_needs_photos_to_choose_by(photos, tmp_path):
    for changes in ({"data.validation_fraction": 0.0}, {"nogan.save_every": 0}):
        with pytest.raises(RequestError, match=r"data.validation_fraction above 0|at least 1"):
            loop.train_and_evaluate(tiny_nogan(photos, **changes), str(tmp_path / "w"))


def test_no_more_states_than_are_kept(photos):
    config = tiny_nogan(photos)
    Candidates.check(config, 8, 2_000)
    with pytest.raises(
        RequestError, match=r"save_every=2 keeps 1001 candidates .* increase it to 3"
    ):
        Candidates.check(config, 8, 2_002)


def test_given_weights_of_layers_change_no_more_than_the_weights(photos):
    config = tiny_nogan(photos)
    with config.unlocked():
        config.features.name = "vgg16_bn"
        config.loss.tap_weights = (20.0, 70.0, 10.0)
    given = methods.build_loss(config)
    config.loss.tap_weights = ()
    own = methods.build_loss(config)
    taps = {
        f"{name}taps": 3 * [np.full((2, 4, 4, 8), value)]
        for name, value in (("", 12.0), ("true_", 10.0))
    }
    blank = {"ab": np.zeros((2, 8, 8, 2), np.float32)}
    outputs = blank | taps | {"fake_logits": np.zeros((2, 1, 1, 1)), "color": blank["ab"]}
    ours, theirs = (loss(outputs, blank | {"color": blank["ab"]}) for loss in (given, own))
    assert float(ours["feature_1"][0] / ours["feature_1"][1]) == 2.0  # not relative
    assert {k: float(v[0]) for k, v in ours.items()} == {k: float(v[0]) for k, v in theirs.items()}


def test_photos_without_labels_need_a_file_of_features(photos):
    with pytest.raises(RequestError, match=r"but they have no labels; set data.labels"):
        resolve.resolve(tiny_nogan(photos), 0)
    config = resolve.resolve(tiny_nogan(photos, **{"loss.feature_weight": 0.0}), 0)
    assert [p.name for p in phases.build(config, methods.build(config), 24).phases] == [
        "pretrain",
        "critic",
        "gan",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mse", "l1", "rebalanced_ce", "adversarial"])
def test_one_network_trains_with_four_losses(name):
    config = unet.get_config("width=0.125,batch=4,size=16,debug")
    config.loss.name = name
    config.loss.feature_weight = 0.0
    plan, state = plan_of(config), None
    rng = np.random.default_rng(0)
    batch = {
        "gray": rng.uniform(-1, 1, (4, 16, 16, 1)).astype(np.float32),
        "ab": rng.uniform(-0.5, 0.5, (4, 16, 16, 2)).astype(np.float32),
    }

    def run(key):
        first = plan.create(key)
        return first, *plan.phases[0].step(first, batch)

    first, state, metrics = jax.jit(run)(jax.random.key(0))
    assert np.isfinite(metrics["loss"])
    head = {"rebalanced_ce": ("head", "logits")}.get(name, ("head",))
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), first.params, state.params)
    for part in head:
        moved = moved[part]
    assert moved["kernel"] > 0
    assert (state.critic is not None) == (name == "adversarial")


@pytest.mark.parametrize("argument", ["", "nazeri", "dcgan", "nazeri,faithful", "dcgan,faithful"])
def test_gans_are_planned(argument):
    """Their output spaces and sources of lightness."""
    config = resolve.resolve(cgan.get_config(f"width=0.125,debug,{argument}"), 0)
    method = methods.build(config)
    assert method.space == {"n": "lab", "d": "rgb", "": "ab"}[argument[:1]]
    assert method.predicts_lightness == ("faithful" in argument)
    # Their gray is the mean of R, G and B (dcgan) or luma (nazeri).
    assert ("rgb" in method.wanted) == bool(argument)
    plan = phases.build(config, method, 100)
    assert [p.name for p in plan.phases] == ["train"]
