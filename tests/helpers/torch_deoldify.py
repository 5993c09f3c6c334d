"""DeOldify's generators as PyTorch modules, with the names of the published files.

Written from the public code of DeOldify, of fastai 1 (both MIT and Apache-2.0) and of torchvision's
ResNet, in our own words. Needs torch.
"""

import functools
import warnings

import numpy as np
import torch
from helpers.synthetic import synthetic_images
from torch import nn
from torch.nn import functional
from torch.nn.utils import spectral_norm

from colorjax.models.encoders import resnet as our_resnet
from colorjax.weights.torch import deoldify as deoldify_weights

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
ENCODERS = {  # blocks of the four stages, and whether a block has three convolutions
    "resnet34": ((3, 4, 6, 3), False),
    "resnet101": ((3, 4, 23, 3), True),
}


SHALLOW = {"resnet34": ((1, 2, 1, 1), False), "resnet101": ((1, 1, 2, 1), True)}
BASE = 8  # channels of the narrow networks' stem


def weight_norm(conv):
    """PyTorch's first weight_norm: parameters weight_g and weight_v."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(conv)


class ResidualBlock(nn.Module):
    """torchvision's BasicBlock, or its Bottleneck, which has the stride in the 3x3 convolution."""

    def __init__(self, i, width, stride, is_bottleneck):
        super().__init__()
        o = 4 * width if is_bottleneck else width
        sizes = (1, 3, 1) if is_bottleneck else (3, 3)
        channels = (i, width, width, o) if is_bottleneck else (i, width, o)
        strides = (1, stride, 1) if is_bottleneck else (stride, 1)
        self.number = len(sizes)
        for n, (size, step) in enumerate(zip(sizes, strides, strict=True), start=1):
            conv = nn.Conv2d(channels[n - 1], channels[n], size, step, size // 2, bias=False)
            self.add_module(f"conv{n}", conv)
            self.add_module(f"bn{n}", nn.BatchNorm2d(channels[n]))
        self.downsample = None
        if stride != 1 or i != o:
            shortcut = nn.Conv2d(i, o, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(o))

    def forward(self, x):
        y = x
        for n in range(1, self.number + 1):
            y = getattr(self, f"bn{n}")(getattr(self, f"conv{n}")(y))
            y = functional.relu(y) if n < self.number else y
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)))


def resnet(name, base, depths):
    """The layers of a ResNet before its pool: four of the stem, then four stages."""
    is_bottleneck = ENCODERS[name][1]
    stem = nn.Conv2d(3, base, 7, 2, 3, bias=False)
    layers, i = [stem, nn.BatchNorm2d(base), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], base
    for stage, depth in enumerate(depths):
        blocks = []
        for block in range(depth):
            stride = 2 if stage and not block else 1
            blocks.append(ResidualBlock(i, base * 2**stage, stride, is_bottleneck))
            i = base * 2**stage * (4 if is_bottleneck else 1)
        layers.append(nn.Sequential(*blocks))
    return nn.Sequential(*layers)


