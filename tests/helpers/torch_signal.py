"""Random weights that carry signal: with PyTorch's default ones the output is all but constant."""

import numpy as np
import torch
from helpers.synthetic import synthetic_images
from torch import nn

from benchmarks.torch_zhang import Zhang16
from colorjax import color


def photos_lightness(number, height, width, seed=0):
    """(N, 1, H, W) L of photos with structure at several scales."""
    size = max(height, width)
    rgb = np.stack(synthetic_images(number, size, seed))[:, :height, :width]
    noise = np.random.default_rng(seed).normal(0, 12, rgb.shape[:3])
    lightness = color.rgb_u8_to_lab(rgb)[..., 0] + noise
    return torch.tensor(np.clip(lightness, 0, 100)[:, None], dtype=torch.float32)


def with_signal(net, run, head, spread, seed=0):
    """He weights, statistics from a pass over photos, random affine, a head of a given spread.

    Args:
        net: the module.
        run: () -> the head's output before any activation, on photos.
        head: the last convolution.
        spread: standard deviation of its output.
        seed: of the weights.
    """
    torch.manual_seed(seed)
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            fan = 4 * module.in_channels if isinstance(module, nn.ConvTranspose2d) else None
            fan = fan or module.weight[0].numel()
            nn.init.normal_(module.weight, 0, (2 / fan) ** 0.5)
            if module.bias is not None:
                nn.init.normal_(module.bias, 0, 0.1)
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.6, 1.4)
        nn.init.normal_(norm.bias, 0, 0.2)
        norm.momentum = None  # the plain average of what it sees
    with torch.no_grad():
        net.train()
        run()
        net.eval()
        head.weight *= spread / run().std()
    if isinstance(net, Zhang16):
        bins = torch.tensor(color.ab_bins() / 110, dtype=torch.float32)
        net.model_out.weight.data = bins.T[:, :, None, None].clone()
    return net
