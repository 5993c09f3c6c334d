"""Canny's edges against scikit-image, and the same edges in every batch."""

import contextlib

import numpy as np
import pytest
from helpers.synthetic import tiny_config
from skimage.color import rgb2lab
from skimage.feature import canny

from colorjax.data import pipeline
from colorjax.data.edges import EdgeDetector
from colorjax.data.sources.source import FolderSource, read_sample
from colorjax.data.targets import TargetEncoder
from colorjax.errors import RequestError
from configs import default, edge_fusion

WANTED = frozenset({"gray", "edges"})


@pytest.fixture(scope="module")
def lightness():
    """L of a photo, 0 to 100."""
    return rgb2lab(read_sample("astronaut.png"))[..., 0]


def detected(lightness, **options):
    gray = (lightness / 50 - 1)[..., None].astype(np.float32)
    return EdgeDetector(**options)(gray)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_edges_are_those_of_scikit_image(lightness, scale):
    edges = detected(lightness, scale=scale)
    assert edges.shape == (512, 512, 1)
    assert edges.dtype == np.uint8
    assert set(np.unique(edges)) == {0, 1}
    expected = canny(lightness / 100 * scale, 1.0, 0.1, 0.2)  # what is 0.1 and 0.2 by default
    np.testing.assert_array_equal(expected, canny(lightness / 100 * scale))
    # The network's gray is float32, the other float64: a gradient at a threshold may differ.
    assert np.mean(edges[..., 0] != expected) < 1e-4


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({"sigma": 2.0}, (2.0, 0.1, 0.2)),
        ({"low": 0.15, "high": 0.3}, (1.0, 0.15, 0.3)),
        ({"low": 0.05}, (1.0, 0.05, 0.2)),
    ],
)
def test_its_numbers_are_cannys(lightness, options, arguments):
    edges = detected(lightness, **options)[..., 0]
    assert np.mean(edges != canny(lightness / 100, *arguments)) < 1e-4
    assert np.mean(edges != detected(lightness)[..., 0]) > 1e-3


def test_the_scale_of_the_original_lets_nearly_every_gradient_pass(lightness):
    """21.9 % of a crop of the astronaut are edges, against 9.1 % of L / 100."""
    crop = lightness[:256, :256]
    shares = [detected(crop, scale=scale).mean() for scale in (100.0, 1.0)]
    np.testing.assert_allclose(shares, [0.219, 0.091], atol=5e-4)
    assert detected(lightness, scale=100.0).mean() > 1.5 * detected(lightness).mean()


def test_configs_say_how_edges_are_found():
    assert EdgeDetector.from_config(default.get_config().data) == EdgeDetector(1.0, 1.0, 0.1, 0.2)
    assert EdgeDetector.from_config(edge_fusion.get_config().data).scale == 1.0
    assert EdgeDetector.from_config(edge_fusion.get_config("faithful").data).scale == 100.0
    data = default.get_config().data
    data.canny_scale, data.canny_sigma, data.canny_thresholds = 3.0, 2.0, (0.2, 0.4)
    assert EdgeDetector.from_config(data) == EdgeDetector(3.0, 2.0, 0.2, 0.4)


@pytest.mark.parametrize(
    "changes",
    [
        {"canny_scale": 0.0},
        {"canny_scale": float("nan")},
        {"canny_sigma": -1.0},
        {"canny_thresholds": (0.3, 0.2)},
        {"canny_thresholds": (-0.1, 0.2)},
    ],
)
def test_numbers_that_mean_nothing(changes):
    data = default.get_config().data
    data.update(changes)
    with pytest.raises(RequestError, match=next(iter(changes))):
        EdgeDetector.from_config(data)


# Batches.


@pytest.fixture
def source(photos):
    return FolderSource.open(photos, labels="folder")


def first_batch(batches):
    with contextlib.closing(batches):
        return next(batches)


def train_batch(source, data, inputs=WANTED):
    return first_batch(pipeline.train_batches(source, data, seed=3, batch_size=4, inputs=inputs))


def eval_batch(source, data, inputs=WANTED):
    return first_batch(pipeline.eval_batches(source, data, batch_size=4, inputs=inputs))


def assert_edges_of(batch, gray, scale=1.0):
    edges = batch["edges"]
    assert edges.shape == (4, 32, 32, 1)
    assert edges.dtype == np.uint8
    assert 0.01 < edges.mean() < 0.6
    for result, image in zip(edges, gray, strict=True):
        lightness = (image[..., 0] + 1) / 2
        np.testing.assert_array_equal(result[..., 0], canny(lightness * scale, 1.0, 0.1, 0.2))


@pytest.mark.parametrize("gray", ["lightness", "luma"])
@pytest.mark.parametrize("targets", ["host", "device"])
def test_batches_hold_the_edges_of_gray(source, photos, targets, gray):
    changes = {"data.targets": targets, "data.grey": gray, "data.saturation": 1.8}
    data = tiny_config(photos, **changes).data
    encode = TargetEncoder(grey=gray)
    batch = train_batch(source, data)
    assert ("gray" in batch) == (targets == "host")
    assert_edges_of(batch, batch["gray"] if targets == "host" else encode(batch["rgb"])["gray"])
    batch = eval_batch(source, data)
    assert_edges_of(batch, encode(batch["rgb"])["gray"])


@pytest.mark.parametrize("targets", ["host", "device"])
def test_edges_are_those_of_an_aged_photo(source, photos, targets):
    changes = {"data.targets": targets, "data.aged": 1.0}
    batch = train_batch(source, tiny_config(photos, **changes).data)
    assert_edges_of(batch, batch["gray"])
    plain = train_batch(source, tiny_config(photos, **{"data.targets": targets}).data)
    assert (batch["edges"] != plain["edges"]).any()


def test_batches_follow_the_numbers_of_the_config(source, photos):
    plain, scaled = (
        tiny_config(photos, **{"data.canny_scale": scale}).data for scale in (1.0, 100.0)
    )
    for make in (train_batch, eval_batch):
        batch = make(source, scaled)
        gray = batch["gray"] if "gray" in batch else TargetEncoder()(batch["rgb"])["gray"]
        assert_edges_of(batch, gray, 100.0)
        assert batch["edges"].sum() > make(source, plain)["edges"].sum()


@pytest.mark.parametrize("targets", ["host", "device"])
def test_edges_change_nothing_else(source, photos, targets):
    data = tiny_config(photos, **{"data.targets": targets}).data
    for make in (train_batch, eval_batch):
        with_edges, without = make(source, data), make(source, data, frozenset({"gray"}))
        assert with_edges.keys() - without.keys() == {"edges"}
        assert without.keys() <= with_edges.keys()
        for name, expected in without.items():
            np.testing.assert_array_equal(with_edges[name], expected, err_msg=name)


def test_padding_has_edges_of_nothing(source, photos):
    data = tiny_config(photos).data
    batches = pipeline.eval_batches(source, data, batch_size=48, inputs=WANTED)
    batch = first_batch(batches)
    assert batch["mask"].tolist() == [1] * 40 + [0] * 8
    assert not batch["edges"][40:].any()
    assert batch["edges"][:40].any()
