"""The network `semantic` and its loss as PyTorch modules, with the names of our variables.

Written from the published tables of EfficientNet-Lite's blocks: the peer of benchmarks and of the
parity test. Needs torch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.torch_unet import SameConv2d
from colorjax.models.blocks.shapes import scaled

# Kernel size, stride of the first block and expansion of each stage.
STAGES = ((3, 1, 1), (3, 2, 6), (5, 2, 6), (3, 2, 6), (5, 1, 6), (5, 2, 6), (3, 1, 6))
REPEATS = {  # blocks of each stage
    "lite0": (1, 2, 2, 3, 3, 4, 1),
    "lite1": (1, 3, 3, 4, 4, 5, 1),
    "lite2": (1, 3, 3, 4, 4, 5, 1),
    "tiny": (1, 1, 1, 1, 1, 2, 1),
}
CHANNELS = {  # of each stage
    "lite0": (16, 24, 40, 80, 112, 192, 320),
    "lite1": (16, 24, 40, 80, 112, 192, 320),
    "lite2": (16, 24, 48, 88, 120, 208, 352),
    "tiny": (8, 8, 8, 16, 24, 40, 64),
}
DECODER_CHANNELS = (160, 112, 64)  # at strides 16, 8 and 4


class ConvNorm(nn.Sequential):
    """A convolution without bias, padded as TensorFlow does, and BatchNorm."""

    def __init__(self, i: int, o: int, kernel_size: int = 1, stride: int = 1, groups: int = 1):
        super().__init__()
        conv = SameConv2d(i, o, kernel_size, stride, groups=groups, bias=False)
        self.add_module("conv", conv)
        self.add_module("norm", nn.BatchNorm2d(o, eps=1e-3))


class Block(nn.Module):
    """An MBConv block."""

    def __init__(self, i: int, o: int, kernel_size: int, stride: int, expansion: int):
        super().__init__()
        middle = i * expansion
        self.expand = ConvNorm(i, middle) if expansion > 1 else None
        self.depthwise = ConvNorm(middle, middle, kernel_size, stride, groups=middle)
        self.project = ConvNorm(middle, o)
        self.is_residual = stride == 1 and i == o

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (N, I, H, W) to (N, O, H / stride, W / stride)."""
        y = x if self.expand is None else functional.relu6(self.expand(x), inplace=True)
        y = functional.relu6(self.depthwise(y), inplace=True)
        y = self.project(y)
        return x + y if self.is_residual else y


class Encoder(nn.Module):
    """EfficientNet-Lite, its BatchNorm in evaluation mode, its first blocks without gradients."""

    def __init__(self, variant: str = "lite0", frozen_blocks: int = 5):
        super().__init__()
        self.stem = ConvNorm(3, 32, 3, 2)
        self.frozen_blocks = frozen_blocks
        self.tapped, channels, number = [], 32, 0
        stages = zip(STAGES, REPEATS[variant], CHANNELS[variant], strict=True)
        for (kernel_size, stride, expansion), repeats, features in stages:
            if stride == 2:
                self.tapped.append(number - 1)
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                block = Block(channels, features, kernel_size, step, expansion)
                self.add_module(f"block{number}", block)
                channels, number = features, number + 1
        self.tapped.append(number - 1)
        self.num_blocks = number
        for name, module in self.named_children():
            if frozen_blocks and (name == "stem" or int(name[5:]) < frozen_blocks):
                module.requires_grad_(False)

    def train(self, mode: bool = True) -> Encoder:
        """Leaves all modules in evaluation mode."""
        del mode
        return super().train(False)

    def forward(self, rgb: torch.Tensor) -> list[torch.Tensor]:
        """Maps (N, 3, H, W) to feature maps at strides 2, 4, 8, 16 and 32."""
        maps = []
        learns = torch.is_grad_enabled()
        with torch.set_grad_enabled(learns and not self.frozen_blocks):
            x = functional.relu6(self.stem(rgb), inplace=True)
        for number in range(self.num_blocks):
            with torch.set_grad_enabled(learns and number >= self.frozen_blocks):
                x = getattr(self, f"block{number}")(x)
            if number in self.tapped:
                maps.append(x)
        return maps


