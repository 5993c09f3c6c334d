"""The network of DDColor as a PyTorch module, with the published names.

Written from the published tables of layers: the peer of benchmarks and of the parity tests. Needs
torch.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import spectral_norm

from colorjax import color

STAGES = {  # blocks and channels of each stage
    "convnext_t": ((3, 3, 9, 3), (96, 192, 384, 768)),
    "convnext_l": ((3, 3, 27, 3), (192, 384, 768, 1536)),
    "convnext_test": ((1, 1, 2, 1), (8, 16, 24, 32)),
}
HEADS = 8


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of (N, C, H, W)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (N, C, H, W) to the same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """A block of ConvNeXt."""

    def __init__(self, dim: int):
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.pwconv1 = nn.Linear(dim, 4 * dim)
        self.pwconv2 = nn.Linear(4 * dim, dim)
        self.gamma = nn.Parameter(1e-6 * torch.ones(dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (N, C, H, W) to the same shape."""
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.gamma * self.pwconv2(functional.gelu(self.pwconv1(y)))
        return x + y.permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """The encoder: normalized maps at strides 4, 8, 16 and 32."""

    def __init__(self, variant: str):
        super().__init__()
        depths, dims = STAGES[variant]
        self.downsample_layers = nn.ModuleList()
        self.stages = nn.ModuleList()
        for i, (depth, dim) in enumerate(zip(depths, dims, strict=True)):
            if i == 0:
                layers = [nn.Conv2d(3, dim, 4, 4), ChannelNorm(dim, eps=1e-6)]
            else:
                before = dims[i - 1]
                layers = [ChannelNorm(before, eps=1e-6), nn.Conv2d(before, dim, 2, 2)]
            self.downsample_layers.append(nn.Sequential(*layers))
            self.stages.append(nn.Sequential(*[Block(dim) for _ in range(depth)]))
            self.add_module(f"norm{i}", ChannelNorm(dim, eps=1e-6))
        self.norm = nn.LayerNorm(dims[-1], eps=1e-6)  # without effect

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Maps (N, 3, H, W) to four maps."""
        maps = []
        for i, (down, stage) in enumerate(zip(self.downsample_layers, self.stages, strict=True)):
            x = stage(down(x))
            maps.append(getattr(self, f"norm{i}")(x))
        return maps


def blurred(x: torch.Tensor) -> torch.Tensor:
    """Returns the mean of each pixel with those above and at the left."""
    return functional.avg_pool2d(functional.pad(x, (1, 0, 1, 0), mode="replicate"), 2, 1)


class Shuffle(nn.Module):
    """A convolution, a pixel shuffle and the blur."""

    def __init__(self, i: int, o: int, factor: int, *, norm: bool):
        super().__init__()
        conv = spectral_norm(nn.Conv2d(i, o * factor**2, 1, bias=not norm))
        self.conv = nn.Sequential(conv, *([nn.BatchNorm2d(o * factor**2)] if norm else []))
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (N, I, H, W) to (N, O, factor H, factor W)."""
        x = functional.relu(self.conv(x))
        return blurred(functional.pixel_shuffle(x, self.factor))


