"""Where does the training step of `semantic` spend its time, and where does PyTorch's?

    python -m benchmarks.step_parts
    python -m benchmarks.step_parts --batch 16 --torch-threads 1

Rows, each a separate compiled program; from the third on, each contains the one before it:

    targets    8-bit RGB crops to gray and ab, as in training with targets on the device
    encoder    the encoder alone, forward
    forward    the whole network, forward, as training runs it
    loss       also the targets of the first row and the loss
    gradient   also its gradient
    step       also the optimizer: what `benchmarks.step_time` times

PyTorch's rows start from finished targets and are named torch_encoder, torch_forward,
torch_gradient and torch_step. `benchmarks.pipeline --shards` measures the time of a crop in the
data pipeline.

The rows take turns. Seconds are processor time, which load on the machine changes little, so
`images_per_second` is a rate per core; `ms_per_image` is its inverse, and `ratio_to_peer` is the
speed relative to PyTorch. For CPUs.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from benchmarks import measure, step_time
from colorjax import methods
from colorjax.models.encoders.efficientnet_lite import EfficientNetLite, normalize
from configs import semantic

QUESTION = "parts of the training step of semantic"
PEERS = {part: f"torch_{part}" for part in ("encoder", "forward", "gradient", "step")}


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    config = semantic.get_config(args.arg)
    works = parts(config) | torch_parts(config, args.torch_threads)
    runs = {name: measure.timed(work, time.process_time) for name, work in works.items()}
    seconds = measure.alternate(runs, args.repeats)
    for name, turns in seconds.items():
        measure.print_row(
            QUESTION,
            name,
            turns,
            size=config.data.image_size,
            batch=config.batch_size,
            images=config.batch_size,
            device=measure.host(),
            peer=PEERS.get(name),
            peer_seconds=seconds.get(PEERS.get(name, "")),
            ms_per_image=round(1e3 * statistics.median(turns) / config.batch_size, 2),
        )
    return 0


def parts(config: ConfigDict) -> dict[str, Callable[[], Any]]:
    """Returns row -> a function that runs that part of our step once, compiled."""
    method = methods.build(config)
    key = jax.random.key(config.seed)
    variables = jax.jit(method.init)(key)
    statistics_ = variables["batch_stats"]
    batch = jax.tree.map(jnp.asarray, step_time.synthetic_batch(config, method))
    encoded = jax.jit(method.encoded)(batch)
    network: Any = method.network
    encoder = EfficientNetLite(network.encoder, frozen_blocks=network.frozen_blocks)
    of_encoder = {name: tree["encoder"] for name, tree in variables.items()}

    def loss(params: Any, batch: methods.Fields) -> tuple[jax.Array, Any]:
        return method.loss_and_state({"params": params, "batch_stats": statistics_}, batch, key)

    functions: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "targets": (method.encoded, (batch,)),
        "encoder": (
            lambda variables, gray: encoder.apply(variables, normalize(gray)),
            (of_encoder, encoded["gray"]),
        ),
        "forward": (method.forward, (variables, encoded, key)),
        "loss": (loss, (variables["params"], batch)),
        "gradient": (jax.value_and_grad(loss, has_aux=True), (variables["params"], batch)),
    }

    def run(compiled: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        jax.block_until_ready(compiled(*arguments))

    compiled = {
        name: functools.partial(run, jax.jit(function).lower(*arguments).compile(), arguments)
        for name, (function, arguments) in functions.items()
    }
    return compiled | {"step": functools.partial(step_time.Trainer(config).run, 1)}


def torch_parts(config: ConfigDict, threads: int) -> dict[str, Callable[[], Any]]:
    """Returns the same for PyTorch on a CPU; empty without torch or a twin of the config."""
    try:
        import torch
    except ImportError:
        return {}
    from benchmarks import torch_peers, torch_semantic

    torch.set_num_threads(threads)
    network = methods.build_network(config)
    train = torch_peers.trainer(config, network)
    net: Any = torch_peers.twin(network)
    if isinstance(train, str):
        return {}
    net.train()
    rng = np.random.default_rng(config.seed)
    gray, colors, targets = torch_semantic.random_batch(
        rng, config.batch_size, config.data.image_size
    )

    def gradient() -> None:
        net.zero_grad()
        torch_semantic.loss(net.outputs(gray, colors), targets).backward()

    works = {
        "encoder": torch.no_grad()(lambda: net.encoder(torch_semantic.normalized(gray))),
        "forward": torch.no_grad()(lambda: net.outputs(gray, colors)),
        "gradient": gradient,
        "step": functools.partial(train, 1),
    }
    return {PEERS[name]: work for name, work in works.items()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.step_parts",
        description="Processor time of the parts of a training step, and PyTorch's if installed.",
        epilog="example: python -m benchmarks.step_parts --arg batch=16 --torch-threads 1",
    )
    add, number = parser.add_argument, measure.at_least_one
    add("--arg", default="", metavar="ARGS", help="of configs/semantic.py, such as batch=16")
    add("--repeats", type=number, default=5, help="turns of each row (default: %(default)s)")
    add("--torch-threads", type=number, default=os.cpu_count(), help="(default: %(default)s)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
