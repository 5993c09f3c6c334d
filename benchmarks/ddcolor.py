"""How fast is DDColor, and how much memory does it take, compared with PyTorch?

    python -m benchmarks.ddcolor [--encoders convnext_t,convnext_l] [--sizes 256,512]
        [--repeats 5] [--torch-threads N] [--cpu]

For each encoder and size three rows: the prediction of one photo by the network (`late head`), by
the same network with the published order of the head (`plain head`: the maps of all queries at full
size), and by the PyTorch module of `benchmarks.torch_ddcolor` with the same weights (`torch`).
`ratio_to_peer`: PyTorch's time over ours, the median of rounds in which all three run in turn; with
`--cpu` of CPU seconds of all threads, for a machine that others use too.
`difference`: largest difference of ab from PyTorch's, Lab units. `peak_mib`: by how much the first
prediction raises the resident memory of a process of its own, above the weights (Linux).
"""

from __future__ import annotations

import argparse
import functools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import measure
from colorjax import models
from colorjax.weights.torch import ddcolor as ddcolor_weights

PEER = "torch"
ROWS = ("late head", "plain head", PEER)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.ddcolor", description=__doc__)
    parser.add_argument("--encoders", default="convnext_t,convnext_l")
    parser.add_argument("--sizes", default="256,512", help="sides of the photos, pixels")
    parser.add_argument("--repeats", type=measure.at_least_one, default=5)
    parser.add_argument("--torch-threads", type=int, default=0, help="0: as PyTorch chooses")
    parser.add_argument("--cpu", action="store_true", help="CPU instead of wall seconds")
    parser.add_argument("--memory-of", nargs=3, metavar=("ROW", "ENCODER", "SIZE"))
    args = parser.parse_args(argv)
    if args.memory_of:
        row, encoder, size = args.memory_of
        print(_growth(row, encoder, int(size)))
        return 0
    for encoder in args.encoders.split(","):
        for size in map(int, args.sizes.split(",")):
            clock = time.process_time if args.cpu else time.perf_counter
            for row in rows(encoder, size, args.repeats, args.torch_threads, clock):
                measure.print_row("ddcolor", **row)
    return 0


def rows(
    encoder: str, size: int, repeats: int, threads: int, clock: Callable[[], float]
) -> Iterator[dict[str, Any]]:
    """Yields the printed rows of one encoder and size."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    peer = _peer(encoder)
    network, variables = _ours(peer)
    predict = {
        "late head": _predictor(network, variables, size),
        "plain head": _predictor(network.clone(late_head=False), variables, size),
        PEER: _torch_predictor(peer, size),
    }
    truth = predict[PEER]()
    seconds = measure.alternate(
        {n: measure.timed(run, clock) for n, run in predict.items()}, repeats
    )
    for name in ROWS:
        own = name == PEER
        yield {
            "row": f"{encoder} {name}",
            "seconds": seconds[name],
            "size": size,
            "batch": 1,
            "images": 1,
            "device": measure.host() if own else jax.devices()[0].device_kind,
            "peer": None if own else PEER,
            "peer_seconds": None if own else seconds[PEER],
            "difference": float(np.abs(predict[name]() - truth).max()),
            "peak_mib": _peak_mib(name, encoder, size),
        }


def _peer(encoder: str) -> Any:
    from benchmarks import torch_ddcolor

    return torch_ddcolor.draw(torch_ddcolor.DDColor(encoder))


def _ours(peer: Any) -> tuple[Any, Any]:
    state = {name: array.numpy().copy() for name, array in peer.state_dict().items()}
    model = ddcolor_weights.detect(state)
    variables, _ = ddcolor_weights.to_flax(state, model)
    options = dict(model)
    return models.create(options.pop("name"), **options), jax.device_put(variables)


def _lightness(size: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 100, (1, size, size, 1)).astype(np.float32)


def _predictor(network: Any, variables: Any, size: int) -> Callable[[], np.ndarray]:
    apply = jax.jit(functools.partial(network.apply, train=False))
    inputs = {"gray": _lightness(size) / 50 - 1}
    compiled = apply.lower(variables, inputs).compile()
    return lambda: 110 * np.asarray(compiled(variables, inputs)["ab"])


def _torch_predictor(peer: Any, size: int) -> Callable[[], np.ndarray]:
    import torch

    from benchmarks import torch_ddcolor

    rgb = torch_ddcolor.gray_rgb(torch.tensor(_lightness(size).transpose(0, 3, 1, 2)))

    def predict() -> np.ndarray:
        with torch.no_grad():
            return peer(rgb).numpy().transpose(0, 2, 3, 1)

    return predict


def _peak_mib(row: str, encoder: str, size: int) -> float:
    command = [sys.executable, "-m", "benchmarks.ddcolor", "--memory-of", row, encoder, str(size)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(result.stdout.split()[-1])


def _growth(row: str, encoder: str, size: int) -> float:
    """Returns by how many MiB predicting raises the peak of this process."""
    peer = _peer(encoder)
    if row == PEER:
        predict = _torch_predictor(peer, size)
    else:
        network, variables = _ours(peer)
        del peer
        network = network.clone(late_head=row == "late head")
        predict = _predictor(network, variables, size)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again here
    before = _status_mib("VmRSS")
    predict()
    return round(_status_mib("VmHWM") - before, 1)


def _status_mib(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 2**10


if __name__ == "__main__":
    raise SystemExit(main())
