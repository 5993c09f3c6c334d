"""`FeatureNetworks` with files of random weights."""

import numpy as np
import pytest
import torch
from helpers import torch_features as peer
from helpers.torch_writing import saved
from torch.nn import functional

from colorjax.errors import RequestError
from colorjax.evaluate.feature_networks import FeatureNetworks, classifier_crop
from colorjax.models.encoders.efficientnet_lite import EfficientNetLite
from colorjax.weights.torch import encoders as encoder_weights
from colorjax.weights.torch import features as feature_weights
from colorjax.weights.torch import file as torch_file

pytestmark = pytest.mark.usefixtures("optimized")

BATCHES = (1, 2, 3)


@pytest.fixture(scope="module")
def lpips_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lpips")
    trunk = saved(folder / "alexnet.pth", peer.drawn(peer.AlexNet(), None).state_dict())
    linear = saved(folder / "alex.pth", peer.linear_layers((64, 192, 384, 256, 256)))
    return trunk, linear


def in_batches(measure, size, *photos):
    pieces = (range(start, start + size) for start in range(0, len(photos[0]), size))
    return np.concatenate(
        [measure(*(x[piece.start : piece.stop] for x in photos)) for piece in pieces]
    )


def test_without_files_everything_is_absent():
    networks = FeatureNetworks.open()
    assert (networks.features, networks.lpips, networks.classes) == (None, None, None)
    assert networks.stamps == {}


def test_lpips_of_photos(lpips_files):
    """Equal to PyTorch for the same files and for any batch size; 0 for equal photos."""
    networks = FeatureNetworks.open(lpips=lpips_files, batch_size=4)
    assert networks.features is None
    assert networks.classes is None
    a, b = (peer.photos_u8(6, 64, seed) for seed in (1, 2))
    together = networks.lpips(a, b)
    assert together.shape == (6,)
    assert together.dtype == np.float32
    net = peer.drawn(peer.AlexNet(), None)
    with torch.no_grad():
        linear = peer.linear_layers((64, 192, 384, 256, 256))
        parts = peer.lpips(net, linear, *(peer.nchw(x) / 127.5 - 1 for x in (a, b)))
    assert np.allclose(together, parts.sum(0).numpy(), rtol=1e-4)
    for size in BATCHES:
        assert np.allclose(in_batches(networks.lpips, size, a, b), together, rtol=1e-4)
    assert networks.lpips(a[:1], a[:1]) < 1e-9


def test_stamps_name_the_files(lpips_files):
    stamp = FeatureNetworks.open(lpips=lpips_files).stamps["lpips"]
    assert stamp == {
        "kind": "LPIPS, linear layers of an unknown file, alex",
        "file": "alexnet.pth",
        "sha256": torch_file.sha256(lpips_files[0]),
        "published": "no file that is known",
        "linear_file": "alex.pth",
        "linear_sha256": torch_file.sha256(lpips_files[1]),
        "linear_published": "no file that is known",
    }


@pytest.fixture(scope="module")
def inception_net():
    return peer.drawn(peer.Inception(1000), peer.nchw(peer.photos_u8(4, 107)) / 127.5 - 1)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "scale"), [("pytorch-fid", ""), ("torchvision", "ct2")])
def test_features_of_photos(kind, scale, inception_net, tmp_path):
    """At the real size, loaded from a file; independent of the batch."""
    path = saved(tmp_path / "inception.pth", peer.file_of(inception_net, kind))
    networks = FeatureNetworks.open(inception=path, inception_scale=scale, batch_size=4)
    assert networks.stamps["inception"]["kind"] == kind
    assert networks.stamps["inception"]["input"] == (scale or "pytorch-fid")
    rgb_u8 = peer.photos_u8(5, 64, seed=3)
    together = networks.features(rgb_u8)
    assert together.shape == (5, 2048)
    x = functional.interpolate(peer.nchw(rgb_u8) / 255, (299, 299), mode="bilinear")
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (peer.MEAN, peer.STD))
    x = 2 * x - 1 if kind == "pytorch-fid" else x * std / 0.5 + (mean - 0.5) / 0.5
    with torch.no_grad():
        theirs = inception_net.set_pools(*peer.POOLS[kind])(x).numpy()
    assert theirs.std() > 0.1
    assert np.sqrt(np.mean((together - theirs) ** 2)) < 2e-4 * theirs.std()
    apart = in_batches(networks.features, 1, rgb_u8)
    assert np.linalg.norm(apart - together) < 1e-4 * np.linalg.norm(together)


