"""PyTorch twins of our networks, their losses and optimizers. Needs torch.

A config's `dtype` bfloat16 becomes autocast: the weights and the loss stay float32, as ours do.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
from ml_collections import ConfigDict
from torch import nn
from torch.nn import functional

from benchmarks import torch_ddcolor, torch_iizuka, torch_semantic, torch_unet, torch_zhang
from colorjax import models
from colorjax.models.ddcolor import DDColor
from colorjax.models.edge_fusion import EdgeFusion
from colorjax.models.iizuka import Iizuka
from colorjax.models.plain_cnn import PlainCNN
from colorjax.models.semantic import Semantic
from colorjax.models.unet import UNet
from colorjax.models.zhang16 import Zhang16

NO_TWIN = "no PyTorch twin of this config"
OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
LOSSES = ("mse", "mse_and_class", "rebalanced_ce", "ce", "smooth_l1_and_bins")


def device() -> str:
    """Returns "cuda" if both JAX and torch can use a GPU."""
    return "cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else "cpu"


def twin(network: models.Network) -> nn.Module | None:
    """Returns the PyTorch module of a network; None if there is none."""
    if isinstance(network, PlainCNN):
        return plain_cnn(network)
    if isinstance(network, Zhang16) and network.head == "bins":
        return torch_zhang.Zhang16(network.width)
    if isinstance(network, UNet) and network.head != "bins" and network.norm == "batch":
        is_in_lab = network.space in ("ab", "lab")  # the loss compares ab
        options = network.layout, network.width, network.space, network.dropout
        return torch_unet.UNet(*options) if is_in_lab else None
    if isinstance(network, Iizuka) and _is_written(network, activation="relu"):
        return torch_iizuka.Iizuka(
            network.width,
            network.global_size,
            network.num_classes,
            network.norm,
            network.ab_range,
        )
    as_written = {"dense_activation": "relu", "raw_lightness": False}
    if isinstance(network, EdgeFusion) and _is_written(network, **as_written):
        return torch_iizuka.EdgeFusion(
            network.width,
            network.global_size,
            network.global_branch,
            network.edges,
            network.num_classes,
            network.norm,
            network.ab_range,
        )
    if isinstance(network, Semantic) and _is_plain(network):
        twin = torch_semantic.Semantic(network.encoder, network.frozen_blocks, network.width)
        return twin.to(memory_format=torch.channels_last)  # 1.25 times as fast on a CPU
    if isinstance(network, DDColor) and network.full_size and network.spectral_norm:
        sizes = network.dim, network.queries, network.layers, network.mlp
        return torch_ddcolor.OfGray(network.encoder, network.widths, *sizes)
    return None


def placed(net: nn.Module, *, is_compiled: bool) -> nn.Module:
    """Moves a twin to the device; to be compiled, its weights are stored channels last."""
    if is_compiled:
        torch.set_float32_matmul_precision("high")  # TF32, as XLA's default on a GPU
        net = net.to(memory_format=torch.channels_last)
    return net.to(device())


def compiled(function: Callable[..., Any], *, is_compiled: bool) -> Callable[..., Any]:
    """Returns a function compiled by torch; parts that torch cannot compile run as they are."""
    if not is_compiled:
        return function
    torch._dynamo.config.suppress_errors = True
    return torch.compile(function)


def autocast(config: ConfigDict) -> torch.autocast:
    """Returns the context in which a twin computes in the dtype of the config."""
    return torch.autocast(device(), torch.bfloat16, enabled=config.dtype == "bfloat16")


def _is_plain(network: Semantic) -> bool:
    """Whether a network has the options with which torch_semantic was written."""
    written = {
        "encoder_norm": "frozen",
        "decoder": "plain",
        "decoder_norm": "batch",
        "add_layer": False,
        "hint_guide": False,
    }
    return all(getattr(network, name) == value for name, value in written.items())


def _is_written(network: Iizuka | EdgeFusion, **options: Any) -> bool:
    """Whether a network has the options with which torch_iizuka was written."""
    written = options | {"upsample": "bilinear"}
    has_edges = getattr(network, "edges", "off") in ("canny", "off")
    return has_edges and all(getattr(network, name) == value for name, value in written.items())


def trainer(
    config: ConfigDict, network: models.Network, *, is_compiled: bool = False
) -> Callable[[int], None] | str:
    """Returns a function that trains the twin for a number of steps, or why none can."""
    if config.loss.name == "adversarial":
        return gan_trainer(config, network)
    net, options = twin(network), config.optimizer
    known = config.loss.name in LOSSES and options.name in OPTIMIZERS
    if net is None or not known:
        return NO_TWIN
    if config.loss.name == "mse_and_class" and (
        config.loss.reduction != "mean" or config.loss.compare_at != "full"
    ):
        return NO_TWIN
    judges = ("feature_weight", "adversarial_weight")
    if config.loss.name == "smooth_l1_and_bins" and any(config.loss[name] for name in judges):
        return NO_TWIN
    if config.batch_size == 1 and any(isinstance(m, nn.BatchNorm1d) for m in net.modules()):
        return "PyTorch has no BatchNorm over one value"
    net = placed(net, is_compiled=is_compiled).train()
    learned = [parameter for parameter in net.parameters() if parameter.requires_grad]
    optimizer = OPTIMIZERS[options.name](
        learned,
        options.learning_rate,
        (options.b1, options.b2),
        eps=1e-8,
        weight_decay=options.weight_decay,
    )
    rng = np.random.default_rng(config.seed)
    batch, size = config.batch_size, config.data.image_size

    def random(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.uniform(-1, 1, shape).astype(np.float32)).to(device())

    gray = random(batch, 1, size, size)
    inputs = (gray, *side_inputs(config, network))
    ab = random(batch, 2, size, size)
    shares = random(batch, 313, size // 4, size // 4).softmax(dim=1)
    weights = random(batch, size // 4, size // 4)
    num_classes = max(1, getattr(network, "num_classes", 0))
    labels = torch.from_numpy(rng.integers(0, num_classes, batch)).to(device())

    if isinstance(net, torch_semantic.Semantic):
        noise = torch_semantic.random_batch(rng, batch, size, device())
        terms = {name: config.loss[name] for name in ("delta", "l1_weight", "class_weight")}

    def loss() -> torch.Tensor:
        if isinstance(net, torch_semantic.Semantic):
            return torch_semantic.loss(
                net.outputs(noise.gray, noise.colors), noise.targets, **terms
            )
        if isinstance(net, torch_zhang.Zhang16):
            log_shares = net.logits(50 * (gray + 1)).log_softmax(dim=1)
            return -(weights * (shares * log_shares).sum(dim=1)).mean()
        if not isinstance(net, torch_iizuka.Iizuka | torch_iizuka.EdgeFusion):
            return functional.mse_loss(net(gray), ab)
        outputs = net.outputs(*inputs)
        total = functional.mse_loss(outputs["ab"], ab)
        if "class_logits" in outputs and config.loss.name == "mse_and_class":
            cross_entropy = functional.cross_entropy(outputs["class_logits"], labels)
            total = total + config.loss.alpha * cross_entropy
        return total

    loss_of = compiled(loss, is_compiled=is_compiled)

    def run(number: int) -> None:
        for _ in range(number):
            optimizer.zero_grad()
            with autocast(config):
                value = loss_of()
            value.backward()
            if options.clip_norm:
                nn.utils.clip_grad_norm_(learned, options.clip_norm)
            optimizer.step()
        value.item()  # waits for the device

    return run


def gan_trainer(config: ConfigDict, network: models.Network) -> Callable[[int], None] | str:
    """Returns a function that trains the twins of a conditional GAN, or why none can."""
    implemented = {
        "critic.name": "patch",
        "critic.conditional": True,
        "critic.norm": True,
        "critic.spectral_norm": False,
        "critic.attention": False,
        "turns.kind": "ratio",
        "turns.critic_steps": 1,
        "loss.gan": "bce",
        "loss.true_target": 1.0,
        "loss.fooling_target": 1.0,
        "loss.adversarial_weight": 1.0,
        "loss.cosine_weight": 0.0,
        "loss.feature_weight": 0.0,
        "optimizer.name": "adam",
        "critic_optimizer.name": "adam",
        "dtype": "float32",
    }
    net = twin(network)
    given = config.to_dict()
    values = {name: functools.reduce(_get, name.split("."), given) for name in implemented}
    if net is None or values != implemented or getattr(network, "space", "ab") != "ab":
        return NO_TWIN
    critic = torch_unet.PatchCritic(2, config.critic.width).to(device()).train()
    net = net.to(device()).train()
    optimizers = torch_unet.cgan_optimizers(net, critic)
    rng = np.random.default_rng(config.seed)
    batch, size = config.batch_size, config.data.image_size
    gray, ab = (
        torch.from_numpy(rng.uniform(-1, 1, (batch, n, size, size)).astype(np.float32)).to(device())
        for n in (1, 2)
    )
    options = {
        "generator_steps": config.turns.generator_steps,
        "l1_weight": config.loss.l1_weight,
    }

    def run(number: int) -> None:
        for _ in range(number):
            losses = torch_unet.cgan_step(net, critic, optimizers, gray, ab, **options)
        losses.generator.item()  # waits for the device

    return run


def _get(tree: Any, name: str) -> Any:
    return tree.get(name) if isinstance(tree, dict) else None


def forward(
    config: ConfigDict, network: models.Network, *, is_compiled: bool = False
) -> Callable[[int], None] | str:
    """Returns a function that predicts with the twin a number of times, or why none can."""
    net = twin(network)
    if net is None:
        return NO_TWIN
    net = placed(net, is_compiled=is_compiled).eval()
    predict = compiled(net, is_compiled=is_compiled)
    size = config.data.image_size
    gray = torch.rand(config.batch_size, 1, size, size, device=device())
    inputs = (gray, *side_inputs(config, network))

    def run(number: int) -> None:
        with torch.inference_mode(), autocast(config):
            for _ in range(number):
                predict(*inputs).sum().item()

    return run


def side_inputs(config: ConfigDict, network: models.Network) -> list[torch.Tensor]:
    """Returns noise for the twin's inputs other than gray: edges, if the network takes them."""
    if "edges" not in network.inputs:
        return []
    shape = (config.batch_size, 1, config.data.image_size, config.data.image_size)
    edges = np.random.default_rng(config.seed).integers(0, 2, shape)
    return [torch.from_numpy(edges.astype(np.float32)).to(device())]