class UnetBlock(nn.Module):
    """A block of the pixel decoder."""

    def __init__(self, i: int, skip: int, o: int):
        super().__init__()
        self.shuf = Shuffle(i, o, 2, norm=True)
        self.bn = nn.BatchNorm2d(skip)
        conv = spectral_norm(nn.Conv2d(o + skip, o, 3, padding=1, bias=False))
        self.conv = nn.Sequential(conv, nn.ReLU(), nn.BatchNorm2d(o))

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Maps (N, I, H, W) and (N, J, 2 H, 2 W) to (N, O, 2 H, 2 W)."""
        return self.conv(functional.relu(torch.cat([self.shuf(x), self.bn(skip)], dim=1)))


def sine_encoding(height: int, width: int, features: int) -> torch.Tensor:
    """Returns the position encoding (features, height, width)."""
    half = features // 2
    scale = 10_000 ** (2 * (torch.arange(half) // 2) / half)

    def of_axis(length: int) -> torch.Tensor:
        position = torch.arange(1, length + 1) / (length + 1e-6) * 2 * math.pi
        angle = position[:, None] / scale
        pairs = torch.stack((angle[:, 0::2].sin(), angle[:, 1::2].cos()), dim=2)
        return pairs.flatten(1).T

    y = of_axis(height)[:, :, None].expand(-1, -1, width)
    x = of_axis(width)[:, None, :].expand(-1, height, -1)
    return torch.cat([y, x])


class CrossAttention(nn.Module):
    """Attention of the queries to a map."""

    def __init__(self, dim: int):
        super().__init__()
        self.multihead_attn = nn.MultiheadAttention(dim, HEADS)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x, positions, tokens, encoding):
        """Maps queries (Q, N, D) to the same shape."""
        y, _ = self.multihead_attn(x + positions, tokens + encoding, tokens)
        return self.norm(x + y)


class SelfAttention(nn.Module):
    """Attention among the queries."""

    def __init__(self, dim: int):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(dim, HEADS)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x, positions):
        """Maps queries (Q, N, D) to the same shape."""
        y, _ = self.self_attn(x + positions, x + positions, x)
        return self.norm(x + y)


class FeedForward(nn.Module):
    """Two dense layers."""

    def __init__(self, dim: int, mlp: int):
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(dim, mlp), nn.Linear(mlp, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x):
        """Maps queries (Q, N, D) to the same shape."""
        return self.norm(x + self.linear2(functional.relu(self.linear1(x))))


class Layers(nn.Module):
    """The dense layers of the color embeddings."""

    def __init__(self, dim: int, features: int):
        super().__init__()
        sizes = (dim, dim, features)
        self.layers = nn.ModuleList(nn.Linear(dim, size) for size in sizes)

    def forward(self, x):
        """Maps (N, Q, D) to (N, Q, features)."""
        for layer in self.layers[:-1]:
            x = functional.relu(layer(x))
        return self.layers[-1](x)


class ColorDecoder(nn.Module):
    """Learned queries that attend to three maps in turn."""

    def __init__(self, widths, dim: int, queries: int, layers: int, mlp: int):
        super().__init__()
        self.query_feat = nn.Embedding(queries, dim)
        self.query_embed = nn.Embedding(queries, dim)
        self.level_embed = nn.Embedding(3, dim)
        self.input_proj = nn.ModuleList(nn.Conv2d(width, dim, 1) for width in widths)
        numbers = range(layers)
        self.transformer_cross_attention_layers = nn.ModuleList(
            CrossAttention(dim) for _ in numbers
        )
        self.transformer_self_attention_layers = nn.ModuleList(SelfAttention(dim) for _ in numbers)
        self.transformer_ffn_layers = nn.ModuleList(FeedForward(dim, mlp) for _ in numbers)
        self.decoder_norm = nn.LayerNorm(dim)
        self.color_embed = Layers(dim, widths[-1])

    def forward(self, maps, features):
        """Maps three maps and features (N, C, H, W) to (N, Q, H, W)."""
        tokens, encodings = [], []
        for level, x in enumerate(maps):
            y = self.input_proj[level](x).flatten(2).permute(2, 0, 1)
            tokens.append(y + self.level_embed.weight[level])
            encoding = sine_encoding(*x.shape[2:], self.query_feat.embedding_dim)
            encodings.append(encoding.flatten(1).T[:, None])
        number = maps[0].shape[0]
        positions = self.query_embed.weight[:, None].expand(-1, number, -1)
        x = self.query_feat.weight[:, None].expand(-1, number, -1)
        for i, (cross, among, dense) in enumerate(
            zip(
                self.transformer_cross_attention_layers,
                self.transformer_self_attention_layers,
                self.transformer_ffn_layers,
                strict=True,
            )
        ):
            x = cross(x, positions, tokens[i % 3], encodings[i % 3])
            x = dense(among(x, positions))
        embeddings = self.color_embed(self.decoder_norm(x).transpose(0, 1))
        return torch.einsum("nqc,nchw->nqhw", embeddings, features)


class Decoder(nn.Module):
    """Pixel decoder and color decoder."""

    def __init__(self, channels, widths, dim, queries, layers, mlp):
        super().__init__()
        inputs = (channels[3], *widths[:2])
        self.layers = nn.ModuleList(
            UnetBlock(i, skip, o)
            for i, skip, o in zip(inputs, channels[2::-1], widths, strict=True)
        )
        self.last_shuf = Shuffle(widths[-1], widths[-1], 4, norm=False)
        self.color_decoder = ColorDecoder(widths, dim, queries, layers, mlp)

    def forward(self, maps):
        """Maps the encoder's four maps to (N, Q, H, W)."""
        *skips, x = maps
        outputs = []
        for block, skip in zip(self.layers, skips[::-1], strict=True):
            x = block(x, skip)
            outputs.append(x)
        return self.color_decoder(outputs, self.last_shuf(x))


