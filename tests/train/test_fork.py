import hashlib
import json
import shutil

import jax
import numpy as np
import pytest
from helpers.program import TIMES
from helpers.synthetic import tiny_config

from colorjax import methods
from colorjax.errors import RequestError
from colorjax.methods import resolve
from colorjax.parallel import mesh as parallel
from colorjax.train import compile_check, fork, loop, phases, start, steps
from colorjax.train.state import weights_of
from colorjax.weights import checkpoint
from colorjax.weights.checkpoint import Checkpoints
from colorjax.weights.workdir import Workdir
from configs import cgan

EMA = {"optimizer.ema_decay": 0.9, "optimizer.schedule": "wsd", "optimizer.warmup_steps": 2}
PARENT = EMA | {
    "total_steps": 6,
    "checkpoint_every": 2,
    "eval_every": 0,
    "early_stopping.metric": "",
    "evaluation.report": False,
}


def of_parent(photos, **changes):
    return tiny_config(photos, **PARENT | changes)


@pytest.fixture(scope="module")
def parent(photos, tmp_path_factory):
    """Six steps of a stable run with an average; the states of steps 4 and 6 are kept."""
    workdir = tmp_path_factory.mktemp("runs") / "parent"
    assert loop.train_and_evaluate(of_parent(photos), str(workdir)) == loop.DONE
    return workdir


def digest(folder):
    """Returns names, contents and modification times of all files in a folder."""
    actual = {}
    for path in sorted(folder.rglob("*")):
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        actual[str(path.relative_to(folder))] = (content, path.stat().st_mtime_ns)
    return actual


def train_lines(workdir):
    lines = Workdir(workdir).read_metrics()
    return [
        {k: v for k, v in line.items() if k not in TIMES} for line in lines if "train/loss" in line
    ]


def state_of(workdir, config, step):
    """Returns the state of a step as NumPy arrays."""
    layout = parallel.layout_of(config)
    config = resolve.resolve(config, 2)
    plan = phases.build(config, methods.build(config), num_photos=24)
    with Checkpoints(Workdir(workdir).checkpoints, read_only=True) as checkpoints:
        actual = start.read(plan, checkpoints, step, 0, layout)
    return jax.device_get(actual)


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_fork_continues_as_its_parent_does_and_leaves_it_alone(parent, photos, tmp_path):
    before = digest(parent)
    config = of_parent(photos, fork_from=f"{parent}@4", seed=0)
    assert loop.train_and_evaluate(config, str(tmp_path / "fork")) == loop.DONE
    assert digest(parent) == before
    assert train_lines(tmp_path / "fork") == train_lines(parent)[4:]
    states = [state_of(path, config, 6) for path in (tmp_path / "fork", parent)]
    assert_same(*states)


def test_a_cool_down_starts_at_the_rate_of_the_parent_while_that_goes_on(parent, photos, tmp_path):
    theirs = tmp_path / "parent"
    shutil.copytree(parent, theirs)
    config = of_parent(
        photos, fork_from=str(theirs), total_steps=10, **{"optimizer.cooldown_steps": 4}
    )
    assert loop.train_and_evaluate(config, str(tmp_path / "fork")) == loop.DONE
    goes_on = of_parent(photos, total_steps=8)
    assert loop.train_and_evaluate(goes_on, str(theirs)) == loop.DONE
    peak = config.optimizer.learning_rate
    rates = [line["train/learning_rate"] for line in train_lines(tmp_path / "fork")]
    np.testing.assert_allclose(rates, peak * (1 - np.sqrt(np.arange(4) / 4)), rtol=1e-6)
    lines = train_lines(theirs)
    assert [line["step"] for line in lines] == list(range(1, 9))
    assert rates[0] == lines[6]["train/learning_rate"] == np.float32(peak)
    # Same photos and loss; another schedule gives another program, which may round differently.
    assert train_lines(tmp_path / "fork")[0] == pytest.approx(lines[6], rel=1e-6)
    forked = state_of(tmp_path / "fork", config, 10)
    counts = [leaf for leaf in jax.tree.leaves(forked.optimizer) if leaf.dtype == np.int32]
    assert counts
    assert counts == [10] * len(counts)
    assert forked.step == 10


