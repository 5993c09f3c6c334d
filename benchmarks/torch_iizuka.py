"""The networks of Iizuka et al. 2016 and of edge fusion (ACIIDS 2020) as PyTorch modules.

Written from the published tables of layers: the peer of benchmarks and of the parity tests. Needs
torch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import torch
from torch import nn
from torch.nn import functional

from colorjax.models.blocks.shapes import scaled

# (channels, stride) of 3x3 convolutions.
LOW_LEVEL = ((64, 2), (128, 1), (128, 2), (256, 1), (256, 2), (512, 1))
MID_LEVEL = ((512, 1), (256, 1))
GLOBAL_LEVEL = ((512, 2), (512, 1), (512, 2), (512, 1))
LOCAL = ((64, 2), (128, 1), (128, 2), (256, 2), (512, 1), (256, 1))  # LFN of edge fusion
CLASSIFICATION = (*LOCAL, (128, 1), (32, 1), (8, 1), (1, 1))  # CN
EDGES = ((8, 2), (8, 2), (8, 2))  # EDN

Outputs = dict[str, torch.Tensor]


class Layer(nn.Sequential):
    """A convolution or fully connected layer, optional BatchNorm, ReLU."""

    def __init__(self, name: str, linear: nn.Conv2d | nn.Linear, norm: bool):
        super().__init__()
        self.add_module(name, linear)
        if norm:
            kind = nn.BatchNorm2d if isinstance(linear, nn.Conv2d) else nn.BatchNorm1d
            features = linear.weight.shape[0]
            self.add_module("norm", kind(features, eps=1e-5, momentum=0.1))
        self.add_module("relu", nn.ReLU())


class Convs(nn.Sequential):
    """Convolutions of 3x3, padded by 1; `channels` go in, `features` come out."""

    def __init__(self, channels: int, layers: Iterable[tuple[int, int]], width: float, norm: bool):
        super().__init__()
        for number, (count, stride) in enumerate(layers, start=1):
            features = 1 if count == 1 else scaled(count, width)
            conv = nn.Conv2d(channels, features, 3, stride, padding=1)
            self.add_module(f"conv{number}", Layer("conv", conv, norm))
            channels = features
        self.features = channels


def _dense(i: int, o: int, norm: bool) -> Layer:
    return Layer("dense", nn.Linear(i, o), norm)


class GlobalLevel(nn.Module):
    """Low-level features -> 256 for fusion and the 512 that the classifier branches off at."""

    def __init__(self, channels: int, global_size: int, width: float, norm: bool):
        super().__init__()
        self.convs = Convs(channels, GLOBAL_LEVEL, width, norm)
        flat = self.convs.features * (global_size // 32) ** 2
        self.dense1 = _dense(flat, scaled(1024, width), norm)
        self.dense2 = _dense(scaled(1024, width), scaled(512, width), norm)
        self.dense3 = _dense(scaled(512, width), scaled(256, width), norm)

    def forward(self, low: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the vector for fusion and that for classes."""
        for_classes = self.dense2(self.dense1(self.convs(low).flatten(start_dim=1)))
        return self.dense3(for_classes), for_classes


class Classifier(nn.Module):
    """512 global features -> logits."""

    def __init__(self, num_classes: int, width: float, norm: bool):
        super().__init__()
        self.dense1 = _dense(scaled(512, width), scaled(256, width), norm)
        self.logits = nn.Linear(scaled(256, width), num_classes)

    def forward(self, for_classes: torch.Tensor) -> torch.Tensor:
        """Returns (N, classes)."""
        return self.logits(self.dense1(for_classes))


def _fusion(channels: int, width: float, norm: bool) -> Layer:
    return Layer("conv", nn.Conv2d(channels, scaled(256, width), 1), norm)


