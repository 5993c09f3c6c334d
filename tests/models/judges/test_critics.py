"""Critics against published counts and NumPy; see test_unet_parity.py for the patch critic too."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.synthetic import drawn_variables

from colorjax.errors import RequestError
from colorjax.models.judges.critics import (
    DcganCritic,
    NoganCritic,
    PatchCritic,
    SelfAttention,
    _Convolution,
    create_critic,
)

WIDTH = 0.125


def fields(number, size, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    draws = {"color": (number, size, size, channels), "gray": (number, size, size, 1)}
    return {n: jnp.asarray(rng.uniform(-1, 1, shape), jnp.float32) for n, shape in draws.items()}


def shapes_of(net, size, channels=3, number=1):
    inputs = jax.eval_shape(lambda: fields(number, size, channels))
    init = functools.partial(net.init, train=False)
    variables = jax.eval_shape(init, jax.random.key(0), inputs)
    return variables, jax.eval_shape(functools.partial(net.apply, train=False), variables, inputs)


def count(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables))


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def normalized(x, layer, variables):
    """BatchNorm with running statistics."""
    affine = variables["params"][layer]["norm"]
    running = variables["batch_stats"][layer]["norm"]
    x = (x - running["mean"]) / np.sqrt(running["var"] + 1e-5)
    return x * affine["scale"] + affine["bias"]


def correlated(x, kernel, stride, padding):
    """Convolution as a loop over its taps."""
    size = len(kernel)
    x = np.pad(x, ((0, 0), padding, padding, (0, 0)))
    height, width = ((side - size) // stride + 1 for side in x.shape[1:3])
    return sum(
        x[:, i : i + stride * (height - 1) + 1 : stride, j : j + stride * (width - 1) + 1 : stride]
        @ kernel[i, j]
        for i in range(size)
        for j in range(size)
    )


def in_float64(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


# Sizes.


def test_parameters_of_the_patch_critic():
    variables, logits = shapes_of(create_critic("patch", size=256), 256)
    assert count(variables["params"]) == 2_767_553
    assert logits.shape == (1, 32, 32, 1)


def test_parameters_of_the_dcgans_critic():
    variables, logits = shapes_of(create_critic("dcgan", size=32), 32, number=2)
    assert count(variables["params"]) == 1_347_649
    assert count(variables) == 1_349_569  # Keras also counts the statistics of BatchNorm
    assert logits.shape == (2, 1, 1, 1)


def test_parameters_and_patches_of_deoldifys_critic():
    net = create_critic("nogan", size=64, channels=256, blocks=3)
    variables, logits = shapes_of(net, 64)
    assert logits.shape == (1, 1, 1, 1)
    for size, side in ((192, 9), (128, 5)):
        inputs = jax.eval_shape(lambda size=size: fields(1, size))
        logits = jax.eval_shape(functools.partial(net.apply, train=False), variables, inputs)
        assert logits.shape == (1, side, side, 1)
    c = 256
    blocks = sum(9 * n * n + n + 16 * n * 2 * n + 2 * n for n in (c, 2 * c, 4 * c))
    attention = 2 * c * (2 * 64 + 2 * c) + 1
    ends = 16 * 3 * c + c + 9 * (8 * c) ** 2 + 8 * c + 16 * 8 * c
    assert count(variables["params"]) == blocks + attention + ends
    assert round(count(variables["params"]), -5) == 94_600_000


def test_15_parameters_and_patches_of_ddcolors_critic():
    """Acceptance test 15 of its specification."""
    net = create_critic("ddcolor", size=256)
    assert (net.slope, net.space) == (0.0, "rgb")  # ReLU
    assert count(shapes_of(net, 64)[0]["params"]) == 5_919_617
    for size, side in ((256, 13), (128, 5), (64, 1)):
        assert shapes_of(net, size)[1].shape == (1, side, side, 1)


def test_15_ddcolors_critic_drops_nothing():
    net = create_critic("ddcolor", size=32, blocks=2, width=WIDTH)
    inputs = fields(1, 32)
    variables = drawn_variables(shapes_of(net, 32)[0])
    run = functools.partial(net.apply, variables, inputs, train=True, mutable=["batch_stats"])
    jax.eval_shape(run)  # needs no random numbers for dropout


@pytest.mark.parametrize(("blocks", "size", "side"), [(2, 32, 1), (2, 64, 5), (1, 16, 1)])
def test_fewer_blocks_take_smaller_photos(blocks, size, side):
    net = create_critic("nogan", size=size, blocks=blocks, width=WIDTH)
    assert shapes_of(net, size)[1].shape == (1, side, side, 1)
    assert net.smallest_size <= size


@pytest.mark.parametrize(
    ("norm", "spectral_norm", "attention"),
    [(True, False, False), (False, True, False), (False, False, True), (True, True, True)],
)
def test_options_of_the_patch_critic(norm, spectral_norm, attention):
    net = create_critic(
        "patch",
        size=32,
        width=WIDTH,
        norm=norm,
        spectral_norm=spectral_norm,
        attention=attention,
    )
    variables, logits = shapes_of(net, 32, channels=2, number=2)
    assert logits.shape == (2, 4, 4, 1)
    names = variables["params"].keys()
    assert ("attention" in names) == attention
    assert {"norm2", "norm3", "norm4"} & names == ({"norm2", "norm3", "norm4"} if norm else set())
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(variables)]
    sigmas = [path for path in paths if "sigma" in path]
    assert len(sigmas) == (5 + 3 * attention) * spectral_norm


@pytest.mark.parametrize("name", ["patch", "dcgan"])
def test_critics_start_and_see_gray_as_asked(name):
    """Variance of a fresh 4x4 or 2x2 kernel: Glorot's, and He's; gray scaled inside."""
    size = 4 if name == "patch" else 2
    variances = {"he": 2 / (size**2 * 32), "glorot": 2 / (size**2 * (32 + 64))}
    for start, variance in variances.items():
        net = create_critic(name, size=16, width=0.5, kernel_init=start)
        variables = net.init(jax.random.key(0), fields(1, 16), train=False)
        layer = variables["params"]["conv2"]
        kernel = np.asarray((layer if name == "dcgan" else layer["conv"])["kernel"])
        assert kernel.shape == (size, size, 32, 64)
        assert kernel.var() == pytest.approx(variance, rel=0.05)
    inputs = fields(1, 16)
    wide = create_critic(name, size=16, width=0.5, gray_range=[0.0, 255.0])
    scaled = inputs | {"gray": 255 * (inputs["gray"] + 1) / 2}
    logits = wide.apply(variables, inputs, train=False)
    np.testing.assert_allclose(logits, net.apply(variables, scaled, train=False), rtol=1e-4)
    assert float(jnp.abs(logits - net.apply(variables, inputs, train=False)).max()) > 0.1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"norm_epsilon": 0.0}, "critic.norm_epsilon"),
        ({"gray_range": (0.0,)}, "critic.gray_range"),
        ({"kernel_init": "xavier"}, "critic.kernel_init 'xavier'; known: glorot, he, lecun"),
    ],
)
def test_wrong_options_of_critics_are_named(options, says):
    with pytest.raises(RequestError, match=says):
        create_critic("patch", size=16, **options)


@pytest.mark.parametrize("name", ["patch", "dcgan"])
def test_an_unconditional_critic_sees_no_gray(name):
    net = create_critic(name, size=16, width=WIDTH, conditional=False)
    color = {"color": fields(2, 16)["color"]}
    variables = jax.eval_shape(functools.partial(net.init, train=False), jax.random.key(0), color)
    params = variables["params"]["conv1"]
    kernel = params["kernel"] if name == "dcgan" else params["conv"]["kernel"]
    assert kernel.shape[2] == 3


# Values.


def test_the_dcgans_critic_against_plain_numpy():
    net = DcganCritic(width=WIDTH, size=16)
    variables = drawn_variables(shapes_of(net, 16)[0])
    inputs = fields(3, 16)
    actual = jax.jit(functools.partial(net.apply, train=False))(variables, inputs)
    variables, inputs = in_float64((variables, inputs))
    x = np.concatenate([inputs["gray"], inputs["color"]], axis=-1)
    for number, stride in enumerate((2, 2, 2, 1), start=1):
        layer = variables["params"][f"conv{number}"]
        assert len(layer["kernel"]) == stride  # 2x2, and 1x1 at last
        x = correlated(x, layer["kernel"], stride, (0, 0)) + layer["bias"]
        x = leaky(normalized(x, f"norm{number}", variables))
    x = x.reshape(3, -1)
    for name in ("dense", "logit"):
        layer = variables["params"][name]
        x = x @ layer["kernel"] + layer["bias"]
    assert x.std() > 0.1
    np.testing.assert_allclose(np.reshape(actual, (3, 1)), x, rtol=1e-4, atol=1e-4)


def spectrally_normalized(params):
    """The kernel over its largest singular value, as a matrix with a column for each output."""
    kernel = params["kernel"]
    return kernel / np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]


def with_singular_vectors(variables):
    """Sets the vectors that power iteration would find."""

    def walk(params, stats):
        for name, part in params.items():
            if not isinstance(part, dict):
                continue  # gamma
            if "conv" in part:
                kernel = np.asarray(part["conv"]["kernel"])
                matrix = kernel.reshape(-1, kernel.shape[-1])
                vectors = np.linalg.svd(matrix, full_matrices=False)[2]
                stats[name]["spectral"]["conv/kernel/u"] = jnp.asarray(vectors[:1])
            else:
                walk(part, stats[name])

    variables = jax.tree.map(lambda x: x, variables)
    walk(variables["params"], variables["batch_stats"])
    return variables


@functools.cache
def nogan():
    net = NoganCritic(width=WIDTH, channels=64)
    return net, with_singular_vectors(drawn_variables(shapes_of(net, 32)[0]))


def test_deoldifys_critic_against_plain_numpy():
    net, variables = nogan()
    inputs = fields(2, 40)
    actual = jax.jit(functools.partial(net.apply, train=False))(variables, inputs)
    params, color = in_float64((variables["params"], inputs["color"]))

    def layer(x, name, stride, padding=(1, 1)):
        part = params[name]["conv"]
        return correlated(x, spectrally_normalized(part), stride, padding) + part.get("bias", 0)

    x = leaky(layer(color, "first", 2))
    x = leaky(layer(x, "block1_keep", 1))
    x = attended(leaky(layer(x, "block1_down", 2)), params["attention"])
    x = leaky(layer(x, "block2_keep", 1))
    x = leaky(layer(x, "block2_down", 2))
    x = leaky(layer(x, "last", 1))
    x = layer(x, "head", 1, (0, 0))
    assert actual.shape == x.shape == (2, 2, 2, 1)
    np.testing.assert_allclose(actual, x, rtol=1e-3, atol=1e-3 * x.std())


def attended(x, params, spectral=True):
    """SAGAN's attention by a loop over the pixels."""
    n, height, width, channels = x.shape

    def kernel(name):
        part = params[name]["conv"]
        return (spectrally_normalized(part) if spectral else part["kernel"])[0, 0]

    flat = x.reshape(n, -1, channels)
    queries, keys, values = (flat @ kernel(name) for name in ("query", "key", "value"))
    added = np.zeros_like(flat)
    for photo in range(n):
        for i in range(height * width):
            scores = np.array([queries[photo, i] @ key for key in keys[photo]])
            shares = np.exp(scores - scores.max())
            added[photo, i] = shares / shares.sum() @ values[photo]
    return x + params["gamma"] * added.reshape(x.shape)