def test_a_fork_that_was_stopped_resumes_without_its_parent(
    parent, photos, tmp_path, monkeypatch, caplog
):
    theirs, workdir = tmp_path / "parent", tmp_path / "fork"
    shutil.copytree(parent, theirs)
    config = of_parent(photos, fork_from=str(theirs), total_steps=8)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop._Run, "_run_phase", killed)  # right after the state was copied
        with pytest.raises(KeyboardInterrupt):
            loop.train_and_evaluate(config, str(workdir))
    assert checkpoint.find_damage(workdir / "checkpoints" / "6") is None
    assert (workdir / "checkpoints" / "6" / checkpoint.SEAL).is_file()
    assert_same(state_of(workdir, config, 6), state_of(parent, config, 6))
    shutil.rmtree(theirs)
    with caplog.at_level("INFO", "colorjax"):
        assert loop.train_and_evaluate(config, str(workdir)) == loop.DONE
    assert "resuming from step 6" in caplog.text
    assert [line["step"] for line in train_lines(workdir)] == [7, 8]


def test_only_sealed_checkpoints_of_a_parent_count(parent, photos, tmp_path, caplog):
    theirs = tmp_path / "parent"
    shutil.copytree(parent, theirs)
    (theirs / "checkpoints" / "6" / checkpoint.SEAL).unlink()  # it is being saved
    (theirs / "checkpoints" / "8.orbax-checkpoint-tmp").mkdir()
    before = digest(theirs)
    config = of_parent(photos, fork_from=str(theirs), total_steps=5)
    with caplog.at_level("INFO", "colorjax"):
        assert loop.train_and_evaluate(config, str(tmp_path / "fork")) == loop.DONE
    assert "forked from step 4" in caplog.text
    assert digest(theirs) == before


@pytest.mark.slow
def test_a_critic_is_forked_with_the_colorizer(photos, tmp_path):
    config = cgan.get_config("size=32,width=0.0625,batch=4,debug")
    with config.unlocked():
        config.model = {"name": "helpers.synthetic:TinyNet"}
        config.critic = {"name": "patch", "width": 0.0625}
        config.update_from_flattened_dict(
            {
                "data.path": str(photos),
                "data.eval_fraction": 0.2,
                "data.validation_fraction": 0.2,
                "evaluation.batch_size": 4,
                "turns.kind": "switch",
                "checkpoint_every": 2,
                "total_steps": 4,
                "eval_every": 0,
                "early_stopping.metric": "",
                "evaluation.report": False,
                "progress": False,
            }
        )
    whole, forked = tmp_path / "whole", tmp_path / "forked"
    assert loop.train_and_evaluate(config, str(whole)) == loop.DONE
    config.fork_from = f"{whole}@2"
    assert loop.train_and_evaluate(config, str(forked)) == loop.DONE
    states = [state_of(path, config, 4) for path in (whole, forked)]
    assert states[0].critic is not None
    assert states[0].generator_next is not None
    assert_same(*states)


def forked_step(checkpoints, photos, devices, **changes):
    """Returns a state after a step of a fork on a fixed batch, and its metrics, in NumPy."""
    plan, layout, batch = prepared(photos, devices, **changes)
    state = start.read(plan, checkpoints, 1, 0, layout)
    return state, *jax.device_get(run_step(plan, state, layout, batch))


def prepared(photos, devices, **changes):
    wide = {"model.filters": (32,) * 7, "batch_size": 16, "optimizer.name": "adam"}
    config = resolve.resolve(of_parent(photos, **wide | changes), 2)
    method = methods.build(config)
    plan = phases.build(config, method, num_photos=24)
    rng = np.random.default_rng(0)
    batch = {
        name: rng.uniform(-1, 1, shape.shape).astype(shape.dtype)
        for name, shape in compile_check.batch_shapes(config, method).items()
    }
    return plan, parallel.layout_of(config, jax.devices()[:devices]), batch


def run_step(plan, state, layout, batch):
    step = jax.jit(
        steps.gathering(plan.phases[0].step, layout),
        out_shardings=(layout.of_state(state), layout.replicated),
    )
    return step(state, parallel.to_global(batch, layout))


