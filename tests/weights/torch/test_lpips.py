"""VGG16's classes and LPIPS against PyTorch modules with the published names, through files."""

import functools

import jax
import numpy as np
import pytest
import torch
from helpers import torch_features as peer
from helpers.torch_writing import saved

from colorjax.errors import RequestError
from colorjax.metrics import perceptual as distances
from colorjax.models.judges.vgg16 import Vgg16, imagenet_normalized
from colorjax.weights.torch import features as feature_weights

pytestmark = pytest.mark.usefixtures("optimized")

KINDS = ["alex", "vgg"]
CHANNELS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}
WITHIN = 1e-4  # of a tap's standard deviation
HIDDEN = 32  # of the classifier, instead of 4096


@functools.cache
def random_trunk(kind):
    return peer.drawn(peer.AlexNet() if kind == "alex" else peer.Vgg16(HIDDEN), None)


@functools.cache
def linear(kind):
    return peer.linear_layers(CHANNELS[kind])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lpips")
    return {
        kind: (
            saved(folder / f"{kind}_trunk.pth", random_trunk(kind).state_dict()),
            saved(folder / f"{kind}.pth", linear(kind), container=kind == "alex"),
        )
        for kind in KINDS
    }


def photos(kind, seed):
    height, width = {"alex": (64, 72), "vgg": (32, 48)}[kind]
    return peer.photos_u8(2, width, seed)[:, :height]


def scaled(rgb_u8):
    return peer.nchw(rgb_u8) / 127.5 - 1


@pytest.fixture(scope="module", params=KINDS)
def run(request, files):
    """(kind, our taps of the first photos, each tap's part of the distance, the distance)."""
    kind = request.param
    trunk = feature_weights.read_lpips_trunk(files[kind][0])
    linear = feature_weights.read_lpips_linear(files[kind][1], kind)
    assert trunk.kind == linear.kind == kind
    network = feature_weights.lpips_trunk(kind)

    @jax.jit
    def compare(variables, layers, a, b):
        a, b = (network.apply(variables, distances.lpips_input(x)) for x in (a, b))
        parts = [distances.tap_distance(*taps) for taps in zip(a, b, layers, strict=True)]
        return a, parts, distances.lpips(a, b, layers)

    layers = linear.variables["weights"]
    actual = compare(trunk.variables, layers, photos(kind, 1), photos(kind, 2))
    return kind, *jax.device_get(actual)


def test_each_tap_is_that_of_pytorch(run):
    kind, ours, _, _ = run
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    with torch.no_grad():
        theirs = random_trunk(kind).taps((scaled(photos(kind, 1)) - shift) / scale)
    assert [tap.shape[-1] for tap in ours] == list(CHANNELS[kind])
    for a, b in zip(ours, theirs, strict=True):
        b = b.numpy().transpose(0, 2, 3, 1)
        assert a.shape == b.shape
        assert b.std() > 0.1
        assert np.abs(a - b).max() < WITHIN * b.std()


def test_each_taps_part_of_the_distance_is_that_of_lpips(run):
    kind, _, ours, total = run
    a, b = (scaled(photos(kind, seed)) for seed in (1, 2))
    with torch.no_grad():
        theirs = peer.lpips(random_trunk(kind), linear(kind), a, b).numpy()
    assert theirs.min() > 1e-2
    assert np.allclose(ours, theirs, rtol=1e-4)
    assert np.allclose(total, theirs.sum(0), rtol=1e-4)


def test_a_pixel_without_activations_is_no_nan():
    """Its unit vector is 0: the epsilon of 1e-10 is outside the root."""
    tap = np.zeros((1, 2, 2, 3), np.float32)
    other = tap.copy()
    other[0, 0, 0] = [3, 0, 4]
    actual = distances.tap_distance(tap, other, np.array([1.0, 10, 100]))
    assert actual == pytest.approx((0.6**2 + 100 * 0.8**2) / 4)


def test_taps_that_do_not_fit_are_refused():
    tap = np.zeros((1, 2, 2, 3))
    for other, weights in ((np.zeros((1, 2, 1, 3)), np.ones(3)), (tap, np.ones(1))):
        with pytest.raises(ValueError, match="taps must be"):
            distances.tap_distance(tap, other, weights)


