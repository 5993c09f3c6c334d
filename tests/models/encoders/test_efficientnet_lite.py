import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from colorjax.errors import RequestError
from colorjax.models.encoders import efficientnet_lite as encoders
from colorjax.models.encoders.efficientnet_lite import EfficientNetLite


def draw(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, shape), jnp.float32)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.fixture(scope="module")
def variables():
    """Fresh variables; the shapes need no compilation."""
    blank = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    shapes = jax.eval_shape(EfficientNetLite().init, jax.random.key(0), blank)
    rng = np.random.default_rng(0)
    flat = {}
    for path, leaf in traverse_util.flatten_dict(shapes).items():
        if path[-1] == "kernel":
            fan_in = np.prod(leaf.shape[:-1])
            flat[path] = rng.normal(size=leaf.shape, scale=np.sqrt(2 / fan_in)).astype(np.float32)
        else:
            fill = 1 if path[-1] in ("scale", "var") else 0
            flat[path] = np.full(leaf.shape, fill, np.float32)
    return traverse_util.unflatten_dict(flat)


# Lite0's as published; the others counted in efficientnet_lite_pytorch's module.
@pytest.mark.parametrize(
    ("variant", "total", "body", "head", "channels", "blocks"),
    [
        ("lite0", 4_652_008, 2_958_848, 412_160, (16, 24, 40, 112, 320), 16),
        ("lite1", 5_416_680, 3_723_520, 412_160, (16, 24, 40, 112, 320), 21),
        ("lite2", 6_092_072, 4_357_952, 453_120, (16, 24, 48, 120, 352), 21),
    ],
)
def test_parameters_and_channels(variant, total, body, head, channels, blocks):
    network = EfficientNetLite(variant, num_classes=1000)
    blank = jax.ShapeDtypeStruct((2, 65, 32, 3), jnp.float32)
    outputs, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), blank)
    params = dict(variables["params"])
    assert count(params) == total
    assert count(params.pop("head")) == head
    assert count(params.pop("classifier")) == 1_281_000
    assert count(params) == body
    assert set(params) == {"stem", *(f"block{i}" for i in range(blocks))}
    assert network.channels == encoders.channels(variant) == channels
    sides = [(33, 16), (17, 8), (9, 4), (5, 2), (3, 1)]  # of strides 2 to 32, rounded up
    expected = [(2, *side, features) for side, features in zip(sides, channels, strict=True)]
    assert [output.shape for output in outputs] == [*expected, (2, 1000)]


def test_gray_photos_become_three_equal_channels():
    lightness = np.array([0.0, 53.585, 100.0])  # of the sRGB values 0, 128 and 255
    expected = (np.array([0, 128, 255]) - 127) / 128
    gray = jnp.asarray(lightness / 50 - 1, jnp.float32).reshape(1, 1, 3, 1)
    actual = encoders.normalize(gray)
    np.testing.assert_allclose(actual, np.repeat(expected, 3).reshape(1, 1, 3, 3), atol=1e-4)


def test_frozen_blocks_get_no_gradient(variables):
    network = EfficientNetLite(frozen_blocks=5)

    def loss(params, rgb):
        maps = network.apply({**variables, "params": params}, rgb, train=True)
        return sum(jnp.sum(jnp.sin(x)) for x in maps)

    gradients = jax.jit(jax.grad(loss))(variables["params"], draw(2, 32, 32, 3))
    frozen = ("stem", "block0", "block1", "block2", "block3", "block4")
    assert encoders.frozen_layers("lite0", 5) == frozen
    assert encoders.frozen_layers("lite0", 0) == ()
    for path, gradient in traverse_util.flatten_dict(gradients).items():
        assert bool(jnp.any(gradient != 0)) == (path[0] not in frozen), path


def test_batch_norm_moves_only_what_is_not_frozen(variables):
    rgb = draw(2, 32, 32, 3)
    before = traverse_util.flatten_dict(variables["batch_stats"])
    for norm, frozen in (("frozen", before), ("batch", encoders.frozen_layers("lite0", 2))):
        network = EfficientNetLite(norm=norm, frozen_blocks=2)
        _, updated = jax.jit(
            lambda v, x, network=network: network.apply(v, x, train=True, mutable=["batch_stats"])
        )(variables, rgb)
        for path, value in traverse_util.flatten_dict(updated["batch_stats"]).items():
            stays = norm == "frozen" or path[0] in frozen
            assert bool(jnp.all(value == before[path])) == stays, (norm, path)


def test_estimated_statistics_are_those_of_all_photos(variables):
    batches = [draw(3, 32, 32, 3, seed=seed) + seed for seed in range(2)]
    network = EfficientNetLite()
    actual = encoders.estimate_statistics(network, variables, batches)
    kernel = np.asarray(variables["params"]["stem"]["kernel"])
    padded = np.pad(np.concatenate(batches), ((0, 0), (0, 1), (0, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2]
    outputs = np.einsum("nhwcij,ijco->nhwo", windows, kernel)
    np.testing.assert_allclose(actual["stem"]["mean"], outputs.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(actual["stem"]["var"], outputs.var((0, 1, 2)), rtol=1e-4)
    assert jax.tree.structure(actual) == jax.tree.structure(dict(variables["batch_stats"]))
    with pytest.raises(ValueError, match="at least one batch"):
        encoders.estimate_statistics(network, variables, [])


def test_wrong_requests_name_the_known_ones(variables):
    with pytest.raises(RequestError, match="unknown encoder 'b7'; known: lite0, lite1, lite2"):
        encoders.channels("b7")
    with pytest.raises(RequestError, match="unknown norm 'none'; known: batch, frozen"):
        EfficientNetLite(norm="none").apply(variables, draw(1, 32, 32, 3))
    with pytest.raises(ValueError, match="frozen_blocks must be 0 to 16 for lite0, got 17"):
        encoders.frozen_layers("lite0", 17)
