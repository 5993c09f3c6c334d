"""The U-Nets and the patch critic as PyTorch modules, and a step of their conditional GAN.

Written from the published tables of layers: the peer of benchmarks and of the parity tests. Needs
torch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from colorjax.models.blocks.shapes import scaled

# Channels and stride down; channels up, each of stride 2.
ENCODERS = {
    "cifar": [(64, 1), (128, 2), (256, 2), (512, 2), (512, 2)],
    "places": [(64, 1), (64, 2), (128, 2), (256, 2), (512, 2), (512, 2), (512, 2), (512, 2)],
    "dcgan": [(64, 1), (128, 2), (256, 2), (512, 2), (512, 2)],
}
DECODERS = {
    "cifar": [512, 256, 128, 64],
    "places": [512, 512, 512, 256, 128, 64, 64],
    "dcgan": [512, 256, 128, 64],
}
CHANNELS = {"ab": 2, "lab": 3, "rgb": 3}
SLOPE = 0.2


class SameConv2d(nn.Conv2d):
    """A convolution that keeps the sides, or halves them with stride 2; pads as TensorFlow does."""

    def __init__(
        self, channels: int, features: int, kernel_size: int, stride: int = 1, **options: Any
    ):
        super().__init__(channels, features, kernel_size, stride, **options)
        total = kernel_size - stride
        low, high = total // 2, total - total // 2
        self.uneven = (low, high, low, high) if low != high else None
        if self.uneven is None:
            self.padding = (low, low)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (N, I, H, W) to (N, O, H / stride, W / stride)."""
        return super().forward(x if self.uneven is None else functional.pad(x, self.uneven))


