"""Tiled prediction and the combination of tiles."""

import tracemalloc
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.synthetic import synthetic_images

from colorjax import color, methods, models
from colorjax.data.edges import EdgeDetector
from colorjax.data.targets import TargetEncoder
from colorjax.errors import RequestError
from colorjax.inference import tiling
from colorjax.inference.chroma import Chroma
from colorjax.inference.colorizer import Colorizer, Options
from colorjax.inference.engines.jax import JaxEngine
from colorjax.inference.tiling import Tiling, hann, predict_tiles, seam, tile_starts
from colorjax.inference.working_size import WorkingSize
from colorjax.methods import Method
from configs import edge_fusion, iizuka, plain_cnn, unet, zhang16, zhang17


class MeanMethod:
    """Colors every picture by its mean gray value: tiles differ, with known results."""

    takes_hints = False
    global_size = None
    predicts_lightness = False
    encode = TargetEncoder()
    saturation, decode, bin_bias, bin_temperature = 1.0, "ab", (), 1.0
    network = SimpleNamespace(
        inputs=frozenset({"gray"}),
        outputs=frozenset({"ab"}),
        size_multiple=4,
        fixed_size=None,
        fit="pad",
    )

    def predict_shown(self, variables, fields):
        mean = jnp.mean(fields["gray"], axis=(1, 2, 3), keepdims=True)
        ab = jnp.concatenate([50 * mean, -30 * mean], axis=-1)
        return jnp.broadcast_to(ab, (*fields["gray"].shape[:3], 2))


MEANS = JaxEngine(MeanMethod(), {})


def working(height, width):
    return min(height, 8), min(width, 8)


def combined(gray, tile, stride, rule, **more):
    return predict_tiles(MEANS, gray, Tiling(tile, stride, rule, **more), working, {})


@pytest.mark.parametrize(
    ("length", "tile", "stride", "expected"),
    [
        (100, 40, 40, [0, 40, 60]),
        (80, 40, 40, [0, 40]),
        (100, 40, 20, [0, 20, 40, 60]),
        (40, 40, 10, [0]),
        (7, 40, 10, [0]),
        (41, 40, 40, [0, 1]),
    ],
)
def test_tiles_cover_a_side(length, tile, stride, expected):
    assert tile_starts(length, tile, stride) == expected


def test_hann_trusts_the_middle():
    window = hann((4, 8))
    assert window.shape == (4, 8)
    assert window.min() > 0
    np.testing.assert_allclose(
        window[1, 3], (np.sin(np.pi * 1.5 / 4) * np.sin(np.pi * 3.5 / 8)) ** 2, rtol=0.01
    )
    assert window[0, 0] < 0.1 * window[1, 3]


GRAY = np.linspace(-0.5, 1, 16, dtype=np.float32)[None].repeat(8, 0)  # 8x16
LEFT, RIGHT = GRAY[:, :8].mean(), GRAY[:, 8:].mean()
MIDDLE = GRAY[:, 4:12].mean()


@pytest.mark.parametrize(
    ("rule", "expected"),  # of a in columns 5 and 10: tiles at 0, 4 and 8
    [
        ("average", ((LEFT + MIDDLE) / 2, (MIDDLE + RIGHT) / 2)),
        ("maximum", (MIDDLE, RIGHT)),
        ("none", (MIDDLE, RIGHT)),
        ("max_chroma", (max(LEFT, MIDDLE, key=abs), RIGHT)),
    ],
)
def test_overlaps_are_combined_as_the_rule_says(rule, expected):
    result = combined(GRAY, (8, 8), (8, 4), rule)
    assert result.shape == (8, 16, 2)
    np.testing.assert_allclose(result[3, [5, 10], 0], 50 * np.array(expected), rtol=1e-3, atol=1e-3)


def test_hann_is_the_weighted_mean():
    window = hann((8, 8))[3]
    result = combined(GRAY, (8, 8), (8, 4), "hann")[3, 5, 0]
    expected = (window[5] * LEFT + window[1] * MIDDLE) / (window[5] + window[1])
    np.testing.assert_allclose(result, 50 * expected, rtol=1e-3)


def test_the_maximum_may_be_negative():
    result = combined(np.full((8, 24), -0.5, np.float32), (8, 8), (8, 8), "maximum")
    np.testing.assert_allclose(result[..., 0], -25, rtol=1e-3)
    np.testing.assert_allclose(result[..., 1], 15, rtol=1e-3)


