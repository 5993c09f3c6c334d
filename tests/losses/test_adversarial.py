import jax
import jax.numpy as jnp
import numpy as np
import pytest

from colorjax import losses
from colorjax.errors import RequestError
from colorjax.losses import adversarial

LOGITS = np.array([[-2.0, 0.5], [3.0, 0.0]], np.float32)
D = 1 / (1 + np.exp(-LOGITS.astype(np.float64)))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def mean(actual):
    return float(losses.mean(*actual))


@pytest.mark.parametrize("target", [1.0, 0.9])
def test_bce_is_the_cross_entropy_of_the_sigmoid(target):
    wanted = np.mean(-target * np.log(D) - (1 - target) * np.log(1 - D))
    for loss in (adversarial.true_loss, adversarial.fooling_loss):
        assert mean(loss(LOGITS, "bce", target)) == pytest.approx(wanted, rel=1e-6)
    assert mean(adversarial.fake_loss(LOGITS, "bce")) == pytest.approx(
        np.mean(-np.log(1 - D)), rel=1e-6
    )


def test_hinge():
    true, fake, fooling = 1 - LOGITS, 1 + LOGITS, -LOGITS
    assert mean(adversarial.true_loss(LOGITS, "hinge")) == pytest.approx(np.maximum(true, 0).mean())
    assert mean(adversarial.fake_loss(LOGITS, "hinge")) == pytest.approx(np.maximum(fake, 0).mean())
    assert mean(adversarial.fooling_loss(LOGITS, "hinge")) == pytest.approx(fooling.mean())


def test_hits_are_the_logits_on_the_right_side():
    assert mean(adversarial.hits(LOGITS, True)) == 0.5
    assert mean(adversarial.hits(LOGITS, False)) == 0.5  # a logit of 0 does not count as "true"
    assert mean(adversarial.hits(LOGITS[:, :1], False)) == 0.5


def test_far_logits_stay_finite():
    logits = jnp.float32([-1e4, 1e4])
    for loss in (adversarial.true_loss, adversarial.fooling_loss):
        value, gradient = jax.value_and_grad(lambda x, f=loss: f(x, "bce", 0.9)[0])(logits)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def test_cosine_of_whole_photos(rng):
    a, b = rng.uniform(-1, 1, (2, 3, 4, 4, 3)).astype(np.float32)
    b[0] = 2 * a[0]  # a cosine of 1, clipped
    b[1] = -a[1]  # and of -1
    wanted = []
    for one, other in zip(a.astype(float), b.astype(float), strict=True):
        cosine = (one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum())
        cosine = min(max(cosine, 1e-7), 1 - 1e-7)
        wanted.append(-0.9 * np.log(cosine) - 0.1 * np.log(1 - cosine))
    actual = [mean(adversarial.cosine_loss(a[i : i + 1], b[i : i + 1])) for i in range(3)]
    np.testing.assert_allclose(actual, wanted, rtol=2e-2)  # 1 - 1e-7 has few digits in float32
    np.testing.assert_allclose(actual[1:], wanted[1:], rtol=1e-4)
    gradient = jax.grad(lambda x: adversarial.cosine_loss(x, b)[0])(jnp.zeros_like(a))
    assert np.isfinite(gradient).all()
    with pytest.raises(ValueError, match="shape"):
        adversarial.cosine_loss(a, b[:1])


def test_feature_errors_against_numpy(rng):
    taps = [rng.normal(size=(2, s, s, c)).astype(np.float32) for s, c in ((4, 3), (2, 5))]
    truth = [rng.normal(size=x.shape).astype(np.float32) * 7 for x in taps]
    for relative in (False, True):
        actual = losses.feature_errors(taps, truth, relative=relative)
        for one, x, y in zip(actual, taps, truth, strict=True):
            wanted = np.abs(x - y).mean() / (np.abs(y).mean() if relative else 1)
            assert mean(one) == pytest.approx(wanted, rel=1e-5)
    with pytest.raises(ValueError, match="shape"):
        losses.feature_errors(taps, truth[::-1], relative=True)


def outputs_and_batch(rng):
    ab, truth = rng.uniform(-1, 1, (2, 2, 8, 8, 2)).astype(np.float32)
    taps = [rng.normal(size=(2, 4, 4, 3)).astype(np.float32) for _ in range(6)]
    outputs = {"ab": ab, "fake_logits": LOGITS, "taps": taps[:3], "true_taps": taps[3:]}
    return outputs, {"ab": truth}


def test_the_total_is_the_weighted_sum_of_the_terms(rng):
    outputs, batch = outputs_and_batch(rng)
    weights = {"adversarial_weight": 2.0, "l1_weight": 50.0, "feature_weight": 0.5}
    loss = losses.create("adversarial", **weights, tap_weights=(1.0, 2.0, 3.0), relative=False)
    assert loss.judges == {"critic", "features"}
    terms = loss(outputs, batch)
    l1 = np.abs(outputs["ab"] - batch["ab"]).mean()
    features = sum(
        w * np.abs(a - b).mean()
        for w, a, b in zip((1, 2, 3), outputs["taps"], outputs["true_taps"], strict=True)
    )
    wanted = 2 * np.mean(-np.log(D)) + 50 * l1 + 0.5 * features
    assert float(loss.total(terms)) == pytest.approx(wanted, rel=1e-5)


def test_terms_without_weight_ask_for_no_judge():
    assert losses.create("adversarial", feature_weight=0.0).judges == {"critic"}
    assert losses.create("adversarial", adversarial_weight=0.0).judges == frozenset()
    assert losses.create("feature").judges == {"features"}
    assert losses.create("mse").judges == frozenset()


def test_l1_is_of_the_networks_own_colors(rng):
    outputs, batch = outputs_and_batch(rng)
    own, truth = rng.uniform(-1, 1, (2, 2, 8, 8, 3)).astype(np.float32)
    loss = losses.create("adversarial", feature_weight=0.0)
    terms = loss(outputs | {"color": own}, batch | {"color": truth})
    assert mean(terms["l1"]) == pytest.approx(np.abs(own - truth).mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"gan": "wgan"}, "known: bce, hinge"),
        ({"l1_weight": -1.0}, "loss.l1_weight must be at least 0"),
        ({"l1_weight": 0.0, "adversarial_weight": 0.0}, "set one of them above 0"),
    ],
)
def test_wrong_options(options, says):
    with pytest.raises(RequestError, match=says):
        losses.create("adversarial", **options)
