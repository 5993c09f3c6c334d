import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.synthetic import synthetic_images

from colorjax import color, methods, metrics
from colorjax.data import hints, prior
from colorjax.train import evaluator
from configs import zhang16, zhang17

RGB = np.stack([*synthetic_images(5, 32, seed=1), np.full((32, 32, 3), 90, np.uint8)])
LAB = color.rgb_u8_to_lab(RGB)
MASK = np.array([True, True, True, True, False, True])
PRIOR = prior.load("")


def tiny(module):
    config = module.get_config("size=32,batch=4,width=0.125,debug")
    return methods.build(config)


def fresh(method):
    shapes = jax.eval_shape(method.init, jax.random.key(0))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: rng.normal(0, 0.2, x.shape).astype(x.dtype), shapes["params"])
    statistics = jax.tree.map(lambda x: np.ones(x.shape, x.dtype), shapes["batch_stats"])
    return {"params": params, "batch_stats": statistics}


def hinted_batch():
    drawn = [hints.draw_for_evaluation(np.random.default_rng(i), 32) for i in range(6)]
    truth = color.normalize_ab(LAB[..., 1:])
    revealed = [hints.reveal(ab, some) for ab, some in zip(truth, drawn, strict=True)]
    hint_ab, order = (np.stack(parts) for parts in zip(*revealed, strict=True))
    return {"rgb": RGB, "mask": MASK.astype(np.float32), "hint_ab": hint_ab, "hint_order": order}


@pytest.mark.slow
def test_psnr_with_hints_sees_that_many():
    method = tiny(zhang17)
    variables, batch = fresh(method), hinted_batch()
    sums, *_ = evaluator.build_steps(method, PRIOR, (0, 3)).method(variables, batch)
    actual = evaluator.summarize(metrics.merge({}, sums))
    assert actual["psnr_hints_0"] == pytest.approx(actual["psnr"], rel=1e-5)
    is_hint = batch["hint_order"] < 3
    given = {"hint_ab": batch["hint_ab"] * is_hint, "hint_mask": is_hint.astype(np.float32)}
    gray = jnp.asarray(LAB[..., :1] / 50 - 1)
    ab = method.predict_ab(variables, {"gray": gray} | given)
    wanted = metrics.psnr(np.asarray(evaluator.painted(jnp.asarray(LAB), ab)), RGB)[:4].mean()
    assert actual["psnr_hints_3"] == pytest.approx(wanted, rel=1e-4)
    assert actual["psnr_hints_3"] != pytest.approx(actual["psnr_hints_0"], rel=1e-5)


def test_hints_spread_where_the_network_has_no_input_for_them():
    method = tiny(zhang16)
    batch = hinted_batch()
    sums, *_ = evaluator.build_steps(method, PRIOR, (0, 3, 100)).method(fresh(method), batch)
    actual = evaluator.summarize(metrics.merge({}, sums))
    assert actual["psnr_hints_0"] == pytest.approx(actual["psnr"], rel=1e-5)
    assert actual["psnr_hints_0"] < actual["psnr_hints_3"] < actual["psnr_hints_100"] - 1
    assert "bits_per_pixel" in sums


def test_a_method_that_shows_no_features_has_no_such_curve(monkeypatch):
    method = tiny(zhang16)
    monkeypatch.setattr(type(method.network), "feature_layers", ())
    sums, *_ = evaluator.build_steps(method, PRIOR, (0, 3)).method(fresh(method), hinted_batch())
    assert not [name for name in sums if name.startswith("psnr_hints")]
    assert "bits_per_pixel" in sums