@pytest.mark.parametrize("rule", ["hann", "none"])
def test_sizes_come_back(rule):
    for height in range(1, 65, 7):
        for width in (1, 8, 9, 33, 64):
            gray = np.zeros((height, width), np.float32)
            assert combined(gray, (16, 24), (8, 12), rule).shape == (height, width, 2)


@pytest.mark.slow
def test_every_size_comes_back():
    odd = np.random.default_rng(0).integers(200, 1000, (10, 2)) * 2 + 1
    every = [(height, width) for height in range(1, 65) for width in range(1, 65)]
    for height, width in [*every, *odd]:
        gray = np.zeros((height, width), np.float32)
        tile = (16, 24) if height < 65 else (160, 256)
        result = combined(gray, tile, (tile[0] // 2, tile[1] // 2), "hann")
        assert result.shape == (height, width, 2)


def test_blended_tiles_have_no_seam_and_pasted_ones_have():
    gray = np.random.default_rng(0).uniform(-1, 1, (64, 96)).astype(np.float32)
    gray += np.linspace(-1, 1, 96, dtype=np.float32)
    pasted = combined(gray, (32, 32), (32, 32), "none")
    blended = combined(gray, (32, 32), (8, 8), "hann")
    assert seam(pasted, 32, 32) > 5
    assert 0.5 < seam(blended, 32, 8) < 1.5


def test_global_colors_take_the_low_frequencies():
    gray = np.linspace(-1, 1, 128, dtype=np.float32)[None].repeat(64, 0)
    local = combined(gray, (32, 32), (16, 16), "hann")
    kept = combined(gray, (32, 32), (16, 16), "hann", keeps_global=True)
    whole = 50 * gray.mean()
    assert np.ptp(local[32, :, 0]) > 60
    assert np.ptp(kept[32, :, 0]) < 10
    np.testing.assert_allclose(kept[..., 0].mean(), whole, atol=1)


def test_huge_photos_meet_on_a_smaller_canvas(monkeypatch):
    monkeypatch.setattr(tiling, "_MOST_PIXELS", 32 * 48)
    result = combined(np.zeros((64, 96), np.float32), (16, 16), (16, 16), "hann")
    assert result.shape == (32, 48, 2)


@pytest.mark.parametrize("exactly", [False, True])
def test_the_memory_of_tiles_is_that_of_the_canvas(colorizer, exactly, monkeypatch):
    """Peak memory of NumPy, besides the photo itself."""
    monkeypatch.setattr(tiling, "_MOST_PIXELS", 2**17)
    monkeypatch.setattr(tiling, "_EXACT_CORE", 64)
    monkeypatch.setattr(colorizer._engine, "colors", blank)
    gray = np.zeros((1500, 2000), np.float32)
    fields = colorizer._engine.fields(gray)
    tracemalloc.start()
    try:
        if exactly:
            result = tiling.predict_exactly(colorizer._engine, fields)
        else:
            rule = Tiling((200, 200), (100, 100), keeps_global=True)
            result = predict_tiles(colorizer._engine, gray, rule, working, {})
        of_tiles = tracemalloc.get_traced_memory()[1]
        Chroma(result, gray.shape).guide(gray)
        of_all = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    canvas = result.shape[0] * result.shape[1]
    assert canvas <= 1.01 * 2**17
    plane = 4 * canvas  # bytes; the photo has 23 of them
    assert max(of_tiles, of_all) < 12 * plane


def blank(fields):
    return np.ones((*fields["gray"].shape[:3], 2), np.float32)


@pytest.fixture(scope="module")
def bins(zhang16_workdir):
    return Colorizer.load(zhang16_workdir)


def test_one_tile_of_shares_is_the_annealed_mean(bins):
    predictor = bins._engine
    gray = synthetic_images(1, 32)[0][..., 0].astype(np.float32) / 127.5 - 1
    result = predict_tiles(
        predictor, gray, Tiling((32, 32), (32, 32), "distribution"), lambda h, w: (h, w), {}
    )
    shares = predictor.distribution(predictor.fields(gray), (8, 8))[0]
    np.testing.assert_allclose(shares.sum(-1), 1, rtol=1e-4)
    expected = color.annealed_mean(np.log(shares), temperature=predictor.method.network.temperature)
    np.testing.assert_allclose(result[2::4, 2::4], expected, atol=8)  # upsampled between cells
    assert result.shape == (32, 32, 2)


def test_distributions_are_averaged_before_the_mean(bins):
    gray = synthetic_images(1, 48)[0][..., 0].astype(np.float32) / 127.5 - 1
    result = predict_tiles(
        bins._engine, gray, Tiling((32, 32), (16, 16), "distribution"), lambda h, w: (h, w), {}
    )
    assert result.shape == (48, 48, 2)
    assert np.isfinite(result).all()


def test_methods_without_bins_have_none_to_combine():
    with pytest.raises(RequestError, match="no distribution over bins"):
        combined(GRAY, (8, 8), (8, 8), "distribution")


def test_semantic_in_tiles_is_combined_by_its_bins(semantic_workdir):
    loaded, photo = Colorizer.load(semantic_workdir), synthetic_images(1, 48)[0]
    tiles = Tiling((32, 32), (16, 16), "distribution")
    result = loaded.colorize(photo, tiling=tiles)
    assert result.shape == photo.shape
    assert np.ptp(result, axis=-1).max() > 0


@pytest.mark.parametrize(
    ("tile", "stride", "rule", "says"),
    [
        ((4, 4), (4, 4), "hann", "sides of at least 8 px"),
        ((16, 16), (16, 17), "hann", "stride from 1 px to its side"),
        ((16, 16), (0, 8), "hann", "stride from 1 px"),
        ((16, 16), (8, 8), "mean", "known: average"),
    ],
)
def test_wrong_tiles(tile, stride, rule, says):
    with pytest.raises(RequestError, match=says):
        Tiling(tile, stride, rule)


def exact_and_whole(colorizer, shape, monkeypatch, core=32):
    """Returns predictions of one picture at its own size, tiled and untiled."""
    monkeypatch.setattr(tiling, "_EXACT_CORE", core)
    rng = np.random.default_rng(1)
    fields = colorizer._engine.fields(rng.uniform(-1, 1, shape).astype(np.float32))
    result = tiling.predict_exactly(colorizer._engine, fields)
    return result, colorizer._engine.colors(fields)[0]


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (models.create("semantic", encoder="tiny"), "depends on the whole photo; give --tile WxH"),
        (models.create("plain_cnn", variant="dense"), "128x128 px only; give --tile WxH"),
    ],
)
def test_exact_tiles_of_networks_that_cannot_be_cut(network, says):
    method = Method(network, None, TargetEncoder(), EdgeDetector(), image_size=128)
    with pytest.raises(RequestError, match=says):
        tiling.predict_exactly(JaxEngine(method, {}), {})