def test_self_attention_starts_as_identity(key):
    x = fields(2, 6, channels=16)["color"]
    layer = SelfAttention()
    y, variables = layer.init_with_output(key, x, train=False)
    assert np.array_equal(x, y)
    assert {
        n: v["conv"]["kernel"].shape for n, v in variables["params"].items() if n != "gamma"
    } == {
        "query": (1, 1, 16, 2),
        "key": (1, 1, 16, 2),
        "value": (1, 1, 16, 16),
    }


def test_self_attention_against_a_loop(key):
    x = 2 * fields(2, 3, channels=16)["color"][:, :, :2]
    layer = SelfAttention()
    variables = layer.init(key, x, train=False)
    variables["params"]["gamma"] = jnp.float32(0.7)
    actual = layer.apply(variables, x, train=False)
    params, x = in_float64((variables["params"], x))
    wanted = attended(x, params, spectral=False)
    assert np.abs(wanted - x).max() > 0.5
    np.testing.assert_allclose(actual, wanted, atol=1e-4)


# Spectral norm.


@pytest.mark.parametrize("kernel_size", [1, 3, 4])
def test_spectral_norm_after_a_few_power_iterations(kernel_size, key):
    """Measures the effective kernel by applying it to every unit patch."""
    channels = 3
    conv = _Convolution(5, kernel_size, spectral_norm=True, use_bias=False, padding=0)
    patches = jnp.eye(kernel_size**2 * channels)
    patches = patches.reshape(-1, kernel_size, kernel_size, channels)
    variables = conv.init(key, patches, train=False)
    variables["params"]["conv"]["kernel"] *= 7.0
    train = jax.jit(functools.partial(conv.apply, train=True, mutable=["batch_stats"]))
    for _ in range(30):
        _, updated = train(variables, patches)
        variables = variables | updated
    used = np.asarray(conv.apply(variables, patches, train=False)).reshape(-1, 5)
    kernel = np.asarray(variables["params"]["conv"]["kernel"]).reshape(-1, 5)
    assert np.linalg.svd(used, compute_uv=False)[0] == pytest.approx(1, abs=1e-2)
    largest = np.linalg.svd(kernel, compute_uv=False)[0]
    assert largest > 2
    np.testing.assert_allclose(used, kernel / largest, atol=1e-2)