class Merge(nn.Module):
    """Doubles a map's size and adds the encoder's features of that size."""

    def __init__(self, deep: int, skip: int, features: int, depth: int):
        super().__init__()
        self.deep = nn.Conv2d(deep, features, 1)
        self.skip = nn.Conv2d(skip, features, 1)
        self.depth = depth
        for number in range(1, depth + 1):
            conv = nn.Conv2d(features, features, 3, padding=1, bias=False)
            self.add_module(f"conv{number}", conv)
            self.add_module(f"norm{number}", nn.BatchNorm2d(features, eps=1e-5, momentum=0.1))

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Maps (N, I, H, W) and (N, J, 2 H, 2 W) to (N, features, 2 H, 2 W)."""
        x = functional.interpolate(self.deep(x), scale_factor=2, mode="nearest") + self.skip(skip)
        for number in range(1, self.depth + 1):
            x = getattr(self, f"norm{number}")(getattr(self, f"conv{number}")(x))
            x = functional.relu(x, inplace=True)
        return x


class GlobalColors(nn.Module):
    """The term that the colors of a whole photo, (N, 315), add to its global vector."""

    def __init__(self, features: int):
        super().__init__()
        self.bins = nn.Linear(314, features)
        self.scene = nn.Linear(features, features)

    def forward(self, colors: torch.Tensor) -> torch.Tensor:
        """Maps (N, 315) to (N, features); 0 where no colors are given."""
        seen = torch.cat([(313 * colors[:, :313]).sqrt(), colors[:, 313:314]], dim=1)
        return colors[:, 314:] * self.scene(functional.relu(self.bins(seen)))


class Outputs(NamedTuple):
    """Heads at a quarter of the size: ab / 110 (N, 2, h, w) and logits (N, 313, h, w)."""

    ab: torch.Tensor
    bin_logits: torch.Tensor


class Semantic(nn.Module):
    """Gray, L / 50 - 1, (N, 1, H, W) -> ab / 110, (N, 2, H, W)."""

    def __init__(self, encoder: str = "lite0", frozen_blocks: int = 5, width: float = 1.0):
        super().__init__()
        wide, middle, narrow = (scaled(channels, width) for channels in DECODER_CHANNELS)
        maps = CHANNELS[encoder]
        self.encoder = Encoder(encoder, frozen_blocks)
        self.scene = nn.Linear(maps[6], wide)
        self.add_module("global", GlobalColors(wide))
        self.top = nn.Conv2d(maps[6], wide, 1)
        self.merge16 = Merge(wide, maps[4], wide, 2)
        self.merge8 = Merge(wide, maps[2], middle, 1)
        self.merge4 = Merge(middle, maps[1], narrow, 1)
        self.head = nn.Conv2d(narrow, 2, 1)
        self.logits = nn.Conv2d(narrow, 313, 1)

    def outputs(self, gray: torch.Tensor, global_colors: torch.Tensor) -> Outputs:
        """Returns both heads; the colors of whole photos are (N, 315), zeros where not given."""
        _, quarter, eighth, sixteenth, deepest = self.encoder(normalized(gray))
        scene = self.scene(deepest.mean((2, 3))) + getattr(self, "global")(global_colors)
        x = functional.relu(self.top(deepest) + scene[:, :, None, None])
        x = self.merge16(x, sixteenth)
        x = self.merge8(x, eighth)
        x = self.merge4(x, quarter)
        return Outputs(self.head(x), self.logits(x))

    def forward(self, gray: torch.Tensor) -> torch.Tensor:
        """Returns ab."""
        ab = self.outputs(gray, gray.new_zeros(len(gray), 315)).ab
        return functional.interpolate(ab, scale_factor=4, mode="bilinear", align_corners=False)


def normalized(gray: torch.Tensor) -> torch.Tensor:
    """Returns the encoder's input, (x - 127) / 128 of the gray of that lightness, three times."""
    root = (50 * (gray + 1) + 16) / 116
    linear = torch.where(root > 6 / 29, root**3, (root - 4 / 29) * 3 * (6 / 29) ** 2)
    curve = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    value = 255 * torch.where(linear > 0.0031308, curve, 12.92 * linear)
    return ((value - 127) / 128).expand(-1, 3, -1, -1)


class Targets(NamedTuple):
    """The targets of the loss, at a quarter of the size.

    Attributes:
        ab: (N, 2, h, w), ab / 110.
        bins: (N, K, h, w), the nearest color bins.
        shares: (N, K, h, w), their weights in the soft encoding.
        weights: (N, h, w), of the pixel, by the rarity of its color.
    """

    ab: torch.Tensor
    bins: torch.Tensor
    shares: torch.Tensor
    weights: torch.Tensor


class Batch(NamedTuple):
    """A training batch: (N, 1, H, W), (N, 315), and the targets of the loss."""

    gray: torch.Tensor
    colors: torch.Tensor
    targets: Targets


def random_batch(rng: np.random.Generator, number: int, size: int, device: str = "cpu") -> Batch:
    """Returns noise in the form of a training batch."""
    quarter = (size // 4, size // 4)

    def random(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.uniform(-1, 1, shape).astype(np.float32)).to(device)

    bins = torch.from_numpy(rng.integers(0, 313, (number, 5, *quarter))).to(device)
    shares = random(*bins.shape).softmax(dim=1)
    targets = Targets(random(number, 2, *quarter), bins, shares, random(number, *quarter))
    return Batch(random(number, 1, size, size), random(number, 315).abs(), targets)


def loss(
    outputs: Outputs,
    targets: Targets,
    delta: float = 5 / 110,
    l1_weight: float = 11.0,
    class_weight: float = 1.0,
) -> torch.Tensor:
    """Returns the smooth absolute error and the weighted cross-entropy of the bins."""
    error = functional.smooth_l1_loss(outputs.ab, targets.ab, beta=delta)
    expected = (targets.shares * outputs.bin_logits.gather(1, targets.bins)).sum(dim=1)
    cross_entropy = outputs.bin_logits.logsumexp(dim=1) - expected
    return l1_weight * error + class_weight * (targets.weights * cross_entropy).mean()