@pytest.mark.parametrize("shape", [(150, 203), (40, 260)])
def test_exact_tiles_change_nothing(colorizer, shape, monkeypatch):
    result, whole = exact_and_whole(colorizer, shape, monkeypatch)
    assert result.shape == (*shape, 2)
    np.testing.assert_allclose(result, whole, atol=1e-4)


def test_exact_tiles_of_huge_photos_are_made_smaller(colorizer, monkeypatch):
    whole = exact_and_whole(colorizer, (96, 128), monkeypatch)[1]
    monkeypatch.setattr(tiling, "_MOST_PIXELS", 48 * 64)
    result = exact_and_whole(colorizer, (96, 128), monkeypatch)[0]
    assert result.shape == (48, 64, 2)
    cells = whole.reshape(48, 2, 64, 2, 2).mean((1, 3))
    assert np.abs(result - cells).mean() < 0.2 * np.abs(whole - whole.mean((0, 1))).mean()


def support(network_config):
    """Returns the distance in pixels at which an input affects a color: by positive gradients."""
    method = methods.build(network_config, with_loss=False)
    shapes = jax.eval_shape(method.init, jax.random.key(0))

    def positive(path, leaf):
        name = path[-1].key
        if name == "kernel":
            return jnp.full(leaf.shape, 1 / np.prod(leaf.shape[:-1]), leaf.dtype)
        if name == "centers":
            return jnp.linspace(0.1, 1, leaf.size, dtype=leaf.dtype).reshape(leaf.shape)
        return jnp.full(leaf.shape, float(name in ("scale", "var")), leaf.dtype)

    variables = jax.tree_util.tree_map_with_path(positive, shapes)
    reach = method.network.reach
    side = -(-(2 * reach + 64) // method.network.size_multiple) * method.network.size_multiple
    at = side // 2 // method.network.size_multiple * method.network.size_multiple
    blank = {name: jnp.ones((1, side, side, depth)) for name, depth in CHANNELS.items()}
    if method.global_size:
        blank["global_gray"] = jnp.ones((1, method.global_size, method.global_size, 1))

    def total(gray):
        inputs = method._inputs(blank | {"gray": gray})
        outputs = method.network.apply(variables, inputs, train=False)
        result = outputs.get("logits", outputs["ab"])
        scale = side // result.shape[1]
        here = slice(at // scale, max(at // scale + 1, (at + 8) // scale))
        return result[:, here, here].sum()

    slopes = np.asarray(jax.grad(total)(jnp.ones((1, side, side, 1))))[0, ..., 0]
    moved = np.abs(slopes).max(0).nonzero()[0]
    return reach, max(at - moved[0], moved[-1] - at - 7) + 4  # the upsampling after the logits


CHANNELS = {"edges": 1, "hint_ab": 2, "hint_mask": 1}
NETWORKS = [
    (plain_cnn, "size=32"),
    (unet, "width=0.1,size=64"),
    (iizuka, "width=0.125,size=64"),
    (edge_fusion, "width=0.125,size=64"),
    (edge_fusion, "width=0.125,size=64,global_branch=iizuka"),
    (zhang16, "width=0.125,size=64"),
    (zhang17, "width=0.125,size=64"),
]


@pytest.mark.slow
@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize(("module", "arg"), NETWORKS)
def test_networks_see_no_farther_than_they_say(module, arg, added):
    config = module.get_config(arg)
    with config.unlocked():
        config.model.add_layer = added
    reach, result = support(config)
    assert result <= reach


@pytest.mark.slow
@pytest.mark.parametrize("module", [iizuka, edge_fusion])
def test_networks_padded_as_keras_see_no_farther_than_they_say(module):
    config = module.get_config("width=0.125,size=64")
    config.model.stride_padding = "after"
    reach, result = support(config)
    assert result <= reach


def test_a_halo_is_needed(colorizer, monkeypatch):
    monkeypatch.setattr(type(colorizer._engine.method.network), "reach", 4)
    result, whole = exact_and_whole(colorizer, (150, 203), monkeypatch)
    assert np.abs(result - whole).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    "fixture", ["zhang16_workdir", "zhang17_workdir", "iizuka_workdir", "edge_fusion_workdir"]
)
def test_exact_tiles_of_every_network_change_nothing(fixture, request, monkeypatch):
    loaded = Colorizer.load(request.getfixturevalue(fixture))
    shape = (500, 725) if "zhang" in fixture else (203, 300)
    result, whole = exact_and_whole(loaded, shape, monkeypatch)
    np.testing.assert_allclose(result, whole, atol=1e-4 * max(1, np.abs(whole).max()))


def test_the_colorizer_applies_tiles(colorizer):
    photo = synthetic_images(1, 90)[0]
    plain = colorizer.colorize(photo)
    for options in (
        {"tiling": Tiling((32, 32), (16, 16), "average")},
        {"tiling": Tiling((64, 64), (32, 32), "hann", keeps_global=True)},
        {"tiling": "exact"},
    ):
        result = colorizer.colorize(photo, **options)
        assert result.shape == photo.shape
        assert not np.array_equal(result, plain)
        light = [color.rgb_u8_to_lab(picture)[..., 0] for picture in (photo, result)]
        assert np.abs(light[0] - light[1]).max() <= 100 / 255


def test_options_that_exclude_each_other():
    with pytest.raises(RequestError, match="quality best is for whole photos"):
        Options(quality="best", tiling="exact")
    with pytest.raises(RequestError, match="hints are for whole photos"):
        Options([(1, 1, "#ff0000")], tiling=Tiling((8, 8), (8, 8)))
    with pytest.raises(RequestError, match="strength must be from 0 to 1"):
        Options(strength=1.2)


@pytest.mark.parametrize(
    ("aspect", "photo", "expected", "padded"),
    [
        ("short", (300, 400), (64, 88), (64, 88)),
        ("long", (300, 400), (48, 64), (48, 64)),
        ("squash", (300, 400), (64, 64), (64, 64)),
        ("pad_square", (400, 300), (64, 48), (64, 64)),
        ("long", (10, 4000), (16, 64), (16, 64)),
    ],
)
def test_aspects(aspect, photo, expected, padded):
    size = WorkingSize(64, 8, is_fixed=False, aspect=aspect)
    assert size.of(*photo) == expected
    fields = size.pad({"gray": np.zeros((1, *expected, 1))})
    assert fields["gray"].shape[1:3] == padded
    assert size.cut(np.zeros((*padded, 2)), expected).shape[:2] == expected


def test_a_folder_of_mixed_sizes_has_a_handful_of_shapes():
    rng = np.random.default_rng(0)
    size = WorkingSize(256, 8, is_fixed=False)
    shapes = {size.of(*rng.integers(1000, 2000, 2)) for _ in range(1000)}
    assert len(shapes) <= 17
