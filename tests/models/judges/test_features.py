import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.synthetic import drawn_variables, synthetic_images

from colorjax.errors import RequestError
from colorjax.models.judges.features import SmallClassifier, Vgg16Features, create_features

TINY = SmallClassifier(num_classes=5, width=0.125)  # channels 8, 16, 32


def photos(number, height, width):
    images = np.stack(synthetic_images(number, max(height, width), seed=2)) / 255
    return jnp.asarray(images[:, :height, :width], jnp.float32)


@functools.cache
def variables():
    init = functools.partial(TINY.init, train=False)
    return drawn_variables(jax.eval_shape(init, jax.random.key(0), photos(1, 8, 8)))


@functools.cache
def applied(train):
    return jax.jit(functools.partial(TINY.apply, train=train, mutable=["batch_stats"]))


def shapes_of(net, *shape):
    rgb = jax.ShapeDtypeStruct((*shape, 3), np.float32)
    init = functools.partial(net.init, train=False)
    variables = jax.eval_shape(init, jax.random.key(0), rgb)
    outputs = jax.eval_shape(functools.partial(net.apply, train=False), variables, rgb)
    return variables, outputs


def count(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def in_numpy(rgb):
    """The classifier in evaluation mode, as loops over kernel taps."""
    params, stats = (variables()[name] for name in ("params", "batch_stats"))
    x, taps = (np.asarray(rgb, np.float64) - 0.5) / 0.25, []
    for stage in (1, 2, 3):
        for number in (1, 2):
            name = f"layer{stage}_{number}"
            kernel = np.asarray(params[name]["conv"]["kernel"], np.float64)
            padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
            height, width = x.shape[1:3]
            x = sum(
                padded[:, i : i + height, j : j + width] @ kernel[i, j]
                for i in range(3)
                for j in range(3)
            )
            norm, running = params[name]["norm"]["norm"], stats[name]["norm"]["norm"]
            mean, var, scale, bias = (
                np.asarray(v, np.float64)
                for v in (running["mean"], running["var"], norm["scale"], norm["bias"])
            )
            x = np.maximum((x - mean) / np.sqrt(var + 1e-5) * scale + bias, 0)
        taps.append(x)
        n, height, width, channels = x.shape
        x = x[:, : height // 2 * 2, : width // 2 * 2]
        x = x.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))
    dense = {name: np.asarray(v, np.float64) for name, v in params["logits"].items()}
    return taps, x.mean(axis=(1, 2)) @ dense["kernel"] + dense["bias"]


@pytest.mark.parametrize("size", [(16, 16), (9, 14)])
def test_the_classifier_against_plain_numpy(size):
    rgb = photos(2, *size)
    actual, _ = applied(False)(variables(), rgb)
    taps, logits = in_numpy(rgb)
    assert actual["class_logits"].shape == (2, 5)
    np.testing.assert_allclose(actual["class_logits"], logits, rtol=1e-4)
    for one, other in zip(actual["taps"], taps, strict=True):
        assert one.shape == other.shape
        assert other.std() > 0.1
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * other.std())


def test_parameters_and_taps_of_the_classifier():
    made, outputs = shapes_of(SmallClassifier(num_classes=10), 2, 64, 64)
    convolutions = 9 * (3 * 64 + 64 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 256 * 256)
    assert count(made) == convolutions + 2 * 2 * (64 + 128 + 256) + 256 * 10 + 10
    assert [x.shape for x in outputs["taps"]] == [
        (2, 64, 64, 64),
        (2, 32, 32, 128),
        (2, 16, 16, 256),
    ]


def test_training_takes_the_batchs_statistics_and_drops():
    rgb = photos(3, 8, 8)
    run = functools.partial(applied(True), variables(), rgb)
    one, updated = run(rngs={"dropout": jax.random.key(1)})
    other, _ = run(rngs={"dropout": jax.random.key(2)})
    still, _ = applied(False)(variables(), rgb)
    assert not np.allclose(one["class_logits"], other["class_logits"])
    assert np.allclose(one["taps"][2], other["taps"][2])  # dropout follows the taps
    assert not np.allclose(one["taps"][0], still["taps"][0])
    before = variables()["batch_stats"]
    moved = jax.tree.map(lambda a, b: not np.allclose(a, b), updated["batch_stats"], before)
    assert all(jax.tree.leaves(moved))
    assert len(jax.tree.leaves(moved)) == 2 * 6


def test_a_body_in_bfloat16_gives_float32():
    net = create_features("classifier", num_classes=3, width=0.125, dtype=jnp.bfloat16)
    made, outputs = shapes_of(net, 2, 16, 16)
    assert {x.dtype for x in jax.tree.leaves((made, outputs))} == {jnp.dtype("float32")}


def test_parameters_of_vgg16():
    """Those of torchvision's vgg16_bn, 138,365,992, without its three fully connected layers."""
    made, outputs = shapes_of(Vgg16Features(), 1, 16, 16)
    dense = (512 * 49 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 1000
    assert count(made) == 138_365_992 - dense
    assert [x.shape for x in outputs["taps"]] == [(1, 4, 4, 256), (1, 2, 2, 512), (1, 1, 1, 512)]
    assert outputs.keys() == {"taps"}


def test_taps_of_ddcolor_are_the_first_convolutions():
    """Before BatchNorm and ReLU, of conv1_1 to conv5_1; the same weights as vgg16_bn."""
    net = create_features("vgg16_bn_conv")
    made, outputs = shapes_of(net, 1, 16, 16)
    assert jax.tree.structure(made) == jax.tree.structure(shapes_of(Vgg16Features(), 1, 16, 16)[0])
    sizes = [(16, 64), (8, 128), (4, 256), (2, 512), (1, 512)]
    assert [x.shape for x in outputs["taps"]] == [(1, n, n, c) for n, c in sizes]
    rgb = photos(1, 16, 16)
    first = drawn_variables({"params": made["params"]["layer1_1"]["conv"]})["params"]
    params = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), made)
    params["params"]["layer1_1"]["conv"] = first
    tap = net.apply(params, rgb, train=False)["taps"][0]
    x = (np.asarray(rgb) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    at = (x[0, 4:7, 6:9, :, None] * np.asarray(first["kernel"])).sum((0, 1, 2)) + first["bias"]
    np.testing.assert_allclose(tap[0, 5, 7], at, atol=1e-4)
    assert tap.min() < 0


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [("vgg16_bn", {}, (15, 32)), ("classifier", {"num_classes": 2}, (8, 7))],
)
def test_smaller_photos_are_refused(name, options, size):
    with pytest.raises(RequestError, match=f"{name} .* at least .* px, not {size[1]}x{size[0]}"):
        shapes_of(create_features(name, **options), 1, *size)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet", {}, "known: classifier, lite0, vgg16_bn, vgg16_bn_conv"),
        ("classifier", {}, "num_classes"),
        ("classifier", {"num_classes": 2, "wide": 1}, "wide"),
        ("classifier", {"num_classes": 0}, "features.num_classes must be above 0, not 0"),
        ("classifier", {"num_classes": 2, "width": 0.0}, "features.width must be above 0, not 0.0"),
        ("vgg16_bn", {"num_classes": 2}, "num_classes"),
    ],
)
def test_wrong_options_are_named(name, options, message):
    with pytest.raises(RequestError, match=message) as caught:
        create_features(name, **options)
    assert str(caught.value).isprintable()