class Encoder(nn.Module):
    """The encoder under its published name."""

    def __init__(self, variant: str):
        super().__init__()
        self.arch = ConvNeXt(variant)

    def forward(self, x):
        """Maps (N, 3, H, W) to four maps."""
        return self.arch(x)


class DDColor(nn.Module):
    """sRGB of the neutral color in [0, 1], (N, 3, H, W) -> ab in Lab units, (N, 2, H, W)."""

    def __init__(
        self,
        encoder: str = "convnext_l",
        widths: tuple[int, ...] = (512, 512, 256),
        dim: int = 256,
        queries: int = 100,
        layers: int = 9,
        mlp: int = 2048,
    ):
        super().__init__()
        self.encoder = Encoder(encoder)
        self.decoder = Decoder(STAGES[encoder][1], widths, dim, queries, layers, mlp)
        self.refine_net = nn.Sequential(nn.Sequential(spectral_norm(nn.Conv2d(queries + 3, 2, 1))))
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1))

    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        """Returns ab of CIE Lab."""
        x = (rgb - self.mean) / self.std
        maps = self.decoder(self.encoder(x))
        return self.refine_net(torch.cat([maps, x], dim=1))


class OfGray(DDColor):
    """The network for gray in [0, 1], (N, 1, H, W), as the peer of a prediction's speed."""

    def forward(self, gray: torch.Tensor) -> torch.Tensor:
        """Returns ab of CIE Lab."""
        return super().forward(gray.expand(-1, 3, -1, -1))


def gray_rgb(lightness: torch.Tensor) -> torch.Tensor:
    """Returns the input of the network for L in [0, 100], (N, 1, H, W)."""
    gray = color.gray_of_lightness(lightness.numpy().astype(np.float64))
    return torch.tensor(gray, dtype=torch.float32).expand(-1, 3, -1, -1)


def converge(net: nn.Module, iterations: int = 50) -> None:
    """Converges the vectors of all spectral norms: fresh ones are random."""
    with torch.no_grad():
        for module in net.modules():
            if hasattr(module, "weight_u"):
                matrix = module.weight_orig.flatten(1)
                for _ in range(iterations):
                    v = functional.normalize(matrix.T @ module.weight_u, dim=0)
                    module.weight_v.copy_(v)
                    module.weight_u.copy_(functional.normalize(matrix @ v, dim=0))


def draw(net: DDColor, seed: int = 0, run=None) -> DDColor:
    """Draws weights that carry signal through every layer, and converged spectral norms.

    Args:
        net: the network.
        seed: of the weights.
        run: a pass over photos, from which BatchNorm takes its statistics; None: random ones.
    """
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, x in net.named_parameters():
            if name.endswith("gamma"):
                x.uniform_(0.1, 0.5)
            elif "_embed.weight" in name or "query_feat" in name:
                x.normal_()
            elif x.dim() > 1:
                x.normal_(0, math.sqrt((1 if x.dim() == 2 else 2) / x[0].numel()))
            elif name.endswith("bias"):
                x.normal_(0, 0.1)
            else:
                x.uniform_(0.6, 1.4)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 1.5)
    converge(net)
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    net.eval()
    if run is None:
        return net
    for norm in norms:
        norm.momentum = None  # the plain average of what it sees
        norm.train()
    with torch.no_grad():
        run()
    return net.eval()