def logits_of(net, path, hidden):
    """Ours and theirs for one photo of 224."""
    rgb_u8 = peer.photos_u8(1, 224, seed=5)
    actual = feature_weights.read_vgg16(path, hidden=hidden)
    ours = jax.jit(Vgg16(hidden).apply)(actual.variables, imagenet_normalized(rgb_u8))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (peer.MEAN, peer.STD))
    with torch.no_grad():
        theirs = net((peer.nchw(rgb_u8) / 255 - mean) / std).numpy()
    assert theirs.shape == (1, 1000)
    assert theirs.std() > 0.1
    return np.asarray(ours), theirs


def test_classes_are_those_of_pytorch(files):
    """With a narrow classifier: its first matrix still takes 7x7 pixels, channels first."""
    ours, theirs = logits_of(random_trunk("vgg"), files["vgg"][0], HIDDEN)
    assert np.abs(ours - theirs).max() < WITHIN * theirs.std()


@pytest.mark.slow
def test_classes_of_the_real_width_are_those_of_pytorch(tmp_path):
    net = peer.drawn(peer.Vgg16(), None)
    path = saved(tmp_path / "vgg16.pth", net.state_dict())
    ours, theirs = logits_of(net, path, 4096)
    assert np.abs(ours - theirs).max() < WITHIN * theirs.std()


def test_the_classifier_takes_one_size():
    with pytest.raises(ValueError, match="224"):
        jax.eval_shape(Vgg16().init, jax.random.key(0), np.zeros((1, 256, 256, 3)))


def test_a_classifier_of_another_width_is_refused(files):
    with pytest.raises(RequestError) as caught:
        feature_weights.read_vgg16(files["vgg"][0])
    message = str(caught.value)
    assert "classifier.0.weight (32, 25088), not (4096, 25088)" in message
    assert "vgg16-397923af.pth" in message
    assert message.isprintable()


def test_a_vgg_with_batch_norm_is_refused(tmp_path):
    state = {"features.0.weight": torch.zeros(64, 3, 3, 3), "features.3.weight": torch.zeros(64)}
    path = saved(tmp_path / "bn.pth", state)
    with pytest.raises(RequestError, match=r"vgg16 \(without BatchNorm\): 25 missing"):
        feature_weights.read_lpips_trunk(path)


@pytest.mark.parametrize("shape", [(64, 3, 7, 7), (64,)])
def test_another_trunk_is_refused(shape, tmp_path):
    path = saved(tmp_path / "resnet.pth", {"features.0.weight": torch.zeros(shape)})
    with pytest.raises(RequestError, match="neither alexnet nor vgg16"):
        feature_weights.read_lpips_trunk(path)


def test_linear_layers_of_the_other_trunk_are_refused(files):
    with pytest.raises(RequestError) as caught:
        feature_weights.read_lpips_linear(files["vgg"][1], "alex")
    assert "lin1.model.1.weight (1, 128, 1, 1), not (1, 192, 1, 1)" in str(caught.value)
    assert "weights/v0.1/alex.pth" in str(caught.value)


def test_linear_layers_below_zero_are_refused(tmp_path):
    state = linear("alex") | {"lin2.model.1.weight": torch.full((1, 384, 1, 1), -0.1)}
    with pytest.raises(RequestError, match="below 0"):
        feature_weights.read_lpips_linear(saved(tmp_path / "lin.pth", state), "alex")


def test_version_0_0_is_refused(files, monkeypatch):
    """Names and shapes are the same; only the SHA-256 differs."""
    digest = feature_weights.read_lpips_linear(files["alex"][1], "alex").sha256
    monkeypatch.setattr(feature_weights, "_V00", (digest[:8],))
    with pytest.raises(RequestError, match=r"LPIPS 0\.0"):
        feature_weights.read_lpips_linear(files["alex"][1], "alex")


def test_published_files_are_named_by_their_sum(files, monkeypatch):
    digest = feature_weights.read_lpips_trunk(files["alex"][0]).sha256
    monkeypatch.setitem(feature_weights.PUBLISHED, digest[:8], "the published one")
    assert feature_weights.read_lpips_trunk(files["alex"][0]).published == "the published one"