def spectral(i, o, size, *, bias=False, conv=nn.Conv2d):
    return spectral_norm(conv(i, o, size, padding=size // 2, bias=bias))


class Attention(nn.Module):
    """Self-attention of all positions, with a factor that is 0 at the start."""

    def __init__(self, channels):
        super().__init__()
        self.query = spectral(channels, channels // 8, 1, conv=nn.Conv1d)
        self.key = spectral(channels, channels // 8, 1, conv=nn.Conv1d)
        self.value = spectral(channels, channels, 1, conv=nn.Conv1d)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        flat = x.flatten(2)
        logits = self.query(flat).transpose(1, 2) @ self.key(flat)
        shares = torch.softmax(logits, dim=1)  # over the first position
        return (self.gamma * (self.value(flat) @ shares) + flat).view_as(x)


def unit(i, o, size=3, *, relu=True, attention=False):
    """Convolution with spectral norm, ReLU, BatchNorm, in this order."""
    layers = [spectral(i, o, size), *([nn.ReLU()] if relu else []), nn.BatchNorm2d(o)]
    return nn.Sequential(*layers, *([Attention(o)] if attention else []))


class Shuffle(nn.Module):
    """1x1 convolution, ReLU, pixel shuffle, then a blur of 2x2 that pads the top and the left."""

    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, x):
        x = functional.pixel_shuffle(functional.relu(self.conv(x)), 2)
        return functional.avg_pool2d(functional.pad(x, (1, 0, 1, 0), "replicate"), 2, 1)


class Up(nn.Module):
    """A block of the decoder; `deep` has two convolutions."""

    def __init__(self, up, i, up_o, o, *, deep, attention):
        super().__init__()
        self.shuf = Shuffle(unit(up, 4 * up_o, 1, relu=False))
        self.bn = nn.BatchNorm2d(i)
        if deep:
            self.conv1, self.conv2 = unit(up_o + i, o), unit(o, o, attention=attention)
        else:
            self.conv = unit(up_o + i, o, attention=attention)

    def forward(self, x, skip):
        x = self.shuf(x)
        if x.shape[-2:] != skip.shape[-2:]:
            x = functional.interpolate(x, skip.shape[-2:], mode="nearest")
        x = functional.relu(torch.cat([x, self.bn(skip)], dim=1))
        return self.conv2(self.conv1(x)) if hasattr(self, "conv1") else self.conv(x)


class Residual(nn.Module):
    """x + relu(conv(relu(conv(x)))), convolutions with spectral norm and bias."""

    def __init__(self, channels):
        super().__init__()
        convs = [nn.Sequential(spectral(channels, channels, 3, bias=True)) for _ in range(2)]
        self.layers = nn.ModuleList(convs)

    def forward(self, x):
        y = functional.relu(self.layers[0](x))
        return x + functional.relu(self.layers[1](y))


class DeOldify(nn.Module):
    """The generator.

    Args:
        encoder: a key of `ENCODERS`.
        deep: the decoder of "artistic"; False: of "stable" and of the one for films.
        base: channels of the encoder's stem; the published networks have 64.
        depths: blocks of the encoder's stages; None: those of the published networks.
    """

    def __init__(self, encoder="resnet34", *, deep=True, base=64, depths=None):
        super().__init__()
        body = resnet(encoder, base, depths or ENCODERS[encoder][0])
        factor = 4 if ENCODERS[encoder][1] else 1
        skips = [base * factor * 4, base * factor * 2, base * factor, base]
        x = 2 * skips[0]
        middle = nn.Sequential(unit(x, 2 * x), unit(2 * x, x))
        layers = [body, nn.BatchNorm2d(x), nn.ReLU(), middle]
        for n, skip in enumerate(skips):
            is_last = n == 3
            if deep:
                up_o = x // 2
                o = int(((up_o + skip) // 2 if is_last else up_o + skip) * 1.5)
            else:
                o = up_o = base * (4 if is_last else 8)
            layers.append(Up(x, skip, up_o, o, deep=deep, attention=n == 1))
            x = o
        last = nn.Sequential(weight_norm(nn.Conv2d(x, 4 * x, 1)))
        layers += [Shuffle(last), nn.Identity(), Residual(x + 3)]
        layers.append(nn.Sequential(spectral(x + 3, 3, 1, bias=True)))
        self.layers = nn.ModuleList(layers)

    def raw(self, rgb):
        """(N, 3, H, W) normalized by ImageNet's statistics -> the same, before the sigmoid."""
        skips, x = [], rgb
        for n, layer in enumerate(self.layers[0]):
            x = layer(x)
            if n in (2, 4, 5, 6):
                skips.append(x)
        for layer in self.layers[1:4]:
            x = layer(x)
        for layer in self.layers[4:8]:
            x = layer(x, skips.pop())
        x = torch.cat([self.layers[8](x), rgb], dim=1)
        return self.layers[11](self.layers[10](x))

    def forward(self, gray):
        """(N, 1, H, W) gray in [0, 1] -> (N, 3, H, W) sRGB, about in [-0.2, 1.2]."""
        mean, std = (torch.tensor(x)[:, None, None] for x in (MEAN, STD))
        out = torch.sigmoid(self.raw((gray - mean) / std)) * 6 - 3
        return out * std + mean


def gray_photos(number, height, width, seed=0):
    """(N, 1, H, W) gray levels in [0, 1], with structure at several scales."""
    size = max(height, width)
    rgb = np.stack(synthetic_images(number, size, seed))[:, :height, :width]
    gray = rgb.mean(-1) + np.random.default_rng(seed).normal(0, 20, rgb.shape[:3])
    return torch.tensor(np.clip(gray / 255, 0, 1)[:, None], dtype=torch.float32)


def with_signal(net, seed=0, size=96):
    """Random weights with which every layer matters: colors vary and do not saturate.

    The vectors u of the layers without a BatchNorm after them are not of length 1: evaluation
    divides by u W v whatever u is, and so the outputs get the spread that they need.
    """
    torch.manual_seed(seed)
    seen = (gray_photos(2, size, size) - 0.45) / 0.22
    seen = seen.repeat(1, 3, 1, 1)
    for name, parameter in net.named_parameters():
        if parameter.ndim >= 3:
            nn.init.normal_(parameter, 0, (2 / parameter[0].numel()) ** 0.5)
        elif name.endswith("gamma"):
            nn.init.constant_(parameter, 0.8)
        elif name.endswith("bias"):
            nn.init.normal_(parameter, 0, 0.2)
        else:
            nn.init.uniform_(parameter, 0.6, 1.4)
    shuffle = net.layers[8].conv[0]
    nn.init.uniform_(shuffle.weight_g, 0.6, 1.4)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the plain average of what it sees
    for module in net.modules():
        if isinstance(module, ResidualBlock):  # small branches, as in trained networks
            nn.init.uniform_(getattr(module, f"bn{module.number}").weight, 0.3, 0.7)
    attention = next(m for m in net.modules() if isinstance(m, Attention))
    # Logits of attention have a deviation of about 1: a sharp softmax would amplify rounding.
    few = attention.query.out_channels**-0.25
    scaled = [(attention.query, few), (attention.key, few), (attention.value, 1.0)]
    scaled += [(layer[0], 1.0) for layer in net.layers[10].layers]
    scaled.append((net.layers[11][0], 0.7))
    with torch.no_grad():
        net.train()
        net.raw(seen)
        net.eval()
        for norm in norms:  # a channel that hardly varies on these photos would amplify rounding
            norm.running_var.clamp_(min=norm.running_var.mean().item())
        hooks = [layer.register_forward_hook(_scaling(spread)) for layer, spread in scaled]
        net.raw(seen)
        for hook in hooks:
            hook.remove()
    return net


def _scaling(spread):
    """A hook that gives a layer's output a deviation of `spread`, by its divisor."""

    def hook(layer, _, y):
        factor = spread / y.std()
        layer.weight_u /= factor
        return y * factor

    return hook


@functools.cache
def generator(kind, *, is_full=False):
    """The module of "artistic" or "stable", narrow and shallow unless `is_full`, with signal."""
    model = deoldify_weights.KINDS[kind].model
    encoder, deep = model["encoder"], model["decoder"] == "deep"
    size = {} if is_full else {"base": BASE, "depths": SHALLOW[encoder][0]}
    return with_signal(DeOldify(encoder, deep=deep, **size))


def make_narrow(monkeypatch):
    """Makes our networks, and the kinds of published files, narrow and shallow."""
    for name, variant in SHALLOW.items():
        monkeypatch.setitem(our_resnet.VARIANTS, name, variant)
    for name, kind in deoldify_weights.KINDS.items():
        model = kind.model | {"width": BASE / 64}
        entries = tuple(deoldify_weights.entries(model["encoder"], model["decoder"]))
        changed = deoldify_weights.Kind(model, kind.file, kind.sha256, entries)
        monkeypatch.setitem(deoldify_weights.KINDS, name, changed)
