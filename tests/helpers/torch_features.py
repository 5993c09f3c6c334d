"""The networks that compare pictures as PyTorch modules, with the names of the published files.

Written from the papers and the files' names; torchvision is not installed.
"""

import numpy as np
import torch
from helpers.synthetic import synthetic_images
from torch import nn
from torch.nn import functional

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)  # 0: a pool


class Layer(nn.Module):
    def __init__(self, inputs, outputs, kernel, padding=0, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x):
        return functional.relu(self.bn(self.conv(x)))


class Block(nn.Module):
    """Branches of layers and at most one pool, whose outputs are joined in order.

    A branch is (input, layer names...): the input is "" for the block's, "pool" for the pooled, or
    the name of a layer that several branches share.
    """

    def __init__(self, layers, branches, pool):
        super().__init__()
        for name, arguments in layers.items():
            self.add_module(name, Layer(*arguments))
        self.branches, self.pool = branches, pool

    def forward(self, x):
        known = {"": x, "pool": self.pool(x)}
        parts = []
        for start, *names in self.branches:
            y = known[start]
            for name in names:
                y = known[name] = getattr(self, name)(y)
            parts.append(y)
        return torch.cat([part for part in parts if part is not None], 1)


def smooth(count_border):
    return lambda x: functional.avg_pool2d(x, 3, 1, 1, count_include_pad=count_border)


def strongest(x):
    return functional.max_pool2d(x, 3, 1, 1)


def halve(x):
    return functional.max_pool2d(x, 3, 2)


def block_a(c, pooled, pool):
    layers = {
        "branch1x1": (c, 64, 1),
        "branch5x5_1": (c, 48, 1),
        "branch5x5_2": (48, 64, 5, 2),
        "branch3x3dbl_1": (c, 64, 1),
        "branch3x3dbl_2": (64, 96, 3, 1),
        "branch3x3dbl_3": (96, 96, 3, 1),
        "branch_pool": (c, pooled, 1),
    }
    branches = [
        ("", "branch1x1"),
        ("", "branch5x5_1", "branch5x5_2"),
        ("", "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"),
        ("pool", "branch_pool"),
    ]
    return Block(layers, branches, pool)


def block_b(c):
    layers = {
        "branch3x3": (c, 384, 3, 0, 2),
        "branch3x3dbl_1": (c, 64, 1),
        "branch3x3dbl_2": (64, 96, 3, 1),
        "branch3x3dbl_3": (96, 96, 3, 0, 2),
    }
    double = ("", "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
    return Block(layers, [("", "branch3x3"), double, ("pool",)], halve)


def block_c(c, m, pool):
    row, column = ((1, 7), (0, 3)), ((7, 1), (3, 0))
    layers = {
        "branch1x1": (c, 192, 1),
        "branch7x7_1": (c, m, 1),
        "branch7x7_2": (m, m, *row),
        "branch7x7_3": (m, 192, *column),
        "branch7x7dbl_1": (c, m, 1),
        "branch7x7dbl_2": (m, m, *column),
        "branch7x7dbl_3": (m, m, *row),
        "branch7x7dbl_4": (m, m, *column),
        "branch7x7dbl_5": (m, 192, *row),
        "branch_pool": (c, 192, 1),
    }
    branches = [
        ("", "branch1x1"),
        ("", *(f"branch7x7_{i}" for i in (1, 2, 3))),
        ("", *(f"branch7x7dbl_{i}" for i in (1, 2, 3, 4, 5))),
        ("pool", "branch_pool"),
    ]
    return Block(layers, branches, pool)


def block_d(c):
    layers = {
        "branch3x3_1": (c, 192, 1),
        "branch3x3_2": (192, 320, 3, 0, 2),
        "branch7x7x3_1": (c, 192, 1),
        "branch7x7x3_2": (192, 192, (1, 7), (0, 3)),
        "branch7x7x3_3": (192, 192, (7, 1), (3, 0)),
        "branch7x7x3_4": (192, 192, 3, 0, 2),
    }
    long = ("", *(f"branch7x7x3_{i}" for i in (1, 2, 3, 4)))
    return Block(layers, [("", "branch3x3_1", "branch3x3_2"), long, ("pool",)], halve)


def block_e(c, pool):
    row, column = ((1, 3), (0, 1)), ((3, 1), (1, 0))
    layers = {
        "branch1x1": (c, 320, 1),
        "branch3x3_1": (c, 384, 1),
        "branch3x3_2a": (384, 384, *row),
        "branch3x3_2b": (384, 384, *column),
        "branch3x3dbl_1": (c, 448, 1),
        "branch3x3dbl_2": (448, 384, 3, 1),
        "branch3x3dbl_3a": (384, 384, *row),
        "branch3x3dbl_3b": (384, 384, *column),
        "branch_pool": (c, 192, 1),
    }
    branches = [
        ("", "branch1x1"),
        ("", "branch3x3_1", "branch3x3_2a"),
        ("branch3x3_1", "branch3x3_2b"),
        ("", "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3a"),
        ("branch3x3dbl_2", "branch3x3dbl_3b"),
        ("pool", "branch_pool"),
    ]
    return Block(layers, branches, pool)


class Inception(nn.Module):
    """Features of the last pool; `set_pools` makes the one version or the other."""

    def __init__(self, classes):
        super().__init__()
        mean = smooth(True)
        self.Conv2d_1a_3x3 = Layer(3, 32, 3, 0, 2)
        self.Conv2d_2a_3x3 = Layer(32, 32, 3)
        self.Conv2d_2b_3x3 = Layer(32, 64, 3, 1)
        self.Conv2d_3b_1x1 = Layer(64, 80, 1)
        self.Conv2d_4a_3x3 = Layer(80, 192, 3)
        self.Mixed_5b = block_a(192, 32, mean)
        self.Mixed_5c = block_a(256, 64, mean)
        self.Mixed_5d = block_a(288, 64, mean)
        self.Mixed_6a = block_b(288)
        self.Mixed_6b = block_c(768, 128, mean)
        self.Mixed_6c = block_c(768, 160, mean)
        self.Mixed_6d = block_c(768, 160, mean)
        self.Mixed_6e = block_c(768, 192, mean)
        if classes == 1000:  # torchvision's file has the auxiliary head
            self.AuxLogits = nn.Module()
            self.AuxLogits.conv0 = Layer(768, 128, 1)
            self.AuxLogits.fc = nn.Linear(768, classes)
        self.Mixed_7a = block_d(768)
        self.Mixed_7b = block_e(1280, mean)
        self.Mixed_7c = block_e(2048, mean)
        self.fc = nn.Linear(2048, classes)

    def set_pools(self, count_border, last):
        for name in ("5b", "5c", "5d", "6b", "6c", "6d", "6e", "7b", "7c"):
            getattr(self, f"Mixed_{name}").pool = smooth(count_border)
        self.Mixed_7c.pool = last or smooth(count_border)
        return self

    def forward(self, x):
        for name, layer in self.named_children():
            if name in ("AuxLogits", "fc"):
                continue
            x = layer(x)
            if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
                x = halve(x)
        return x.mean((2, 3))


# Whether means count the border's zeros, and the last pool where it is no mean.
POOLS = {"torchvision": (True, None), "pytorch-fid": (False, strongest)}


def file_of(net, kind):
    """The state dict that a project publishes: pytorch-fid's has 1008 classes and one head."""
    state = net.state_dict()
    if kind == "torchvision":
        return state
    state = {name: x for name, x in state.items() if not name.startswith("AuxLogits")}
    return state | {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}


class Vgg16(nn.Module):
    def __init__(self, hidden=4096):
        super().__init__()
        layers, channels = [], 3
        for features in VGG16:
            if features:
                layers += [nn.Conv2d(channels, features, 3, padding=1), nn.ReLU()]
                channels = features
            else:
                layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, 1000),
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))

    def taps(self, x):
        return tapped(self.features, x, (3, 8, 15, 22, 29))


class AlexNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        )
        self.classifier = nn.Sequential(nn.Dropout(), nn.Linear(9, 4))  # larger in the file

    def taps(self, x):
        return tapped(self.features, x, (1, 4, 7, 9, 11))


def tapped(layers, x, places):
    found = []
    for index, layer in enumerate(layers[: places[-1] + 1]):
        x = layer(x)
        if index in places:
            found.append(x)
    return found


def lpips(net, linear, a, b):
    """As the package lpips computes version 0.1, of photos in [-1, 1]: each tap's part, (5, N)."""
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    parts = []
    pairs = zip(net.taps((a - shift) / scale), net.taps((b - shift) / scale), strict=True)
    for number, (x, y) in enumerate(pairs):
        x, y = (tap / (tap.square().sum(1, keepdim=True).sqrt() + 1e-10) for tap in (x, y))
        weight = linear[f"lin{number}.model.1.weight"]
        parts.append(functional.conv2d((x - y) ** 2, weight).mean((1, 2, 3)))
    return torch.stack(parts)


def linear_layers(channels, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        f"lin{number}.model.1.weight": torch.rand(1, count, 1, 1, generator=generator)
        for number, count in enumerate(channels)
    }


def drawn(net, photos, seed=0):
    """He weights, random affine, and statistics of BatchNorm from a pass over photos, perturbed."""
    torch.manual_seed(seed)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, 0, (2 / module.weight[0].numel()) ** 0.5)
            if module.bias is not None:
                nn.init.normal_(module.bias, 0, 0.1)
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.6, 1.4)
        nn.init.normal_(norm.bias, 0, 0.2)
        norm.momentum = None  # the plain average of what it sees
    with torch.no_grad():
        if norms:
            net.train()(photos)
        for norm in norms:
            norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.8, 1.2)
    return net.eval()


def photos_u8(number, size, seed=0):
    """(N, H, W, 3) uint8 photos with structure at several scales."""
    rgb = np.stack(synthetic_images(number, size, seed)).astype(np.float64)
    rgb += np.random.default_rng(seed).normal(0, 25, rgb.shape)
    return np.clip(np.round(rgb), 0, 255).astype(np.uint8)


def nchw(images):
    return torch.tensor(np.asarray(images, np.float32).transpose(0, 3, 1, 2))
