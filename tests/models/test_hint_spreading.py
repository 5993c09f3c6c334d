"""Hint spreading by features: the core, and the feature layers of networks."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from colorjax import models
from colorjax.color.hint_spreading import GUIDE_KEYS, Keys, spread_hints
from colorjax.models import hint_spreading
from colorjax.models.hint_spreading import Keyed, feature_keys

RNG = np.random.default_rng(3)
SIZE = (6, 9)
AB = RNG.normal(0, 20, (*SIZE, 2)).astype(np.float32)
FEATURES = [
    RNG.normal(0.5, 1, (1, *SIZE, 5)).astype(np.float32),
    RNG.normal(0.5, 1, (1, *SIZE, 3)).astype(np.float32),
]
LIGHTNESS = RNG.uniform(0, 100, SIZE).astype(np.float32)
CELLS = np.array([(1, 2), (4, 7), (1, 3), (0, 0)])
HINT_AB = RNG.normal(0, 40, (4, 2)).astype(np.float32)
VALID = np.array([True, True, True, False])
SPREAD = jax.jit(spread_hints)


def keys_of(features):
    return Keys(np.asarray(feature_keys([jnp.asarray(x) for x in features], SIZE))[0])


GUIDE = RNG.normal(0, 0.3, (*SIZE, GUIDE_KEYS + 2)).astype(np.float32)


@pytest.mark.parametrize("guide", [None, GUIDE], ids=["fixed", "learned"])
def test_the_correction_is_the_equation_written_out(guide):
    t, s, width = 0.7, 0.4, 0.25
    actual = SPREAD(
        AB,
        keys_of(FEATURES)._replace(guide=guide),
        LIGHTNESS,
        CELLS,
        HINT_AB,
        VALID,
        temperature=t,
        distance=s,
        lightness_width=width,
    )

    def cosine(i, j):
        pairs = [(x[0][i].astype(float), x[0][j].astype(float)) for x in FEATURES]
        return np.mean([p @ q / np.linalg.norm(p) / np.linalg.norm(q) for p, q in pairs])

    positions = list(np.ndindex(SIZE))
    mean = np.mean([1 - cosine(i, j) for i in positions for j in positions])
    wanted = np.zeros((*SIZE, 2))
    for i in positions:
        weights = []
        for j in map(tuple, CELLS[VALID]):
            d = np.hypot(i[0] - j[0], i[1] - j[1]) / 6
            step = (float(LIGHTNESS[i]) - LIGHTNESS[j]) / 100
            unlike = ((1 - cosine(i, j)) / (t * mean)) ** 2
            if guide is not None:
                q = guide[..., :GUIDE_KEYS].astype(float)
                unlike = unlike * np.exp(float(guide[i][-2])) + ((q[i] - q[j]) ** 2).sum()
            weights.append(np.exp(-unlike - d**2 / (2 * s**2) - step**2 / (2 * width**2)))
        w = np.array(weights)
        odds = w / (1 + 1e-6 - np.minimum(w, 1))
        delta = HINT_AB[VALID] - AB[tuple(CELLS[VALID].T)]
        confidence = w.max() ** (1 if guide is None else np.exp(float(guide[i][-1])))
        wanted[i] = (odds[:, None] * delta).sum(0) / odds.sum() * confidence
    np.testing.assert_allclose(actual, wanted, atol=0.02)
    assert np.abs(wanted).max() > 10


def test_each_hint_has_its_color_at_its_own_cell_though_others_are_near():
    actual = AB + np.asarray(SPREAD(AB, keys_of(FEATURES), LIGHTNESS, CELLS, HINT_AB, VALID))
    np.testing.assert_allclose(actual[tuple(CELLS[VALID].T)], HINT_AB[VALID], atol=0.05)
    none = np.zeros(4, bool)
    assert not np.asarray(SPREAD(AB, keys_of(FEATURES), LIGHTNESS, CELLS, HINT_AB, none)).any()


def test_alike_regions_far_away_follow_and_unlike_ones_near_do_not():
    """Stripes of two materials, of one lightness: the hint is on the first of the third kind."""
    kind = np.arange(32)[None] // 4 % 2 * np.ones((16, 1), int)
    features = np.eye(4, dtype=np.float32)[kind] + RNG.normal(0, 0.1, (16, 32, 4))
    keys = Keys(np.asarray(feature_keys([jnp.asarray(features[None], jnp.float32)], (16, 32)))[0])
    flat = np.full((16, 32), 50, np.float32)
    ab = np.zeros((16, 32, 2), np.float32)
    cell = np.array([[8, 6]])  # of kind 1, columns 4 to 7
    actual = np.asarray(SPREAD(ab, keys, flat, cell, np.array([[40.0, 0]]), np.array([True])))[
        ..., 0
    ]
    assert actual[:, 4:8].min() > 25
    assert actual[8, 12:16].min() > 25  # similar, half the side away
    assert actual[:, 8:12].max() < 4  # dissimilar, adjacent
    assert actual[:, :4].max() < 4


def test_hints_that_are_not_there_change_nothing():
    few = SPREAD(AB, keys_of(FEATURES), LIGHTNESS, CELLS[:2], HINT_AB[:2], VALID[:2])
    padded = SPREAD(AB, keys_of(FEATURES), LIGHTNESS, CELLS, HINT_AB, np.arange(4) < 2)
    np.testing.assert_allclose(few, padded, atol=1e-4)


@pytest.mark.parametrize("valid", [[True, True, True], [True, False, False], [False] * 3])
def test_gradients_are_finite_where_no_hint_reaches(valid):
    """Guides so far apart that all weights but those at the hints are 0 in float32."""
    guide = jnp.zeros((*SIZE, GUIDE_KEYS + 2)).at[..., 0].set(100 * RNG.normal(size=SIZE))
    cells = jnp.array([[0, 0], [0, 0], [1, 1]])  # two at the same position

    def total(guide):
        keys = keys_of(FEATURES)._replace(guide=guide)
        actual = spread_hints(AB, keys, LIGHTNESS, cells, HINT_AB[:3], jnp.array(valid))
        return jnp.sum(jnp.square(actual))

    value, gradient = jax.value_and_grad(total)(guide)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert (value > 0) == any(valid)


def test_a_photo_that_is_alike_everywhere_gets_no_nan():
    keys = Keys(feature_keys([jnp.ones((1, *SIZE, 3))], SIZE)[0])
    actual = np.asarray(SPREAD(AB, keys, np.full(SIZE, 50.0), CELLS, HINT_AB, VALID))
    assert np.isfinite(actual).all()


def test_keys_are_of_length_one_and_their_product_is_the_mean_cosine():
    coarse = RNG.normal(0, 1, (2, 3, 4, 7)).astype(np.float32)
    fine = RNG.normal(0, 1, (2, *SIZE, 5)).astype(np.float32)
    keys = np.asarray(feature_keys([jnp.asarray(fine), jnp.asarray(coarse)], SIZE))
    assert keys.shape == (2, *SIZE, 12)
    np.testing.assert_allclose(np.linalg.norm(keys, axis=-1), 1, atol=1e-4)


ZOO = {
    "zhang16": {"width": 0.125},
    "unet": {"width": 0.125},
    "iizuka": {"width": 0.125, "global_size": 32},
    "edge_fusion": {"width": 0.125, "global_size": 32, "edges": "off"},
    "plain_cnn": {"filters": (8,) * 7},
}
SHAPES = [("unet", {"width": 0.125, "layout": layout}) for layout in ("dcgan", "places")] + [
    ("plain_cnn", {"filters": (8, 8, 8), "strides": (1, 2)}),
    ("plain_cnn", {"filters": (8, 8), "strides": (1,)}),
    ("plain_cnn", {"variant": "dense"}),
    ("edge_fusion", ZOO["edge_fusion"] | {"global_branch": "iizuka"}),
]


@pytest.mark.parametrize(("name", "options"), [*ZOO.items(), *SHAPES])
def test_networks_show_their_features_and_predict_as_before(name, options):
    network = models.create(name, **options)
    side = network.fixed_size or (128 if options.get("layout") == "places" else 32)
    inputs = {"gray": jnp.asarray(RNG.uniform(-1, 1, (1, side, side, 1)), jnp.float32)}
    variables = jax.eval_shape(
        lambda key: network.init(key, inputs, train=False), jax.random.key(0)
    )
    actual = jax.eval_shape(lambda v: Keyed(network).apply(v, inputs, train=False), variables)
    plain = jax.eval_shape(lambda v: network.apply(v, inputs, train=False), variables)
    assert actual["hint_keys"].features.shape[:3] == (1, side // 4, side // 4)
    assert actual["hint_keys"].features.shape[3] >= 8
    assert actual.keys() - {"hint_keys"} == plain.keys()
    maps = hint_spreading.feature_layers(network)
    assert all(isinstance(path, str) for path in maps)
    assert len(maps) in (1, 2)


def test_zhang17_has_an_input_instead():
    assert "hint_ab" in models.create("zhang17").inputs
    assert hint_spreading.feature_layers(models.create("zhang17")) == ()


class Misnamed(nn.Module):
    feature_layers = ("absent",)

    @nn.compact
    def __call__(self, inputs, *, train):
        return {"ab": nn.Conv(2, (1, 1))(inputs["gray"])}


def test_a_layer_that_is_not_there_is_named():
    inputs = {"gray": jnp.zeros((1, 8, 8, 1))}
    variables = Misnamed().init(jax.random.key(0), inputs, train=False)
    with pytest.raises(ValueError, match="'absent'"):
        Keyed(Misnamed()).apply(variables, inputs, train=False)
