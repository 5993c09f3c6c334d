"""The state that a run starts from: a fresh one, that of other weights, or a restored one."""

from __future__ import annotations

import contextlib
import dataclasses
import logging

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from colorjax import models
from colorjax.data import pipeline
from colorjax.data.sources.source import Source
from colorjax.errors import RequestError
from colorjax.methods.method import Method, Variables
from colorjax.models.blocks.added_layer import OPTIONAL
from colorjax.models.encoders import efficientnet_lite as encoders
from colorjax.models.encoders.efficientnet_lite import EfficientNetLite
from colorjax.parallel.mesh import Layout
from colorjax.train import phases, state
from colorjax.weights import load as weights
from colorjax.weights import named as shipped
from colorjax.weights.checkpoint import Checkpoints
from colorjax.weights.torch import pretrained
from colorjax.weights.workdir import Workdir

log = logging.getLogger(__name__)


def initialize(
    plan: phases.Plan,
    method: Method,
    config: ConfigDict,
    layout: Layout,
    photos: Source | None = None,
) -> state.TrainState:
    """Draws the state of step 0 on its devices, and takes over weights that the config names.

    `init_from` names those of a whole network, `init_encoder` published ones of its encoder alone;
    a feature network may have published ones too. `photos`, those to train on, are looked at where
    `init_encoder_photos` asks for it.

    Raises:
        RequestError: weights that are not there, or not for this network.
    """
    key = jax.random.key(config.seed)
    shardings = layout.of_state(jax.eval_shape(plan.create, key))
    fresh = jax.jit(plan.create, out_shardings=shardings)(key)
    if plan.read_features is not None:
        published = jax.device_put(plan.read_features(), layout.replicated)
        fresh = dataclasses.replace(fresh, features=state.create_part(published))
    if not config.init_from:
        if not config.get("init_encoder", ""):
            return fresh
        return _with_encoder(fresh, method, config, shardings, photos)
    step, found = _load(config.init_from, method, layout)
    new = {name: x for name, x in fresh.params.items() if name in OPTIONAL.values()}
    found["params"] = new | found["params"]  # the other run's, where it had them
    log.info("starting from the weights of %s, step %d", config.init_from, step)
    average = None if fresh.average is None else jax.tree.map(jax.numpy.copy, found["params"])
    taken = fresh.replace(**found, average=average)
    return jax.device_put(taken, shardings) if layout.divides_states else taken


def _with_encoder(
    fresh: state.TrainState,
    method: Method,
    config: ConfigDict,
    shardings: state.TrainState,
    photos: Source | None,
) -> state.TrainState:
    """Returns the state with published weights in the network's encoder."""
    ((name, encoder),) = pretrained.read_encoder(config.init_encoder, method.network).items()
    if config.init_encoder_photos and photos is not None:
        encoder["batch_stats"] = _statistics_of(photos, encoder, method, config)
    params = fresh.params | {name: encoder["params"]}
    batch_stats = fresh.batch_stats | {name: encoder["batch_stats"]}
    average = None if fresh.average is None else params
    taken = dataclasses.replace(fresh, params=params, batch_stats=batch_stats, average=average)
    log.info("the encoder starts from published weights: %s", config.init_encoder)
    return jax.tree.map(jnp.copy, jax.device_put(taken, shardings))


def _statistics_of(
    photos: Source, encoder: Variables, method: Method, config: ConfigDict
) -> Variables:
    """Measures BatchNorm statistics of an encoder on training crops, the same on every host."""
    network = EfficientNetLite(method.network.encoder)  # pyrefly: ignore
    number = -(-config.init_encoder_photos // config.batch_size)
    batches = pipeline.train_batches(
        photos, config.data, seed=config.seed, batch_size=config.batch_size
    )
    log.info("measuring the encoder's statistics on %d photos", number * config.batch_size)
    with contextlib.closing(batches):
        grays = (method.encoded(next(batches))["grey"] for _ in range(number))
        return encoders.estimate_statistics(network, encoder, map(encoders.normalize, grays))


def _load(place: str, method: Method, layout: Layout) -> tuple[int, Variables]:
    """Loads the weights of a workdir, or ones that ship; perhaps without layers that are new."""
    packed = shipped.load(place, layout.replicated) if shipped.ships(place) else None
    theirs = (packed.config if packed else Workdir(place).read_config()).model
    network = models.without_new_layers(method.network, theirs)
    method = dataclasses.replace(method, network=network)
    if packed is None:
        return weights.load(place, method, layout.replicated)
    weights.check_meaning(packed.config, method)
    wanted = jax.eval_shape(method.init, jax.random.key(0))
    shapes = [
        jax.tree.map(lambda leaf: leaf.shape, variables) for variables in (packed.variables, wanted)
    ]
    if shapes[0] != shapes[1]:
        raise RequestError(f"the weights {place} are not those of this config's network")
    return packed.card["step"], {"batch_stats": {}} | packed.variables


def resume(
    plan: phases.Plan, checkpoints: Checkpoints, step: int, seed: int, layout: Layout, name: str
) -> state.TrainState:
    """Restores the state of a step of this run, as `read` does, and seals its checkpoint.

    Args:
        plan: of the run.
        checkpoints: of whole states.
        step: of a whole checkpoint.
        seed: of the run; only shapes come of it.
        layout: where to put it.
        name: of the workdir, for errors.

    Raises:
        RequestError: the files are whole, and yet are not this state.
    """
    try:
        found = read(plan, checkpoints, step, seed, layout)
    except (ValueError, KeyError, OSError) as error:
        raise RequestError(
            f"checkpoint {step} of {name!r} cannot be restored "
            f"({str(error).splitlines()[0]}); delete its folder or give another --workdir"
        ) from None
    checkpoints.seal_restored(step)
    log.info("resuming from step %d of %s", step, name)
    return found


def read(
    plan: phases.Plan, checkpoints: Checkpoints, step: int, seed: int, layout: Layout
) -> state.TrainState:
    """Reads the state of a step, with the optimizers of the phase that it lies in.

    Raises:
        ValueError, KeyError or OSError: the files are whole, and yet are not this state.
    """
    phase = plan.at(step)

    def create(key: jax.Array) -> state.TrainState:
        first = plan.create(key)
        return phase.begin(first) if phase.begin else first

    shapes = jax.eval_shape(create, jax.random.key(seed))
    abstract = weights.with_sharding(shapes, layout.of_state(shapes))
    items = checkpoints.restore(
        step, weights=state.weights_of(abstract), training=abstract.training
    )
    found = items["weights"]
    return state.TrainState(
        params=found["params"],
        batch_stats=found["batch_stats"],
        average=found.get("average"),
        **items["training"],
    )


def begin(phase: phases.Phase, found: state.TrainState, layout: Layout) -> state.TrainState:
    """Returns the state with which a phase starts, from that with which the last one ended."""
    if phase.begin is None:
        return found
    shardings = layout.of_state(jax.eval_shape(phase.begin, found))
    return jax.jit(phase.begin, out_shardings=shardings)(found)
