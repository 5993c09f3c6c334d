"""Imported weights against the PyTorch module that they came from."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from helpers.torch_signal import photos_lightness, with_signal
from ml_collections import ConfigDict

from benchmarks.torch_zhang import Zhang16, Zhang17
from colorjax import methods, models
from colorjax.models.blocks import convolution
from colorjax.weights.torch import zhang as zhang_weights

WIDTH = 0.125  # `make test-slow` has the full width
SIZES_16 = [(64, 64), (70, 53), (96, 128), (256, 256)]
SIZES_17 = [(64, 64), (96, 128), (256, 256)]
LOGITS_WITHIN, AB_WITHIN = 5e-3, 0.05


@functools.cache
def zhang16(width):
    net, seen = Zhang16(width), photos_lightness(8, 96, 96)
    return with_signal(net, lambda: net.logits(seen), net.model8[-1], spread=3.0)


@functools.cache
def zhang17(width):
    net, seen = Zhang17(width), photos_lightness(8, 96, 96)
    hints = simulated_hints(8, 96, 96)

    def classes():
        return net.both(seen, *hints)[1]

    def regression():
        x = net.both(seen, *hints)[0] / 110
        return torch.atanh(torch.clamp(x, -0.999, 0.999))

    with_signal(net, regression, net.model_out[0], spread=0.4)
    net.model_class[0].weight.data *= 3.0 / classes().std()
    return net


def simulated_hints(number, height, width, seed=3):
    rng = np.random.default_rng(seed)
    mask = (rng.random((number, 1, height, width)) < 0.02).astype(np.float32)
    ab = rng.uniform(-60, 60, (number, 2, height, width)).astype(np.float32) * mask
    return torch.tensor(ab), torch.tensor(mask)


def state_of(net):
    return {name: array.detach().numpy() for name, array in net.state_dict().items()}


def imported(kind, net, width, **changes):
    published = zhang_weights.kind_of(kind)
    model = published.model | {"width": width} | changes
    variables, unused = zhang_weights.to_flax(published, state_of(net), model)
    assert unused == []
    options = dict(model)
    return models.create(options.pop("name"), **options), variables


def nhwc(tensor):
    return jnp.asarray(tensor.detach().numpy().transpose(0, 2, 3, 1))


def ours16(net, width, lightness, **changes):
    network, variables = imported("zhang16", net, width, **changes)
    gray = nhwc(lightness) / 50 - 1
    return jax.jit(lambda v, g: network.apply(v, {"gray": g}, train=False))(variables, gray)


def difference(a, b):
    assert a.shape == b.shape
    return float(np.abs(np.asarray(a) - np.asarray(b)).max())


def check_zhang16(width, size):
    net, lightness = zhang16(width), photos_lightness(1, *size, seed=7)
    with torch.no_grad():
        logits, ab = nhwc(net.logits(lightness)), nhwc(net(lightness))
    assert logits.std() > 1.5  # logits and colors vary
    assert ab.std(axis=(1, 2)).min() > 1
    actual = ours16(net, width, lightness)
    assert difference(actual["logits"], logits) < LOGITS_WITHIN
    assert difference(110 * actual["ab"], ab) < AB_WITHIN


def check_zhang17(width, size):
    net, lightness = zhang17(width), photos_lightness(1, *size, seed=7)
    hint_ab, mask = simulated_hints(1, *size, seed=8)
    with torch.no_grad():
        ab, logits = (nhwc(x) for x in net.both(lightness, hint_ab, mask))
    assert logits.std() > 1.5
    assert ab.std(axis=(1, 2)).min() > 5
    network, variables = imported("zhang17", net, width)
    inputs = {"gray": nhwc(lightness) / 50 - 1, "hint_ab": nhwc(hint_ab) / 110}
    inputs["hint_mask"] = nhwc(mask)
    actual = jax.jit(lambda v, i: network.apply(v, i, train=False))(variables, inputs)
    assert difference(actual["grid_logits"], logits) < LOGITS_WITHIN
    assert difference(110 * actual["ab"], ab) < AB_WITHIN


@pytest.mark.parametrize("size", SIZES_16)
def test_zhang16_gives_what_pytorch_gives(size):
    check_zhang16(WIDTH, size)


@pytest.mark.parametrize("size", SIZES_17)
def test_zhang17_gives_what_pytorch_gives(size):
    check_zhang17(WIDTH, size)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES_16)
def test_zhang16_at_full_width(size):
    check_zhang16(1.0, size)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES_17)
def test_zhang17_at_full_width(size):
    check_zhang17(1.0, size)


def drop_dilation(monkeypatch):
    convolve = convolution.convolve
    monkeypatch.setattr(
        convolution,
        "convolve",
        lambda x, k, **o: convolve(
            x,
            k,
            **o | {"padding": np.max(o["padding"]).item() // o.get("dilation", 1), "dilation": 1},
        ),
    )


def flip_transposed_kernel(monkeypatch):
    up = zhang_weights._UP_CONV._replace(to_flax=lambda w: w.transpose(2, 3, 0, 1))
    entries = tuple(
        e._replace(transform=up) if e.name == "model8.0.weight" else e
        for e in zhang_weights.KINDS["zhang16"].entries
    )
    kind = zhang_weights.KINDS["zhang16"]
    changed = zhang_weights.Kind(kind.model, kind.file, kind.sha256, entries)
    monkeypatch.setitem(zhang_weights.KINDS, "zhang16", changed)


def ignore_statistics(monkeypatch):
    def to_flax(kind, state, model, original=zhang_weights.to_flax):
        variables, unused = original(kind, state, model)
        for block in variables["batch_stats"].values():
            norm = block["norm"]["norm"]
            norm["mean"], norm["var"] = 0 * norm["mean"], 0 * norm["var"] + 1
        return variables, unused

    monkeypatch.setattr(zhang_weights, "to_flax", to_flax)


@pytest.mark.parametrize("mistake", [drop_dilation, flip_transposed_kernel, ignore_statistics])
def test_parity_would_notice(mistake, monkeypatch):
    check_zhang16(WIDTH, (64, 64))
    mistake(monkeypatch)
    with pytest.raises(AssertionError):
        check_zhang16(WIDTH, (64, 64))


def test_parity_would_notice_a_temperature_applied_twice():
    net, lightness = zhang16(WIDTH), photos_lightness(1, 64, 64, seed=7)
    twice = ours16(net, WIDTH, lightness, folded_temperature=1.0)
    with torch.no_grad():
        assert difference(110 * twice["ab"], nhwc(net(lightness))) > 20 * AB_WITHIN


def test_the_map_works_in_both_directions():
    for kind, net in (("zhang16", zhang16(WIDTH)), ("zhang17", zhang17(WIDTH))):
        _, variables = imported(kind, net, WIDTH)
        state = zhang_weights.to_torch(zhang_weights.kind_of(kind), variables)
        original = {n: a for n, a in state_of(net).items() if "num_batches" not in n}
        assert state.keys() == original.keys()
        assert all(np.array_equal(state[name], original[name]) for name in original)


def test_published_names():
    """82 and 107 entries, as in the specification of the published files."""
    assert len(Zhang16(WIDTH).state_dict()) == 82
    assert len(Zhang17(WIDTH).state_dict()) == 107


def test_any_size_comes_back_as_it_went_in():
    net, lightness = zhang16(WIDTH), photos_lightness(1, 70, 53, seed=7)
    published = zhang_weights.kind_of("zhang16")
    model = published.model | {"width": WIDTH}
    data = {"image_size": 64, "saturation": 1.0, "saturation_clip": True}
    config = ConfigDict({"dtype": "float32", "model": model, "data": data})
    method = methods.build(config, with_loss=False)
    variables, _ = zhang_weights.to_flax(published, state_of(net), model)
    assert method.predict_ab(variables, {"gray": nhwc(lightness) / 50 - 1}).shape == (1, 70, 53, 2)
