"""VGG16's features against a PyTorch module in torchvision's layout, through a file."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from helpers.synthetic import synthetic_images
from helpers.torch_writing import saved
from torch import nn

from colorjax.errors import RequestError
from colorjax.models.judges.features import Vgg16Features
from colorjax.weights.torch.vgg import read_vgg16_bn

pytestmark = pytest.mark.usefixtures("optimized")

# Configuration D; 0 is a max pool.
LAYOUT = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
SIZES = [(32, 32), (48, 64)]
WITHIN = 1e-4  # of a tap's standard deviation
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


class Vgg16Bn(nn.Module):
    def __init__(self):
        super().__init__()
        layers, channels = [], 3
        for features in LAYOUT:
            if not features:
                layers.append(nn.MaxPool2d(2, 2))
                continue
            conv = nn.Conv2d(channels, features, 3, padding=1)
            layers += [conv, nn.BatchNorm2d(features), nn.ReLU()]
            channels = features
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Linear(8, 4))  # 4096 each in the published file

    def taps(self, rgb, before=1, mean=MEAN, std=STD):
        """The layers that DeOldify hooks: before pools 3, 4 and 5."""
        pools = [i for i, layer in enumerate(self.features) if isinstance(layer, nn.MaxPool2d)]
        x, actual = (rgb - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1), {}
        for index, layer in enumerate(self.features):
            x = actual[index] = layer(x)
        return [nhwc(actual[index - before]) for index in pools[2:5]]


def nhwc(x):
    return x.detach().numpy().transpose(0, 2, 3, 1)


@functools.cache
def random_net():
    """He weights, and statistics other than the identity."""
    generator = torch.Generator().manual_seed(0)
    net = Vgg16Bn().eval()
    for name, value in net.state_dict().items():
        if value.ndim == 4:
            nn.init.normal_(value, 0, (2 / value[0].numel()) ** 0.5, generator)
        elif name.endswith("running_var") or (name.endswith("weight") and value.ndim == 1):
            nn.init.uniform_(value, 0.6, 1.5, generator)
        elif value.ndim == 1:
            nn.init.normal_(value, 0, 0.2, generator)
    return net


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg16_bn.pth"
    return read_vgg16_bn(saved(path, random_net().state_dict()))


def photos(size):
    images = np.stack(synthetic_images(2, max(size), seed=3))[:, : size[0], : size[1]] / 255
    images += np.random.default_rng(4).normal(0, 0.1, images.shape)
    return np.clip(images, 0, 1).astype(np.float32)


@functools.cache
def run():
    return jax.jit(functools.partial(Vgg16Features().apply, train=False))


def differences(ours, theirs):
    assert [x.shape for x in ours] == [x.shape for x in theirs]
    return [float(np.abs(a - b).max() / b.std()) for a, b in zip(ours, theirs, strict=True)]


@pytest.mark.parametrize("size", SIZES)
def test_taps_are_those_of_pytorch(size, variables):
    rgb = photos(size)
    ours = run()(variables, jnp.asarray(rgb))["taps"]
    theirs = random_net().taps(torch.tensor(rgb.transpose(0, 3, 1, 2)))
    height, width = size
    assert [x.shape[1:] for x in ours] == [
        (height // 4, width // 4, 256),
        (height // 8, width // 8, 512),
        (height // 16, width // 16, 512),
    ]
    assert all(x.std() > 0.1 for x in theirs)
    assert max(differences(ours, theirs)) < WITHIN


def test_parity_would_notice(variables):
    rgb = photos(SIZES[0])
    ours = run()(variables, jnp.asarray(rgb))["taps"]
    nchw, net = torch.tensor(rgb.transpose(0, 3, 1, 2)), random_net()
    for mistake in ({"mean": 0 * MEAN}, {"std": STD.flip(0)}, {"before": 2}):
        assert min(differences(ours, net.taps(nchw, **mistake))) > 100 * WITHIN, mistake


def test_training_never_takes_the_batchs_statistics(variables):
    rgb = jnp.asarray(photos(SIZES[0]))
    net = Vgg16Features()
    train = jax.jit(functools.partial(net.apply, train=True, mutable=["batch_stats"]))
    outputs, updated = train(variables, rgb)
    expected = run()(variables, rgb)["taps"]
    assert max(differences(outputs["taps"], [np.asarray(x) for x in expected])) < 1e-6
    moved = jax.tree.map(np.array_equal, updated["batch_stats"], variables["batch_stats"])
    assert all(jax.tree.leaves(moved))


def test_every_array_is_read(variables):
    state = random_net().state_dict()
    read = jax.tree.leaves(variables)
    assert len(read) == 13 * 6
    assert all(type(x) is np.ndarray and x.dtype == np.float32 for x in read)
    wanted = [x for n, x in state.items() if n.startswith("features") and "num_batches" not in n]
    assert sorted(float(x.sum()) for x in read) == pytest.approx(
        sorted(float(x.sum()) for x in wanted), abs=1e-2
    )
    kernel = variables["params"]["layer4_2"]["conv"]["kernel"]
    assert np.array_equal(kernel[0, 2, 5, 7], state["features.27.weight"][7, 5, 0, 2])


def test_wrong_arrays_are_named(tmp_path):
    state = {n: x.clone() for n, x in random_net().state_dict().items() if "classifier" not in n}
    del state["features.1.running_mean"], state["features.40.bias"]
    state["features.3.weight"] = torch.zeros(64, 3, 3, 3)
    path = saved(tmp_path / "other.pth", state)
    with pytest.raises(RequestError) as caught:
        read_vgg16_bn(path)
    message = str(caught.value)
    assert str(path) in message
    assert "2 missing: features.1.running_mean, features.40.bias;" in message
    assert "features.3.weight (64, 3, 3, 3), not (64, 64, 3, 3)" in message
    assert message.isprintable()


def test_a_vgg_without_batch_norm_is_refused(tmp_path):
    """torchvision's vgg16 has other indices of convolutions."""
    path = saved(tmp_path / "vgg16.pth", {"features.0.weight": torch.zeros(64, 3, 3, 3)})
    with pytest.raises(RequestError, match=r"77 missing: features\.0\.bias, .* and 71 more"):
        read_vgg16_bn(path)


@pytest.mark.parametrize(("path", "message"), [("", "features.path"), ("none.pth", "not exist")])
def test_a_missing_file_is_named(path, message):
    with pytest.raises(RequestError, match=message):
        read_vgg16_bn(path)


class Trap:
    def __reduce__(self):
        return print, ("executed",)


def test_nothing_of_the_file_is_executed(tmp_path, capsys):
    path = saved(tmp_path / "trap.pth", random_net().state_dict() | {"features.0.bias": Trap()})
    with pytest.raises(RequestError):
        read_vgg16_bn(path)
    assert capsys.readouterr().out == ""
