"""How many images per second does the training step of a config take?

    python -m benchmarks.step_time --config configs/plain_cnn.py
    python -m benchmarks.step_time --config configs/plain_cnn.py --size 128 --batch 32
    python -m benchmarks.step_time --config configs/unet.py --batch 128
    python -m benchmarks.step_time --config configs/cgan.py --batch 128
    python -m benchmarks.step_time --config configs/semantic.py --batch 16 --torch-threads 1
    python -m benchmarks.step_time --config configs/zhang16.py --size 256 --batch 1 --forward

The step is that of training: jitted over all devices, state donated, on one synthetic batch that
is on the devices from the start, so that no time is spent on input. With a critic it is the whole
step, with the updates of both networks. In a run with several phases it is the step of the first
phase in which the colorizer learns. Rows:

    auto     the step as training runs it
    patches  every convolution as gathered patches and one matrix product
    xla      every convolution as XLA's own
    torch    the same network, loss and optimizer as a PyTorch module, where torch is installed;
             otherwise `peer` says why there is none. It starts from finished targets and runs on
             one device. With --torch-compile by torch.compile, with weights stored channels last.

With --forward the prediction is timed instead: of one batch of gray photos, in evaluation mode.

`patches` and `xla` show whether colorjax.models.blocks.convolution chooses the faster form on this
machine. They are omitted for networks that do not use it.

With --cpu, times are processor time of all threads, which other programs change less: use it with
one thread each (`taskset -c 1 ... --torch-threads 1`).

The rows take turns; `median_s` is the median of one turn over `images` images. `ratio_to_peer` is
the speed relative to PyTorch, the median over the turns; it is the number to compare, because load
on the machine changes it little. `compile_s` is the time to trace and compile. `flops_per_image` is
XLA's count for the program before the backend rewrites it, and `gflop_per_second` the rate at
which this work is done.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import runpy
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks import measure
from colorjax import methods
from colorjax.errors import RequestError
from colorjax.methods import resolve
from colorjax.models.blocks import convolution
from colorjax.parallel import mesh as parallel
from colorjax.train import phases

QUESTIONS = {False: "training step images per second", True: "prediction images per second"}
FORMS = ("auto", "patches", "xla")


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        measure_config(read_config(args), args)
    except RequestError as error:
        parser.error(str(error))
    return 0


def read_config(args: argparse.Namespace) -> ConfigDict:
    """Reads --config and sets the fields of the other flags.

    Raises:
        RequestError: no such file, or an argument after the colon that it does not know.
    """
    path, _, arg = args.config.partition(":")
    try:
        config = runpy.run_path(path)["get_config"](arg)
    except (OSError, KeyError, ValueError) as error:
        raise RequestError(f"--config={args.config}: {error}") from None
    config.data.image_size = args.size or config.data.image_size
    config.batch_size = args.batch or config.batch_size
    config.data.targets = args.targets or config.data.targets
    config.dtype = args.dtype or config.dtype
    return config


def measure_config(config: ConfigDict, args: argparse.Namespace) -> None:
    """Measures and prints all rows of a config."""
    build = Predictor if args.forward else Trainer
    trainers = build_trainers(build, config, args.forms)
    clock = time.process_time if args.cpu else time.perf_counter
    runs = {
        form: measure.timed(functools.partial(trainer.run, args.steps), clock)
        for form, trainer in trainers.items()
    }
    peer = build_peer(config, args)
    if not isinstance(peer, str):
        runs["torch"] = measure.timed(functools.partial(peer, args.steps), clock)
    seconds = measure.alternate(runs, args.repeats)
    print_row = functools.partial(
        measure.print_row,
        QUESTIONS[args.forward],
        size=config.data.image_size,
        batch=config.batch_size,
        images=config.batch_size * args.steps,
        config=args.config,
        dtype=config.dtype,
    )
    for form, trainer in trainers.items():
        print_row(
            form,
            seconds[form],
            device=f"{jax.device_count()} x {jax.devices()[0].device_kind}, {measure.host()}",
            peer=peer if isinstance(peer, str) else "torch",
            peer_seconds=seconds.get("torch"),
            targets=config.data.targets,
            compile_s=round(trainer.compile_s, 3),
            **trainer.work_done(seconds[form], args.steps),
        )
    if "torch" in seconds:
        from benchmarks import torch_peers

        device = f"{torch_peers.device()}, {args.torch_threads} threads, {measure.host()}"
        print_row(
            "torch",
            seconds["torch"],
            device=device,
            targets="host",
            compiled=args.torch_compile,
        )


# The colorjax rows.


class Trainer:
    """The step as the training loop jits it, with a state and a batch on the devices."""

    def __init__(self, config: ConfigDict):
        """Initializes and compiles.

        Raises:
            RequestError: the config cannot be built.
        """
        layout = parallel.make_layout(config.batch_size)
        config = resolve.resolve_head(config, methods.build_loss(config))
        method = methods.build(config)
        plan = phases.build(config, method, num_photos=config.batch_size)
        phase = next(phase for phase in plan.phases if phase.teaches)
        jitted = jax.jit(
            phase.step, donate_argnums=0, out_shardings=(layout.replicated, layout.replicated)
        )
        key = jax.random.key(config.seed)
        self._batch_size = config.batch_size
        self._state = jax.jit(plan.create, out_shardings=layout.replicated)(key)
        self._batch = parallel.to_global(synthetic_batch(config, method), layout)
        start = time.perf_counter()
        lowered = jitted.lower(self._state, self._batch)
        self._step = lowered.compile()
        self.compile_s = time.perf_counter() - start
        # The compiled program counts the work of one device alone.
        self._flops = (lowered.cost_analysis() or {}).get("flops")
        self.temporary_bytes = self._step.memory_analysis().temp_size_in_bytes

    def run(self, number: int) -> None:
        """Trains for a number of steps and waits for the last."""
        for _ in range(number):
            self._state, metrics = self._step(self._state, self._batch)
        jax.block_until_ready((self._state, metrics))

    def work_done(self, seconds: list[float], number: int) -> dict[str, float | None]:
        """Returns FLOPs per image, and the rate over runs of `number` steps; None: unknown."""
        if not self._flops:
            return {"flops_per_image": None, "gflop_per_second": None}
        rate = number * self._flops / statistics.median(seconds)
        return {
            "flops_per_image": round(self._flops / self._batch_size),
            "gflop_per_second": round(rate / 1e9, 1),
        }


class Predictor:
    """The prediction of a batch of lightness, as evaluation and `colorize` compile it."""

    def __init__(self, config: ConfigDict):
        """Initializes and compiles.

        Raises:
            RequestError: the config cannot be built.
        """
        method = methods.build(config, with_loss=False)
        size = config.data.image_size
        rng = np.random.default_rng(config.seed)
        shape = (config.batch_size, size, size, 1)
        fields = {"gray": rng.uniform(-1, 1, shape).astype(np.float32)} | edges(config, method)
        self._batch_size = config.batch_size
        self._arguments = jax.jit(method.init)(jax.random.key(config.seed)), fields
        start = time.perf_counter()
        lowered = jax.jit(method.predict_ab).lower(*self._arguments)
        self._predict = lowered.compile()
        self.compile_s = time.perf_counter() - start
        self._flops = (lowered.cost_analysis() or {}).get("flops")

    def run(self, number: int) -> None:
        """Predicts a number of times, waiting for each."""
        for _ in range(number):
            jax.block_until_ready(self._predict(*self._arguments))

    work_done = Trainer.work_done


def build_trainers(
    build: type, config: ConfigDict, forms: Sequence[str]
) -> dict[str, Trainer | Predictor]:
    """Builds one for each form of convolution that changes the network's program."""
    trainers: dict[str, Trainer | Predictor] = {}
    for form in forms:
        with convolutions_as(form) as convolve:
            trainer = build(config)
        if form == "auto" or convolve.called:
            trainers[form] = trainer
    return trainers


