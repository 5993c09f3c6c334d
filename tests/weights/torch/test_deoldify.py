"""DeOldify's weights against PyTorch modules written from the public code, and its key map."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from helpers import torch_deoldify
from helpers.torch_deoldify import generator, gray_photos, make_narrow

from colorjax import models
from colorjax.errors import RequestError
from colorjax.models import deoldify
from colorjax.models.blocks import pixel_shuffle
from colorjax.weights.torch import deoldify as deoldify_weights
from colorjax.weights.torch import zhang as zhang_weights

KINDS = ("artistic", "stable")
WITHIN = 1e-3  # of ab, in Lab units


def state_of(net):
    return {name: array.detach().numpy() for name, array in net.state_dict().items()}


def nhwc(tensor):
    return np.asarray(tensor.detach().numpy().transpose(0, 2, 3, 1))


@functools.cache
def program(kind, width):
    options = dict(deoldify_weights.KINDS[kind].model) | {"width": width}
    network = models.create(options.pop("name"), **options)
    return jax.jit(lambda v, gray: network.apply(v, {"gray": gray}, train=False))


def ours(kind, net, gray, program=program):
    published = deoldify_weights.KINDS[kind]
    variables, unused = zhang_weights.to_flax(published, state_of(net), published.model)
    assert unused == []
    run = program(kind, published.model["width"])
    return run(variables, jnp.asarray(2 * nhwc(gray) - 1))


def check(kind, height, width, *, is_full=False, program=program):
    net = generator(kind, is_full=is_full)
    gray = gray_photos(1, height, width, seed=7)
    with torch.no_grad():
        rgb = nhwc(net(gray))
    assert rgb.std(axis=(1, 2)).min() > 0.05  # colors vary
    actual = ours(kind, net, gray, program)
    assert actual["color"].shape == (1, height, width, 3)
    assert np.abs((actual["color"] + 1) / 2 - rgb).max() < 1e-5
    from colorjax import color

    ab = color.rgb_to_lab(np.clip(rgb, 0, 1))[..., 1:]
    assert np.abs(ab).mean() > 5
    assert np.abs(110 * actual["ab"] - ab).max() < WITHIN


# 48 px: 16 px more than a multiple of 32, so maps of 3 px are enlarged from 2 px, to 4, cropped.
@pytest.mark.parametrize(("kind", "size"), [("artistic", (48, 80)), ("stable", (48, 80))])
def test_colors_are_those_of_pytorch(kind, size, monkeypatch):
    make_narrow(monkeypatch)
    check(kind, *size)
