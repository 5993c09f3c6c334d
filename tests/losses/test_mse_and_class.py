"""Color and classes in one loss (Iizuka 2016, section 3.3), and the number of classes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.synthetic import tiny_config

from colorjax import losses, methods
from colorjax.errors import RequestError
from configs import iizuka

RNG = np.random.default_rng(0)
PHOTOS = 4
AB, TARGET = RNG.normal(size=(2, PHOTOS, 6, 8, 2))
HALF = RNG.normal(size=(PHOTOS, 3, 4, 2))
LOGITS = RNG.normal(size=(PHOTOS, 3))
LOGITS[[0, 2], [2, 0]] += 5  # the first is right, the other labeled one wrong
LABELS = np.array([2, -1, 1, -1])

OUTPUTS = {
    "ab": jnp.asarray(AB, jnp.float32),
    "ab_half": jnp.asarray(HALF, jnp.float32),
    "class_logits": jnp.asarray(LOGITS, jnp.float32),
}
BATCH = {"ab": jnp.asarray(TARGET, jnp.float32), "label": jnp.asarray(LABELS)}
WITHOUT = {name: x for name, x in OUTPUTS.items() if name != "class_logits"}


def cross_entropies(logits, labels):
    """-log softmax(logits)[label], of the labeled photos."""
    actual = []
    for row, label in zip(logits, labels, strict=True):
        if label >= 0:
            actual.append(-np.log(np.exp(row[label]) / np.exp(row).sum()))
    return np.array(actual)


def block_means(x):
    """Means of 2x2 pixels, one by one."""
    actual = np.empty((len(x), x.shape[1] // 2, x.shape[2] // 2, x.shape[3]))
    for row in range(actual.shape[1]):
        for column in range(actual.shape[2]):
            block = x[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            actual[:, row, column] = block.sum((1, 2)) / 4
    return actual


COLOR = {
    ("mean", "full"): np.mean((AB - TARGET) ** 2),
    ("sum", "full"): np.mean(np.sum((AB - TARGET) ** 2, (1, 2, 3))),
    ("mean", "half"): np.mean((HALF - block_means(TARGET)) ** 2),
    ("sum", "half"): np.mean(np.sum((HALF - block_means(TARGET)) ** 2, (1, 2, 3))),
}


@pytest.mark.parametrize("alpha", [None, 0.5, 0.0])
@pytest.mark.parametrize(("reduction", "size"), COLOR)
def test_against_numpy(reduction, size, alpha):
    given = {} if alpha is None else {"alpha": alpha}
    loss = losses.create("mse_and_class", reduction=reduction, compare_at=size, **given)
    actual = loss.total(jax.jit(loss)(OUTPUTS, BATCH))
    weight = 1 / 300 if alpha is None else alpha
    expected = COLOR[reduction, size] + weight * cross_entropies(LOGITS, LABELS).mean()
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_defaults_are_the_mean_at_full_size():
    loss = losses.create("mse_and_class")
    np.testing.assert_allclose(loss.total(loss(WITHOUT, BATCH)), COLOR["mean", "full"], rtol=1e-5)


@pytest.mark.parametrize(("size", "other"), [("full", "ab_half"), ("half", "ab")])
def test_the_other_size_is_not_looked_at(size, other):
    loss = losses.create("mse_and_class", compare_at=size)
    expected = loss.total(loss(OUTPUTS, BATCH))
    assert loss.total(loss(OUTPUTS | {other: OUTPUTS[other] + jnp.nan}, BATCH)) == expected


def test_terms_are_those_of_labeled_photos():
    terms = losses.create("mse_and_class")(OUTPUTS, BATCH)
    assert terms.keys() == {"mse", "class_cross_entropy", "top1"}
    total, number = terms["class_cross_entropy"]
    assert number == 2
    np.testing.assert_allclose(total, cross_entropies(LOGITS, LABELS).sum(), rtol=1e-5)
    assert [float(x) for x in terms["top1"]] == [1, 2]
    assert losses.create("mse_and_class", reduction="sum")(OUTPUTS, BATCH).keys() == {
        "sse",
        "class_cross_entropy",
        "top1",
    }


def test_the_share_of_hits_is_logged_and_not_minimized():
    loss = losses.create("mse_and_class", alpha=0.5)
    assert loss.weights == {"mse": 1.0, "class_cross_entropy": 0.5}


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_batch_without_labels_teaches_colors_alone(reduction):
    loss = losses.create("mse_and_class", reduction=reduction, alpha=1.0)
    batch = BATCH | {"label": jnp.full(PHOTOS, -1)}

    def total(outputs):
        terms = loss(outputs, batch)
        return loss.total(terms), terms

    (actual, terms), gradients = jax.jit(jax.value_and_grad(total, has_aux=True))(OUTPUTS)
    np.testing.assert_allclose(actual, COLOR[reduction, "full"], rtol=1e-5)
    assert [float(x) for x in terms["class_cross_entropy"]] == [0, 0]
    assert losses.mean(*terms["class_cross_entropy"]) == 0
    assert losses.mean(*terms["top1"]) == 0
    np.testing.assert_array_equal(gradients["class_logits"], 0)
    assert np.abs(gradients["ab"]).min() > 0


def test_unlabeled_photos_have_no_gradient_of_classes():
    loss = losses.create("mse_and_class", alpha=1.0)
    gradients = jax.grad(lambda outputs: loss.total(loss(outputs, BATCH)))(OUTPUTS)["class_logits"]
    assert (np.abs(gradients).max(-1) > 0).tolist() == (LABELS >= 0).tolist()


def test_without_a_classifier_it_is_mse():
    loss = losses.create("mse_and_class", alpha=7.0)
    terms = loss(WITHOUT, {"ab": BATCH["ab"]})
    assert terms.keys() == {"mse"}
    mse = losses.create("mse")
    assert loss.total(terms) == mse.total(mse(WITHOUT, BATCH))


@pytest.mark.parametrize(("size", "name"), [("full", "ab"), ("half", "ab_half")])
def test_shapes_are_never_broadcast(size, name):
    loss = losses.create("mse_and_class", compare_at=size)
    with pytest.raises(ValueError, match="prediction has shape"):
        loss(OUTPUTS | {name: OUTPUTS[name][:1]}, BATCH)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"alpha": -1.0}, r"loss\.alpha must be at least 0, not -1"),
        ({"alpha": float("nan")}, r"loss\.alpha"),
        ({"reduction": "max"}, r"loss\.reduction.*known: mean, sum"),
        ({"compare_at": "quarter"}, r"loss\.compare_at.*known: full, half"),
    ],
)
def test_options_that_mean_nothing(options, says):
    with pytest.raises(RequestError, match=says):
        losses.create("mse_and_class", **options)


def test_half_needs_a_network_that_ends_there():
    changes = {"loss.name": "mse_and_class", "loss.compare_at": "half"}
    with pytest.raises(RequestError, match=r"loss\.compare_at=full"):
        methods.build(tiny_config("", **changes))
    config = iizuka.get_config("size=32,batch=2,width=0.01")
    config.loss.compare_at = "half"
    assert methods.build(config).loss.name == "mse_and_class"