def test_evaluation_moves_no_singular_vectors():
    net, variables = nogan()
    inputs = fields(2, 32)
    still = jax.jit(functools.partial(net.apply, train=False, mutable=["batch_stats"]))
    other = jax.tree.map(jnp.ones_like, variables["batch_stats"])
    _, updated = still(variables | {"batch_stats": other}, inputs)
    same = jax.tree.map(np.array_equal, updated["batch_stats"], other)
    assert all(jax.tree.leaves(same))
    train = jax.jit(functools.partial(net.apply, train=True, mutable=["batch_stats"]))
    rngs = {"dropout": jax.random.key(0)}
    _, updated = train(variables | {"batch_stats": other}, inputs, rngs=rngs)
    moved = {
        path[0].key if len(path) == 3 else path[1].key: not np.allclose(leaf, 1, atol=1e-5)
        for path, leaf in jax.tree.leaves_with_path(updated["batch_stats"])
        if path[-1].key.endswith("/u")
    }
    assert len(moved) == 10
    assert [name for name in moved if not moved[name]] == ["head"]  # one output: 1 at all times


def test_the_scale_of_a_spectrally_normalized_kernel_does_not_count():
    net, variables = nogan()
    inputs = fields(2, 32)
    run = jax.jit(functools.partial(net.apply, train=False))

    def grow(path, leaf):
        return 3 * leaf if path[-1].key == "kernel" else leaf

    larger = jax.tree.map_with_path(grow, variables["params"])
    np.testing.assert_allclose(
        run(variables | {"params": larger}, inputs), run(variables, inputs), rtol=1e-4
    )


