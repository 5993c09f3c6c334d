"""The networks of Zhang et al. 2016 and 2017 as PyTorch modules, with the published names.

Written from the published tables of layers: the peer of benchmarks and of the parity tests. Needs
torch.
"""

from __future__ import annotations

import itertools

import torch
from torch import nn


def _block(
    *channels: int, stride: int = 1, dilation: int = 1, norm: bool = True
) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for number, (i, o) in enumerate(itertools.pairwise(channels)):
        is_last = number == len(channels) - 2
        s = stride if is_last else 1
        layers += [nn.Conv2d(i, o, 3, s, dilation, dilation), nn.ReLU()]
    return [*layers, nn.BatchNorm2d(channels[-1])] if norm else layers


def _up(i: int, o: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(i, o, 4, 2, 1)


class Zhang16(nn.Module):
    """L in [0, 100], (N, 1, H, W) -> logits (N, 313, H/4, W/4), as the published network."""

    def __init__(self, width: float = 1.0):
        super().__init__()
        c1, c2, c3, c4 = (int(c * width) for c in (64, 128, 256, 512))
        self.model1 = nn.Sequential(*_block(1, c1, c1, stride=2))
        self.model2 = nn.Sequential(*_block(c1, c2, c2, stride=2))
        self.model3 = nn.Sequential(*_block(c2, c3, c3, c3, stride=2))
        self.model4 = nn.Sequential(*_block(c3, c4, c4, c4))
        self.model5 = nn.Sequential(*_block(c4, c4, c4, c4, dilation=2))
        self.model6 = nn.Sequential(*_block(c4, c4, c4, c4, dilation=2))
        self.model7 = nn.Sequential(*_block(c4, c4, c4, c4))
        last = nn.Conv2d(c3, 313, 1)
        block = _block(c3, c3, c3, norm=False)
        self.model8 = nn.Sequential(_up(c4, c3), nn.ReLU(), *block, last)
        self.model_out = nn.Conv2d(313, 2, 1, bias=False)
        self.upsample4 = nn.Upsample(scale_factor=4, mode="bilinear", align_corners=False)

    def logits(self, lightness: torch.Tensor) -> torch.Tensor:
        """Returns the logits over the 313 bins."""
        x = (lightness - 50) / 100
        for number in range(1, 9):
            x = getattr(self, f"model{number}")(x)
        return x

    def forward(self, lightness: torch.Tensor) -> torch.Tensor:
        """Returns ab in Lab units at 8 ceil(H / 8), 8 ceil(W / 8)."""
        return 110 * self.upsample4(self.model_out(self.logits(lightness).softmax(dim=1)))


class Zhang17(nn.Module):
    """L, hints in Lab units and their mask -> ab in Lab units, all (N, ., H, W)."""

    def __init__(self, width: float = 1.0, mask_cent: float = 0.0):
        super().__init__()
        c1, c2, c3, c4 = (int(c * width) for c in (64, 128, 256, 512))
        self.mask_cent = mask_cent
        self.model1 = nn.Sequential(*_block(4, c1, c1))
        self.model2 = nn.Sequential(*_block(c1, c2, c2))
        self.model3 = nn.Sequential(*_block(c2, c3, c3, c3))
        self.model4 = nn.Sequential(*_block(c3, c4, c4, c4))
        self.model5 = nn.Sequential(*_block(c4, c4, c4, c4, dilation=2))
        self.model6 = nn.Sequential(*_block(c4, c4, c4, c4, dilation=2))
        self.model7 = nn.Sequential(*_block(c4, c4, c4, c4))
        self.model8up = nn.Sequential(_up(c4, c3))
        self.model8 = nn.Sequential(nn.ReLU(), *_block(c3, c3, c3))
        self.model9up = nn.Sequential(_up(c3, c2))
        self.model9 = nn.Sequential(nn.ReLU(), *_block(c2, c2))
        self.model10up = nn.Sequential(_up(c2, c2))
        self.model10 = nn.Sequential(nn.ReLU(), nn.Conv2d(c2, c2, 3, 1, 1), nn.LeakyReLU(0.2))
        self.model3short8 = nn.Sequential(nn.Conv2d(c3, c3, 3, 1, 1))
        self.model2short9 = nn.Sequential(nn.Conv2d(c2, c2, 3, 1, 1))
        self.model1short10 = nn.Sequential(nn.Conv2d(c1, c2, 3, 1, 1))
        self.model_class = nn.Sequential(nn.Conv2d(c3, 529, 1))
        self.model_out = nn.Sequential(nn.Conv2d(c2, 2, 1), nn.Tanh())

    def both(
        self, lightness: torch.Tensor, hint_ab: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns ab in Lab units and the logits of the class head."""
        parts = [(lightness - 50) / 100, hint_ab / 110, mask - self.mask_cent]
        x1 = self.model1(torch.cat(parts, dim=1))
        x2 = self.model2(x1[:, :, ::2, ::2])
        x3 = self.model3(x2[:, :, ::2, ::2])
        x = self.model4(x3[:, :, ::2, ::2])
        x = self.model7(self.model6(self.model5(x)))
        x8 = self.model8(self.model8up(x) + self.model3short8(x3))
        x = self.model9(self.model9up(x8) + self.model2short9(x2))
        x = self.model10(self.model10up(x) + self.model1short10(x1))
        return 110 * self.model_out(x), self.model_class(x8)

    def forward(
        self, lightness: torch.Tensor, hint_ab: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Returns ab in Lab units."""
        return self.both(lightness, hint_ab, mask)[0]