def _norm(features: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(features, eps=1e-5, momentum=0.1)  # flax's momentum 0.9 is 0.1 here


class UNet(nn.Module):
    """Gray in [-1, 1], (N, 1, H, W) -> colors in [-1, 1], (N, 2 or 3, H, W)."""

    def __init__(
        self, layout: str = "cifar", width: float = 1.0, space: str = "ab", dropout: float = 0.5
    ):
        super().__init__()
        self.is_dcgan = layout == "dcgan"
        self.space = space
        self.dropped = () if layout == "places" else (1, 2)
        self.dropout = nn.Dropout(dropout)
        channels, sizes = 1, []
        for number, (count, stride) in enumerate(ENCODERS[layout], start=1):
            features = scaled(count, width)
            kernel_size = (1 if number == 1 else 2) if self.is_dcgan else 4
            setattr(self, f"down{number}", SameConv2d(channels, features, kernel_size, stride))
            if not self.is_dcgan:
                setattr(self, f"down{number}_norm", _norm(features))
            sizes.append(features)
            channels = features
        sizes.pop()
        for number, count in enumerate(DECODERS[layout], start=1):
            features = scaled(count, width)
            shape = (2, 2, 0) if self.is_dcgan else (4, 2, 1)
            setattr(self, f"up{number}", nn.ConvTranspose2d(channels, features, *shape))
            setattr(self, f"up{number}_norm", _norm(features))
            channels = features + sizes.pop()
        self.downs, self.ups = len(ENCODERS[layout]), len(DECODERS[layout])
        self.head = nn.Conv2d(channels, CHANNELS[space], 1)

    def colors(self, gray: torch.Tensor) -> torch.Tensor:
        """Returns the prediction in the network's space."""
        x, skips = gray, []
        for number in range(1, self.downs + 1):
            x = getattr(self, f"down{number}")(x)
            if not self.is_dcgan:
                x = getattr(self, f"down{number}_norm")(x)
            x = functional.leaky_relu(x, SLOPE)
            skips.append(x)
        skips.pop()
        for number in range(1, self.ups + 1):
            x = getattr(self, f"up{number}")(x)
            norm = getattr(self, f"up{number}_norm")
            x = norm(functional.leaky_relu(x, SLOPE)) if self.is_dcgan else norm(x).relu()
            if number in self.dropped:
                x = self.dropout(x)
            x = torch.cat([x, skips.pop()], dim=1)
        return self.head(x).tanh()

    def forward(self, gray: torch.Tensor) -> torch.Tensor:
        """Returns ab, (N, 2, H, W); of a network in RGB the prediction itself."""
        colors = self.colors(gray)
        return colors if self.space == "rgb" else colors[:, -2:]


class PatchCritic(nn.Module):
    """Gray and colors, (N, 1 and C, H, W) -> logits (N, 1, H / 8, W / 8)."""

    def __init__(self, channels: int = 2, width: float = 1.0):
        super().__init__()
        seen = 1 + channels
        for number, (count, stride) in enumerate([(64, 2), (128, 2), (256, 2), (512, 1)], start=1):
            features = scaled(count, width)
            setattr(self, f"conv{number}", SameConv2d(seen, features, 4, stride))
            if number > 1:
                setattr(self, f"norm{number}", _norm(features))
            seen = features
        self.head = SameConv2d(seen, 1, 4)

    def forward(self, gray: torch.Tensor, colors: torch.Tensor) -> torch.Tensor:
        """Returns logits, above 0 for true."""
        x = functional.leaky_relu(self.conv1(torch.cat([gray, colors], dim=1)), SLOPE)
        for number in (2, 3, 4):
            x = getattr(self, f"norm{number}")(getattr(self, f"conv{number}")(x))
            x = functional.leaky_relu(x, SLOPE)
        return self.head(x)


# The conditional GAN of Nazeri et al. 2018.


class Optimizers(NamedTuple):
    """Those of the generator and of the critic."""

    generator: torch.optim.Optimizer
    critic: torch.optim.Optimizer


class Losses(NamedTuple):
    """Scalars: of the critic's step, and of the generator's last."""

    critic: torch.Tensor
    generator: torch.Tensor


def cgan_optimizers(generator: nn.Module, critic: nn.Module) -> Optimizers:
    """Returns Adam for both, with the released code's rates."""
    adam = torch.optim.Adam
    return Optimizers(
        adam(generator.parameters(), 3e-4, (0.0, 0.999)),
        adam(critic.parameters(), 3e-5, (0.0, 0.999)),
    )


def cgan_step(
    generator: nn.Module,
    critic: nn.Module,
    optimizers: Optimizers,
    gray: torch.Tensor,
    ab: torch.Tensor,
    *,
    generator_steps: int = 2,
    l1_weight: float = 100.0,
) -> Losses:
    """Trains on one batch: the critic once, then the generator `generator_steps` times.

    The critic's loss is the cross-entropy of its logits, 1 for true and 0 for predicted colors;
    the generator's is that of predicted ones against 1, plus `l1_weight` times the mean absolute
    error.

    Args:
        generator: (gray) -> ab, in training mode.
        critic: (gray, ab) -> logits, in training mode.
        optimizers: see `cgan_optimizers`.
        gray: (N, 1, H, W) in [-1, 1].
        ab: (N, 2, H, W), ab / 110, or what the generator predicts.
        generator_steps: how often the generator learns.
        l1_weight: of the absolute error.
    """
    critic.requires_grad_(True)
    optimizers.critic.zero_grad()
    with torch.no_grad():
        fake = generator(gray)
    critic_loss = _against(critic(gray, ab), 1.0) + _against(critic(gray, fake), 0.0)
    critic_loss.backward()
    optimizers.critic.step()

    critic.requires_grad_(False)  # its own gradients are not asked for
    for _ in range(generator_steps):
        optimizers.generator.zero_grad()
        fake = generator(gray)
        fooling = _against(critic(gray, fake), 1.0)
        generator_loss = fooling + l1_weight * functional.l1_loss(fake, ab)
        generator_loss.backward()
        optimizers.generator.step()
    return Losses(critic_loss.detach(), generator_loss.detach())


def _against(logits: torch.Tensor, target: float) -> torch.Tensor:
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