@contextlib.contextmanager
def convolutions_as(form: str) -> Iterator[mock.Mock]:
    """Makes convolutions traced inside use one form, and counts them."""
    convolve = convolution.convolve

    def forced(*args: Any, **options: Any) -> jax.Array:
        chosen = {} if form == "auto" else {"as_patches": form == "patches"}
        return convolve(*args, **options | chosen)

    with mock.patch.object(convolution, "convolve", side_effect=forced) as spy:
        yield spy


def synthetic_batch(config: ConfigDict, method: methods.Method) -> dict[str, np.ndarray]:
    """Returns noise in the form of a training batch."""
    size = config.data.image_size
    rng = np.random.default_rng(config.seed)
    rgb = rng.integers(0, 256, (config.batch_size, size, size, 3), np.uint8)
    fields = method.encode(rgb) if config.data.targets == "host" else {}
    if "rgb" in method.wanted or config.data.targets == "device":
        fields["rgb"] = rgb
    return fields | edges(config, method) | {"label": np.zeros(config.batch_size, np.int32)}


def edges(config: ConfigDict, method: methods.Method) -> dict[str, np.ndarray]:
    """Returns noise for the input `edges`, if the network has it."""
    if "edges" not in method.network.inputs:
        return {}
    shape = (config.batch_size, config.data.image_size, config.data.image_size, 1)
    return {"edges": np.random.default_rng(config.seed).integers(0, 2, shape, np.uint8)}


# The PyTorch row.


def build_peer(config: ConfigDict, args: argparse.Namespace) -> Callable[[int], None] | str:
    """Returns a function that runs the PyTorch twin a number of times, or why none can."""
    try:
        import torch
    except ImportError:
        return "torch not installed"
    from benchmarks import torch_peers

    if torch_peers.device() == "cpu" and jax.default_backend() != "cpu":
        return "torch has no such device"
    torch.set_num_threads(args.torch_threads)
    network = methods.build(config).network
    build = torch_peers.forward if args.forward else torch_peers.trainer
    return build(config, network, is_compiled=args.torch_compile)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.step_time",
        description="Images per second of a config's training step, and PyTorch's.",
        epilog="example: python -m benchmarks.step_time --config configs/plain_cnn.py --batch 32",
    )
    add, number = parser.add_argument, measure.at_least_one
    add("--config", required=True, metavar="FILE.py[:ARGS]", help="as for colorjax.main")
    add("--size", type=number, help="pixels (default: the config's)")
    add("--batch", type=number, help="images in a batch (default: the config's)")
    add(
        "--targets",
        choices=("host", "device"),
        help="where Lab is computed (default: the config's)",
    )
    add("--dtype", choices=("float32", "bfloat16"), help="(default: the config's)")
    add("--forms", nargs="+", choices=FORMS, default=FORMS, help="rows (default: all)")
    add("--forward", action="store_true", help="time the prediction instead of the training step")
    add("--steps", type=number, default=5, help="in one turn (default: %(default)s)")
    add("--repeats", type=number, default=5, help="turns of each row (default: %(default)s)")
    add("--torch-threads", type=number, default=os.cpu_count(), help="(default: %(default)s)")
    add(
        "--cpu", action="store_true", help="processor time instead of wall time, for a busy machine"
    )
    add("--torch-compile", action="store_true", help="compile the PyTorch row")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