@pytest.mark.slow
def test_a_fork_learns_the_same_on_any_devices(photos, tmp_path):
    plan, layout, batch = prepared(photos, 4)
    fresh = jax.jit(plan.create, out_shardings=layout.replicated)(jax.random.key(0))
    state, _ = run_step(plan, fresh, layout, batch)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, weights_of(state), state.training)
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        four = forked_step(checkpoints, photos, 4)
        one = forked_step(checkpoints, photos, 1)
        divided = forked_step(checkpoints, photos, 4, **{"parallel.fsdp": 4})
    kernels = [x for x in jax.tree.leaves(divided[0].optimizer) if x.size == 3 * 3 * 32 * 32]
    assert kernels
    assert all(x.addressable_shards[0].data.size == x.size // 4 for x in kernels)
    expected, values = jax.device_get(run_step(plan, state, layout, batch))  # without a checkpoint
    assert_same(four[1:], (expected, values))
    for _, after, metrics in (one, divided):
        for name in ("loss", "grad_norm", "learning_rate"):
            np.testing.assert_allclose(metrics[name], values[name], rtol=2e-6)
        for actual, wanted in ((after.params, expected.params), (after.average, expected.average)):
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), actual, wanted)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"init_from": "semantic-lite0"}, "set one of them"),
        ({"fork_from": "nowhere"}, r"nowhere/config.json' does not exist; give the workdir of a"),
        ({"model.kernel_size": 5}, r"different model\.kernel_size; use the same values"),
        ({"optimizer.name": "sgd"}, r"different optimizer\.name"),
        ({"optimizer.ema_decay": 0.0}, r"different optimizer\.ema_decay"),
        ({"total_steps": 6}, "step 6 is not below total_steps=6; increase total_steps"),
        (
            {"total_steps": 8, "optimizer.cooldown_steps": 3},
            "step 6 is after step 5, where the cool-down begins; set total_steps=9",
        ),
        ({"fork_from": "@5"}, r"no intact checkpoint of that step \(saved: 4, 6\)"),
        ({"optimizer.weight_decay": 0.1}, "needs optimizer.name=adamw"),
    ],
)
def test_forks_that_cannot_be(parent, photos, tmp_path, changes, says):
    source = changes.get("fork_from", "")
    changes = changes | {"fork_from": source if source == "nowhere" else f"{parent}{source}"}
    before = digest(parent)
    with pytest.raises(RequestError, match=says) as caught:
        loop.train_and_evaluate(
            of_parent(photos, **{"total_steps": 8} | changes), str(tmp_path / "fork")
        )
    assert "\n" not in str(caught.value)
    assert digest(parent) == before


def test_states_that_do_not_fit_are_reported_in_one_line(parent, photos, tmp_path):
    """A network whose sizes do not depend on `model`."""
    theirs = json.loads((parent / "config.json").read_text())
    copy = tmp_path / "copy"
    shutil.copytree(parent, copy)
    theirs["model"]["filters"] = [8] * 7
    (copy / "config.json").write_text(json.dumps(theirs))
    config = of_parent(photos, fork_from=str(copy), total_steps=8, **{"model.filters": (8,) * 7})
    with pytest.raises(RequestError, match="step 6 does not fit this config") as caught:
        loop.train_and_evaluate(config, str(tmp_path / "fork"))
    assert "\n" not in str(caught.value)


def test_a_parent_without_a_checkpoint_or_an_optimizer(parent, photos, tmp_path):
    theirs = tmp_path / "parent"
    shutil.copytree(parent, theirs)
    shutil.rmtree(theirs / "checkpoints")
    config = of_parent(photos, fork_from=str(theirs), total_steps=8)
    with pytest.raises(RequestError, match="has no checkpoint yet; wait until it has saved one"):
        loop.train_and_evaluate(config, str(tmp_path / "fork"))
    stored = json.loads((theirs / "config.json").read_text())
    del stored["optimizer"]
    (theirs / "config.json").write_text(json.dumps(stored))
    with pytest.raises(RequestError, match="holds imported weights"):
        loop.train_and_evaluate(config, str(tmp_path / "fork"))
    assert not (theirs / "checkpoints").exists()


def test_a_run_is_no_fork_of_itself(parent, photos):
    config = of_parent(photos, fork_from=str(parent))
    fork.check(config, Workdir(parent))  # it has its own checkpoints, so fork_from is ignored
    empty = parent.parent / "empty"
    with pytest.raises(RequestError, match="is the workdir of this run"):
        fork.check(of_parent(photos, fork_from=str(empty)), Workdir(empty))