def test_deoldifys_dropout_acts_in_training_alone():
    net, variables = nogan()
    inputs = fields(2, 32)
    train = jax.jit(functools.partial(net.apply, train=True, mutable=["batch_stats"]))
    one, other, again = (
        train(variables, inputs, rngs={"dropout": jax.random.key(n)})[0] for n in (1, 2, 1)
    )
    assert np.array_equal(one, again)
    assert not np.allclose(one, other)


# Errors.


@pytest.mark.parametrize(
    ("name", "size", "options", "message"),
    [
        ("pixel", 32, {}, "known: dcgan, ddcolor, nogan, patch"),
        ("patch", 32, {"blocks": 2}, "critic patch: .*blocks"),
        ("dcgan", 32, {"norm": True}, "critic dcgan: .*norm"),
        ("nogan", 64, {"conditional": True}, "critic nogan: .*conditional"),
        ("patch", 32, {"width": 0.0}, "critic.width must be above 0, not 0.0"),
        ("patch", 4, {}, "at least 8 px, in multiples of 8, not 4"),
        ("patch", 36, {}, "multiples of 8, not 36"),
        ("dcgan", 36, {}, "multiples of 8, not 36"),
        ("nogan", 24, {}, "at least 32 px, in multiples of 8, not 24"),
        ("nogan", 32, {"blocks": 3}, "at least 64 px, in multiples of 8, not 32"),
    ],
)
def test_wrong_options_are_named(name, size, options, message):
    with pytest.raises(RequestError, match=message) as caught:
        create_critic(name, size=size, **options)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("size", [32, 64])
def test_the_dcgans_critic_has_the_size_of_the_photos(size):
    net = create_critic("dcgan", size=size, width=WIDTH)
    assert net.fixed_size == size
    assert shapes_of(net, size)[1].shape == (1, 1, 1, 1)


def test_what_they_see():
    assert [create_critic(n, size=32).space for n in ("patch", "dcgan", "nogan")] == [
        "own",
        "own",
        "rgb",
    ]


@pytest.mark.parametrize("kind", [PatchCritic, DcganCritic, NoganCritic])
def test_a_body_in_bfloat16_gives_float32(kind):
    variables, logits = shapes_of(kind(width=WIDTH, dtype=jnp.bfloat16), 32)
    assert {x.dtype for x in jax.tree.leaves((variables, logits))} == {jnp.dtype("float32")}
