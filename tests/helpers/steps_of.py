"""A program: the first steps of configs on as many devices as the environment says.

    PYTHONPATH=. JAX_NUM_CPU_DEVICES=4 python tests/helpers/steps_of.py \
        HOSTS STEPS own|sgd kinked|round [NAME ...]

prints {config: [[grad_norm, loss], ...]}, both networks' where there are two. HOSTS is off, or what
`--distributed` takes. A pre-activation that stands within rounding of 0 falls on either side of
ReLU's kink, and a gradient with it; `round` takes the kinks of ReLU and ReLU6 away, and leaves the
rest as it is.
"""

import importlib
import json
import sys

import flax.linen as nn
import jax
import numpy as np

from colorjax import methods
from colorjax.methods import resolve
from colorjax.models.blocks import iizuka_blocks
from colorjax.parallel import hosts
from colorjax.parallel import mesh as parallel
from colorjax.train import compile_check, phases, start, steps

CONFIGS = {
    "plain_cnn": ("size=32", {"model.filters": (4, 8, 8, 8, 8, 8, 8)}),
    "iizuka": ("size=32,width=0.0625", {"model.global_size": 32}),
    "edge_fusion": ("size=32,width=0.0625", {"model.global_size": 32}),
    "unet": ("size=32,width=0.0625", {}),
    "cgan": ("size=32,width=0.0625", {}),
    "nogan": ("size=32,width=0.0625", {"nogan.generated": 0.3}),
    "zhang16": ("size=32,width=0.0625", {}),
    "zhang17": ("size=32,width=0.0625", {}),
    "semantic": ("encoder=tiny,size=32,width=0.125", {}),
    "ddcolor": (
        "encoder=convnext_test,size=32",
        {"critic.blocks": 2, "critic.width": 0.25, "loss.feature_weight": 0.0},
    ),
}

# With a network whose steps are not measured here: those of DDColor are the same.
EVERY = CONFIGS | {"deoldify": ("size=32,width=0.125", {})}


def config_of(name, optimizer="own", batch=8, **changes):
    arguments, own = EVERY[name]
    config = importlib.import_module(f"configs.{name}").get_config(f"{arguments},batch={batch}")
    with config.unlocked():
        found = {"evaluation.batch_size": batch}
        if optimizer == "sgd":
            plain = {"name": "sgd", "learning_rate": 1e-3, "clip_norm": 0.0}
            plain |= {"weight_decay": 0.0, "schedule": "constant"}
            found |= {f"optimizer.{key}": value for key, value in plain.items()}
        known = config.to_dict()
        for key, value in (found | own | changes).items():
            first, _, second = key.partition(".")
            if first in known and (not second or second in known[first]):
                config.update_from_flattened_dict({key: value})
    return config


def batches_of(config, method, number):
    rng = np.random.default_rng(1)
    shapes = compile_check.batch_shapes(config, method)
    for _ in range(number):
        found = {}
        for name, shape in shapes.items():
            if name == "label":
                found[name] = rng.integers(0, 2, shape.shape).astype(np.int32)
            elif shape.dtype == np.uint8:
                high = 2 if name == "edges" else 256
                found[name] = rng.integers(0, high, shape.shape).astype(np.uint8)
            else:
                found[name] = rng.uniform(-0.5, 0.5, shape.shape).astype(np.float32)
        yield found


def first_steps(config, number):
    """The loss and gradient norm of the first steps of every phase."""
    layout = parallel.layout_of(config)
    config = resolve.resolve(config, 2)
    method = methods.build(config)
    plan = phases.build(config, method, num_photos=24)
    state = start.initialize(plan, method, config, layout)
    found = []
    for phase in plan.phases:
        state = start.begin(phase, state, layout)
        step = jax.jit(
            steps.gathering(phase.step, layout),
            out_shardings=(layout.of_state(state), layout.replicated),
        )
        for batch in batches_of(config, method, number):
            index, count = jax.process_index(), jax.process_count()
            own = {name: np.split(x, count)[index] for name, x in batch.items()}
            state, metrics = step(state, parallel.to_global(own, layout))
            values = steps.computed({k: float(v) for k, v in metrics.items()})
            found.append(
                [v for k, v in sorted(values.items()) if k.endswith(("loss", "grad_norm"))]
            )
    return found


def round_off():
    """Takes the kinks out of ReLU and ReLU6, for about a tenth around each."""

    def leaky_relu(x, slope=0.01):
        return slope * x + (1 - slope) * 0.1 * jax.nn.softplus(x / 0.1)

    nn.relu = jax.nn.relu = lambda x: leaky_relu(x, 0.0)
    nn.relu6 = jax.nn.relu6 = lambda x: nn.relu(x) - nn.relu(x - 6)
    nn.leaky_relu = jax.nn.leaky_relu = leaky_relu
    iizuka_blocks.ACTIVATIONS["relu"] = nn.relu


if __name__ == "__main__":
    processes, number, optimizer, activation, *names = sys.argv[1:]
    hosts.connect(processes)
    if activation == "round":
        round_off()
    result = {n: first_steps(config_of(n, optimizer), int(number)) for n in names or CONFIGS}
    print(json.dumps(result), flush=True)
    hosts.disconnect()