@pytest.mark.slow
def test_classes_of_photos(tmp_path):
    """At the real widths; photos of 256 px lose 16 pixels per side."""
    net = peer.drawn(peer.Vgg16(), None)
    networks = FeatureNetworks.open(vgg16=saved(tmp_path / "vgg16.pth", net.state_dict()))
    assert networks.stamps["vgg16"]["kind"] == "vgg16"
    rgb_u8 = peer.photos_u8(3, 256, seed=4)
    together = networks.classes(rgb_u8)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (peer.MEAN, peer.STD))
    with torch.no_grad():
        theirs = net((peer.nchw(rgb_u8[:, 16:-16, 16:-16]) / 255 - mean) / std).numpy()
    assert np.abs(together - theirs).max() < 2e-4 * theirs.std()
    apart = in_batches(networks.classes, 1, rgb_u8)
    assert np.linalg.norm(apart - together) < 1e-4 * np.linalg.norm(together)


@pytest.mark.parametrize("shape", [(300, 400), (201, 133), (256, 256), (256, 301)])
def test_the_classifiers_crop_is_that_of_torchvision(shape):
    """Shorter side to 256 with antialiasing, longer side rounded down, then the center 224."""
    rgb_u8 = peer.photos_u8(1, max(shape), seed=5)[:, : shape[0], : shape[1]]
    size = [int(256 * side / min(shape)) for side in shape]
    resized = functional.interpolate(
        peer.nchw(rgb_u8), size, mode="bilinear", antialias=True, align_corners=False
    )
    top, left = (round((side - 224) / 2) for side in size)
    expected = resized[0, :, top : top + 224, left : left + 224].numpy().transpose(1, 2, 0)
    ours = classifier_crop(rgb_u8[0])
    assert ours.shape == (224, 224, 3)
    assert ours.dtype == np.uint8
    assert np.abs(ours - expected).max() <= 1.01  # Pillow rounds after rows and after columns


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inception": "none.pth"}, "does not exist"),
        ({"vgg16": "none.pth"}, "does not exist"),
        ({"lpips": ("none.pth", "lin.pth")}, "does not exist"),
        ({"lpips": "alexnet.pth"}, "two files"),
        ({"lpips": ("alexnet.pth", "")}, "two files"),
        ({"inception_scale": "ct2"}, "needs the file"),
    ],
)
def test_a_missing_file_is_named(options, message):
    with pytest.raises(RequestError, match=message):
        FeatureNetworks.open(**options)


@pytest.mark.parametrize("kind", ["pytorch-fid", "torchvision"])
def test_a_scale_of_another_protocol_is_refused(kind, tmp_path, monkeypatch):
    weights = feature_weights.FeatureWeights({}, kind, "x.pth", "0" * 64, "")
    monkeypatch.setattr(feature_weights, "read_inception", lambda path: weights)
    assert FeatureNetworks.open(inception="x.pth").features is not None
    wrong = {"pytorch-fid": "ct2", "torchvision": "pytorch-fid"}[kind]
    with pytest.raises(RequestError, match=f"not '{wrong}'"):
        FeatureNetworks.open(inception="x.pth", inception_scale=wrong)


def test_photos_that_do_not_fit_are_refused(lpips_files):
    lpips = FeatureNetworks.open(lpips=lpips_files).lpips
    rgb_u8 = np.zeros((2, 64, 64, 3), np.uint8)
    with pytest.raises(ValueError, match="one shape"):
        lpips(rgb_u8, rgb_u8[:1])
    for wrong in (rgb_u8 / 255, rgb_u8[0], rgb_u8[:0], rgb_u8[..., :2]):
        with pytest.raises(ValueError, match="uint8 photos"):
            lpips(wrong, wrong)
    with pytest.raises(RequestError, match="at least 31 px, not 64x30"):
        lpips(rgb_u8[:, :30], rgb_u8[:, :30])


@pytest.mark.slow
def test_lite0_distance_and_features_equal_numpy():
    """The feature maps themselves are compared with PyTorch in tests/weights/torch."""
    rng = np.random.default_rng(0)
    rgb_a = rng.integers(0, 256, (2, 40, 33, 3), dtype=np.uint8)
    rgb_b = np.clip(rgb_a + rng.integers(-60, 60, rgb_a.shape), 0, 255).astype(np.uint8)
    networks = FeatureNetworks.open(lite0=True)
    assert networks.stamps["lite0"]["sha256"].startswith("57934424")
    network = EfficientNetLite("lite0")
    variables = encoder_weights.read_encoder("lite0")
    maps = [
        network.apply(variables, (rgb.astype(np.float32) - 127) / 128) for rgb in (rgb_a, rgb_b)
    ]
    expected = np.zeros(2)
    for a, b in zip(*maps, strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
        expected += (2 - 2 * (a * b).sum(-1) / norms).mean((1, 2))
    distance = networks.lite0_distance(rgb_a, rgb_b)
    np.testing.assert_allclose(distance, expected, rtol=1e-4)
    assert expected.min() > 0.1
    np.testing.assert_allclose(networks.lite0_distance(rgb_a, rgb_a), np.zeros(2), atol=1e-9)
    features = networks.lite0_features(rgb_b)
    np.testing.assert_allclose(features, np.mean(maps[1][-1], axis=(1, 2)), rtol=1e-3, atol=1e-5)
    assert features.shape == (2, 320)