def plain_cnn(like: PlainCNN) -> Any:
    """Builds the PyTorch module with the layers of `like`: (N, 1, H, W) to (N, 2, H, W)."""

    def up(features_in: int, features: int) -> nn.Module:
        return nn.ConvTranspose2d(features_in, features, kernel_size=4, stride=2, padding=1)

    def after(features: int) -> list[nn.Module]:  # flax's momentum 0.9 is 0.1 here
        return [nn.ReLU(), nn.BatchNorm2d(features, eps=1e-5, momentum=0.1)]

    layers: list[nn.Module] = []
    channels, size = 1, like.kernel_size
    for features, stride in zip(like.filters, like.strides, strict=False):
        dilation = like.dilation if stride == 1 else 1
        padding = dilation * (size // 2)
        conv = nn.Conv2d(channels, features, size, stride, padding, dilation)
        layers += [conv, *after(features)]
        channels = features
    layers.append(nn.Dropout(like.dropout))
    ups = like.strides.count(2)
    for _ in range(ups - 1):
        layers += [up(channels, like.filters[-1]), *after(like.filters[-1])]
        channels = like.filters[-1]
    head = up(channels, 2) if ups else nn.Conv2d(channels, 2, size, padding=size // 2)
    return nn.Sequential(*layers, head, nn.Tanh())
