"""DeOldify's weights against PyTorch modules written from the public code, and its key map."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import traverse_util
from helpers import torch_deoldify
from helpers.torch_deoldify import generator, gray_photos, make_narrow

from colorjax import color, models
from colorjax.errors import RequestError
from colorjax.models import deoldify
from colorjax.weights.torch import deoldify as deoldify_weights

KINDS = ("artistic", "stable")
WITHIN = 1e-3  # of ab, in Lab units


@pytest.fixture
def narrow(monkeypatch):
    make_narrow(monkeypatch)


def state_of(net):
    return {name: array.detach().numpy() for name, array in net.state_dict().items()}


def nhwc(tensor):
    return np.asarray(tensor.detach().numpy().transpose(0, 2, 3, 1))


def imported(kind, net):
    variables, unused = deoldify_weights.to_flax(state_of(net), deoldify_weights.KINDS[kind].model)
    assert unused == []
    return variables


def check(kind, height, width, *, is_full=False):
    net, gray = generator(kind, is_full=is_full), gray_photos(1, height, width, seed=7)
    with torch.no_grad():
        rgb = nhwc(net(gray))
    assert rgb.std(axis=(1, 2)).min() > 0.04  # colors vary
    options = dict(deoldify_weights.KINDS[kind].model)
    network = models.create(options.pop("name"), **options)
    run = jax.jit(functools.partial(network.apply, train=False))
    actual = run(imported(kind, net), {"gray": jnp.asarray(2 * nhwc(gray) - 1)})
    ab = color.rgb_to_lab(np.clip(rgb, 0, 1))[..., 1:]
    assert np.abs(ab).mean() > 5
    largest = np.abs(110 * actual["ab"] - ab).max()
    print(f"{kind} {height}x{width}: largest difference of ab {largest:.1e}")
    assert largest < WITHIN
    assert np.abs((actual["color"] + 1) / 2 - rgb).max() < 1e-5


# 48 px are no multiple of 32: maps of 3 px are enlarged from 2 px to 4, and cropped.
@pytest.mark.parametrize("kind", KINDS)
def test_colors_are_those_of_pytorch(kind, narrow):
    check(kind, 48, 80)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_colors_are_those_of_pytorch_at_full_size(kind):
    check(kind, 256, 256, is_full=True)


def no_blur(monkeypatch):
    monkeypatch.setattr(deoldify, "shuffle_blur", lambda x: x)


def other_order_of_subpixels(monkeypatch):
    shuffle = deoldify.pixel_shuffle
    monkeypatch.setattr(
        deoldify, "pixel_shuffle", lambda x, r: shuffle(x.swapaxes(1, 2), r).swapaxes(1, 2)
    )


def converged_vectors(monkeypatch):
    """As if sigma were the largest singular value, whatever the file says."""

    def to_flax(state, model, original=deoldify_weights.to_flax):
        variables, unused = original(state, model)
        flat = traverse_util.flatten_dict(variables)
        for path, value in flat.items():
            if path[-1] == "u":
                flat[path] = value / np.linalg.norm(value)
        return traverse_util.unflatten_dict(flat), unused

    monkeypatch.setattr(deoldify_weights, "to_flax", to_flax)


def other_epsilon(monkeypatch):
    norm = functools.partial(deoldify.BatchNorm, epsilon=1e-3)
    monkeypatch.setattr(deoldify, "BatchNorm", norm)


MISTAKES = [no_blur, other_order_of_subpixels, converged_vectors, other_epsilon]


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_parity_would_notice(mistake, narrow, monkeypatch):
    mistake(monkeypatch)
    with pytest.raises(AssertionError):
        check("artistic", 48, 80)


@pytest.mark.parametrize("kind", KINDS)
def test_the_map_works_in_both_directions(kind, narrow):
    """PyTorch -> ours -> PyTorch -> ours, bit for bit; PyTorch loads the result strictly."""
    net, model = generator(kind), deoldify_weights.KINDS[kind].model
    variables = imported(kind, net)
    state = deoldify_weights.to_torch(variables, model)
    original = state_of(net)
    assert state.keys() == original.keys()
    floats = {name for name, array in original.items() if array.dtype == np.float32}
    assert all(np.array_equal(state[name], original[name]) for name in floats)
    assert floats == {name for name in state if not name.endswith("num_batches_tracked")}
    again, unused = deoldify_weights.to_flax(state, model)
    assert unused == []
    assert jax.tree.all(jax.tree.map(np.array_equal, variables, again))
    encoder, deep = model["encoder"], model["decoder"] == "deep"
    depths = torch_deoldify.SHALLOW[encoder][0]
    other = torch_deoldify.DeOldify(encoder, deep=deep, base=torch_deoldify.BASE, depths=depths)
    other.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
    with torch.no_grad():
        photo = gray_photos(1, 32, 32)
        assert torch.equal(other.eval()(photo), net(photo))


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_those_of_the_published_networks(kind):
    """On the meta device: without memory for the weights."""
    model = deoldify_weights.KINDS[kind].model
    with torch.device("meta"):
        net = torch_deoldify.DeOldify(model["encoder"], deep=model["decoder"] == "deep")
    names = {name for name in net.state_dict() if not name.endswith("num_batches_tracked")}
    assert {entry.name for entry in deoldify_weights.KINDS[kind].entries} == names


def test_the_variant_is_detected(narrow):
    for kind in KINDS:
        model = deoldify_weights.detect(state_of(generator(kind)))
        assert model == deoldify_weights.KINDS[kind].model
    with pytest.raises(RequestError, match=r"not weights of deoldify.*ColorizeArtistic_gen\.pth"):
        deoldify_weights.detect({"model8.6.weight": np.zeros(1)})


def test_a_network_of_our_own_has_no_published_names():
    model = {"name": "deoldify", "encoder": "resnet34", "decoder": "wide", "width": 1.0}
    with pytest.raises(RequestError, match="no published network has encoder resnet34"):
        deoldify_weights.to_torch({}, model)


def test_published_sums():
    sums = {kind.file: kind.sha256[:8] for kind in deoldify_weights.KINDS.values()}
    assert sums == {
        "ColorizeArtistic_gen.pth": "3f750246",
        "ColorizeStable_gen.pth": "ca9cd7f4",
        "ColorizeVideo_gen.pth": "e3d98bb6",
    }