def _spread(vector: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return vector[:, :, None, None].expand(-1, -1, *like.shape[2:])


def _double(x: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")


def _outputs(half: torch.Tensor) -> Outputs:
    ab = functional.interpolate(half, scale_factor=2, mode="bilinear", align_corners=False)
    return {"ab": ab, "ab_half": half}


def squeezed(gray: torch.Tensor, size: int) -> torch.Tensor:
    """Returns the input of the global branch: a photo, resized unless it has the right size."""
    if gray.shape[2:] == (size, size):
        return gray
    return functional.interpolate(gray, (size, size), mode="bilinear", antialias=True)


@contextlib.contextmanager
def still(net: nn.Module) -> Iterator[None]:
    """Leaves the running statistics unchanged."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 0.0
    yield
    for norm in norms:
        norm.momentum = 0.1


def _shared_low(
    low_level: Convs, gray: torch.Tensor, seen: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    low = low_level(gray)
    if seen is gray:
        return low, low
    with still(low_level):
        return low, low_level(seen)


class Iizuka(nn.Module):
    """Gray in [-1, 1], (N, 1, H, W) -> ab / 110, (N, 2, H, W)."""

    def __init__(
        self,
        width: float = 1.0,
        global_size: int = 224,
        num_classes: int = 0,
        norm: bool = True,
        ab_range: float = 110.0,
    ):
        super().__init__()
        self.global_size, self.scale = global_size, ab_range / 110
        self.low_level = Convs(1, LOW_LEVEL, width, norm)
        low = self.low_level.features
        self.mid_level = Convs(low, MID_LEVEL, width, norm)
        self.global_level = GlobalLevel(low, global_size, width, norm)
        self.fusion = _fusion(scaled(256, width) + self.mid_level.features, width, norm)
        self.color1 = Convs(scaled(256, width), [(128, 1)], width, norm)
        self.color2 = Convs(self.color1.features, [(64, 1), (64, 1)], width, norm)
        self.color3 = Convs(self.color2.features, [(32, 1)], width, norm)
        self.head = nn.Conv2d(self.color3.features, 2, 3, padding=1)
        self.classifier = Classifier(num_classes, width, norm) if num_classes > 0 else None

    def outputs(self, gray: torch.Tensor, global_gray: torch.Tensor | None = None) -> Outputs:
        """Returns ab, ab_half and, with a classifier, class_logits."""
        seen = squeezed(gray if global_gray is None else global_gray, self.global_size)
        low, wide = _shared_low(self.low_level, gray, seen)
        vector, for_classes = self.global_level(wide)
        mid = self.mid_level(low)
        x = self.fusion(torch.cat([_spread(vector, mid), mid], dim=1))
        x = self.color2(_double(self.color1(x)))
        x = self.color3(_double(x))
        outputs = _outputs(self.scale * (2 * self.head(x).sigmoid() - 1))
        if self.classifier is not None:
            outputs["class_logits"] = self.classifier(for_classes)
        return outputs

    def forward(self, gray: torch.Tensor) -> torch.Tensor:
        """Returns ab."""
        return self.outputs(gray)["ab"]


class EdgeFusion(nn.Module):
    """Gray in [-1, 1] and edges in {0, 1}, (N, 1, H, W) -> ab / 110, (N, 2, H, W)."""

    def __init__(
        self,
        width: float = 1.0,
        global_size: int = 256,
        global_branch: str = "faithful",
        edges: str = "canny",
        num_classes: int = 0,
        norm: bool = False,
        ab_range: float = 110.0,
    ):
        super().__init__()
        self.global_size, self.scale = global_size, ab_range / 110
        self.is_faithful = global_branch == "faithful"
        self.classifier = None
        if self.is_faithful:
            self.local_level = Convs(1, LOCAL, width, norm)
            self.classification = Convs(1, CLASSIFICATION, width, norm)
            vector = round(1000 * width)
            self.dense1 = nn.Linear((global_size // 8) ** 2, round(1500 * width))
            # The original has no ReLU here, by which the two are one map; neither has BatchNorm.
            self.dense_relu = nn.ReLU()
            self.dense2 = nn.Linear(round(1500 * width), vector)
            local = self.local_level.features
        else:
            self.low_level = Convs(1, LOW_LEVEL, width, norm)
            low = self.low_level.features
            self.mid_level = Convs(low, MID_LEVEL, width, norm)
            self.global_level = GlobalLevel(low, global_size, width, norm)
            vector, local = scaled(256, width), self.mid_level.features
            if num_classes > 0:
                self.classifier = Classifier(num_classes, width, norm)
        self.edge_level = Convs(1, EDGES, width, norm) if edges == "canny" else None
        edge = self.edge_level.features if self.edge_level is not None else 0
        self.fusion = _fusion(local + vector + edge, width, norm)
        self.color1 = Convs(scaled(256, width), [(128, 1)], width, norm)
        self.color2 = Convs(self.color1.features, [(64, 1)], width, norm)
        self.color3 = Convs(self.color2.features, [(32, 1), (16, 1)], width, norm)
        self.head = nn.Conv2d(self.color3.features, 2, 3, padding=1)

    def outputs(
        self,
        gray: torch.Tensor,
        edges: torch.Tensor | None = None,
        global_gray: torch.Tensor | None = None,
    ) -> Outputs:
        """Returns ab, ab_half and, with a classifier, class_logits."""
        seen = squeezed(gray if global_gray is None else global_gray, self.global_size)
        if self.is_faithful:
            local = self.local_level(gray)
            flat = self.classification(seen).flatten(start_dim=1)
            vector = self.dense2(self.dense_relu(self.dense1(flat)))
        else:
            low, wide = _shared_low(self.low_level, gray, seen)
            vector, for_classes = self.global_level(wide)
            local = self.mid_level(low)
        parts = [local, _spread(vector, local)]
        if self.edge_level is not None:
            parts.append(self.edge_level(edges))
        x = self.color1(self.fusion(torch.cat(parts, dim=1)))
        x = self.color3(_double(self.color2(_double(x))))
        outputs = _outputs(self.scale * self.head(x).tanh())
        if self.classifier is not None:
            outputs["class_logits"] = self.classifier(for_classes)
        return outputs

    def forward(self, gray: torch.Tensor, edges: torch.Tensor | None = None) -> torch.Tensor:
        """Returns ab."""
        return self.outputs(gray, edges)["ab"]
