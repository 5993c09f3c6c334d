"""InceptionV3 against a PyTorch module with the published names, through a file."""

import copy
import functools

import jax
import numpy as np
import pytest
import torch
from helpers import torch_features as peer
from helpers.torch_writing import saved
from torch.nn import functional

from colorjax.errors import RequestError
from colorjax.models.judges.inception_v3 import InceptionV3, inception_input
from colorjax.weights.torch.features import read_inception

KINDS = ["pytorch-fid", "torchvision"]
SIZE = 107  # pixels: the last blocks have two per side
WITHIN = 2e-4  # of the features' standard deviation; PyTorch's own float32 is 4e-5 off float64


@functools.cache
def random_net():
    return peer.drawn(peer.Inception(1000), peer.nchw(peer.photos_u8(4, SIZE)) / 127.5 - 1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inception")

    @functools.cache
    def read(kind):
        return read_inception(saved(folder / f"{kind}.pth", peer.file_of(random_net(), kind)))

    return read


def photos():
    return peer.photos_u8(2, SIZE, seed=1).astype(np.float32) / 127.5 - 1


def difference(ours, theirs):
    assert ours.shape == theirs.shape
    return float(np.sqrt(np.mean((ours - theirs) ** 2)) / theirs.std())


@torch.no_grad()
def theirs_of(*pools):
    return random_net().set_pools(*pools)(peer.nchw(photos())).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_features_are_those_of_pytorch(kind, weights):
    actual = weights(kind)
    assert actual.kind == kind
    ours = np.asarray(jax.jit(InceptionV3(kind).apply)(actual.variables, photos()))
    theirs = theirs_of(*peer.POOLS[kind])
    assert ours.shape == (2, 2048)
    assert theirs.std() > 0.1
    assert np.abs(theirs[0] - theirs[1]).max() > theirs.std()
    assert difference(ours, theirs) < WITHIN


@pytest.mark.slow
def test_only_rounding_differs(weights):
    """XLA's float64 convolutions take a minute."""
    net = copy.deepcopy(random_net()).double().set_pools(*peer.POOLS["pytorch-fid"])
    with torch.no_grad():
        theirs = net(torch.tensor(photos().transpose(0, 3, 1, 2)).double()).numpy()
    with jax.enable_x64():
        variables = jax.tree.map(np.float64, weights("pytorch-fid").variables)
        x = photos().astype(np.float64)
        ours = np.asarray(jax.jit(InceptionV3("pytorch-fid").apply)(variables, x))
    assert difference(ours, theirs) < 1e-11


def test_parity_would_notice_either_pool():
    expected = theirs_of(True, None)
    for pools in ((False, None), (True, peer.strongest)):
        assert difference(theirs_of(*pools), expected) > 100 * WITHIN


SCALES = {
    "pytorch-fid": lambda x: 2 * x - 1,
    "ct2": lambda x: x * std() / 0.5 + (mean() - 0.5) / 0.5,
    "ddcolor": lambda x: (x * 0.5 + 0.5) * std() / 0.5 + (mean() - 0.5) / 0.5,
}


def mean():
    return torch.tensor(peer.MEAN).view(1, 3, 1, 1)


def std():
    return torch.tensor(peer.STD).view(1, 3, 1, 1)


@pytest.mark.parametrize("size", [256, 64, 400, 299])
@pytest.mark.parametrize("scale", SCALES)
def test_input_is_that_of_the_protocol(scale, size):
    """Resized first, as all three do; larger photos without antialiasing."""
    rgb_u8 = peer.photos_u8(2, size, seed=2)[:, : size - size // 5 * (size != 299)]
    x = functional.interpolate(
        peer.nchw(rgb_u8) / 255, (299, 299), mode="bilinear", align_corners=False
    )
    expected = SCALES[scale](x).numpy().transpose(0, 2, 3, 1)
    assert np.abs(np.asarray(inception_input(rgb_u8, scale)) - expected).max() < 1e-5


def test_input_parity_would_notice():
    rgb_u8 = peer.photos_u8(1, 400, seed=2)
    x = peer.nchw(rgb_u8) / 255
    for wrong in ({"antialias": True}, {"align_corners": True}):
        options = {"mode": "bilinear", "align_corners": False} | wrong
        expected = SCALES["ct2"](functional.interpolate(x, (299, 299), **options)).numpy()
        ours = np.asarray(inception_input(rgb_u8, "ct2")).transpose(0, 3, 1, 2)
        assert np.abs(ours - expected).max() > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_every_array_is_read(kind, weights):
    read = weights(kind)
    leaves = jax.tree.leaves(read.variables)
    assert len(leaves) == 94 * 5  # 94 convolutions with BatchNorm
    state = random_net().state_dict()
    kernel = read.variables["params"]["Mixed_6c"]["branch7x7_2"]["conv"]["kernel"]
    assert kernel.shape == (1, 7, 160, 160)
    assert kernel[0, 5, 3, 2] == state["Mixed_6c.branch7x7_2.conv.weight"][2, 3, 0, 5]


def test_the_file_is_named(weights):
    stamp = weights("torchvision").stamp()
    assert stamp["kind"] == "torchvision"
    assert stamp["file"] == "torchvision.pth"
    assert len(stamp["sha256"]) == 64
    assert stamp["published"] == "no file that is known"


def test_wrong_arrays_are_listed_in_one_error(tmp_path):
    state = dict(peer.file_of(random_net(), "pytorch-fid"))
    del state["Mixed_5b.branch1x1.bn.running_var"], state["Conv2d_1a_3x3.conv.weight"]
    state["Mixed_7c.branch_pool.conv.weight"] = torch.zeros(192, 2048, 3, 3)
    path = saved(tmp_path / "short.pth", state)
    with pytest.raises(RequestError) as caught:
        read_inception(path)
    message = str(caught.value)
    assert "2 missing: " in message
    assert "Mixed_5b.branch1x1.bn.running_var" in message
    assert "Conv2d_1a_3x3.conv.weight" in message
    assert "(192, 2048, 3, 3), not (192, 2048, 1, 1)" in message
    assert "pt_inception-2015-12-05-6726825d.pth" in message
    assert message.isprintable()


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"fc.weight": torch.zeros(10, 2048)}, "has 10 classes"),
        ({"fc.weight": torch.zeros(1000)}, "no matrix fc.weight"),
        ({"features.0.weight": torch.zeros(64, 3, 3, 3)}, "no matrix fc.weight"),
        ({"fc.weight": torch.zeros(1008, 2048)}, "470 missing"),
    ],
)
def test_another_network_is_refused(state, message, tmp_path):
    with pytest.raises(RequestError, match=message):
        read_inception(saved(tmp_path / "other.pth", state))


def test_small_photos_are_refused(weights):
    with pytest.raises(ValueError, match="at least 75"):
        InceptionV3("torchvision").init(jax.random.key(0), np.zeros((1, 74, 80, 3)))
