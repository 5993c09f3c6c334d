"""Initial state of a run: fresh, from other weights, or restored from a checkpoint."""

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
from colorjax.weights.checkpoint import Checkpoints, with_sharding
from colorjax.weights.open import open_weights
from colorjax.weights.torch import pretrained

log = logging.getLogger(__name__)


def initialize(
    plan: phases.Plan,
    method: Method,
    config: ConfigDict,
    layout: Layout,
    photos: Source | None = None,
) -> state.TrainState:
    """Initializes the state of step 0 on its devices, with the weights that the config names.

    `init_from` gives the weights of the whole network, `init_encoder` published weights of its
    encoder; a feature network can have published weights too. `photos` are the training photos,
    used for `init_encoder_photos`.

    Raises:
        RequestError: missing weights, or weights of another network.
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
    step, loaded = _load(config.init_from, method, layout)
    new = {name: x for name, x in fresh.params.items() if name in OPTIONAL.values()}
    loaded["params"] = new | loaded["params"]  # existing layers come from the other run
    log.info("starting from the weights of %s, step %d", config.init_from, step)
    average = None if fresh.average is None else jax.tree.map(jax.numpy.copy, loaded["params"])
    taken = fresh.replace(**loaded, average=average)
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
    if config.init_encoder_photos and photos is not None and "batch_stats" in encoder:
        encoder["batch_stats"] = _statistics_of(photos, encoder, method, config)
    params = fresh.params | {name: encoder["params"]}
    batch_stats = dict(fresh.batch_stats)
    if "batch_stats" in encoder:
        batch_stats[name] = encoder["batch_stats"]
    average = None if fresh.average is None else params
    taken = dataclasses.replace(fresh, params=params, batch_stats=batch_stats, average=average)
    log.info("the encoder starts from published weights: %s", config.init_encoder)
    return jax.tree.map(jnp.copy, jax.device_put(taken, shardings))


def _statistics_of(
    photos: Source, encoder: Variables, method: Method, config: ConfigDict
) -> Variables:
    """Returns an encoder's BatchNorm statistics on training crops; the same on every host."""
    network = EfficientNetLite(method.network.encoder)  # pyrefly: ignore
    number = -(-config.init_encoder_photos // config.batch_size)
    batches = pipeline.train_batches(
        photos, config.data, seed=config.seed, batch_size=config.batch_size
    )
    log.info("measuring the encoder's statistics on %d photos", number * config.batch_size)
    with contextlib.closing(batches):
        grays = (method.encoded(next(batches))["gray"] for _ in range(number))
        return encoders.estimate_statistics(network, encoder, map(encoders.normalize, grays))


def _load(source: str, method: Method, layout: Layout) -> tuple[int, Variables]:
    """Loads weights by name or path, without new optional layers."""
    try:
        weights = open_weights(source)
    except RequestError as error:
        raise RequestError(f"init_from={source}: {error}") from None
    network = models.without_new_layers(method.network, weights.config.model)
    return weights.load(dataclasses.replace(method, network=network), layout.replicated)


def resume(
    plan: phases.Plan, checkpoints: Checkpoints, step: int, seed: int, layout: Layout, name: str
) -> state.TrainState:
    """Restores the state of a step of this run, as `read` does, and seals its checkpoint.

    Args:
        plan: of the run.
        checkpoints: of training states.
        step: of an intact checkpoint.
        seed: of the run; only used for shapes.
        layout: device layout of the state.
        name: of the workdir, for errors.

    Raises:
        RequestError: the files are intact but do not fit this state.
    """
    try:
        restored = read(plan, checkpoints, step, seed, layout)
    except (ValueError, KeyError, OSError) as error:
        raise RequestError(
            f"checkpoint {step} of {name!r} cannot be restored "
            f"({str(error).splitlines()[0]}); delete its folder or give another --workdir"
        ) from None
    checkpoints.seal_restored(step)
    log.info("resuming from step %d of %s", step, name)
    return restored


def read(
    plan: phases.Plan, checkpoints: Checkpoints, step: int, seed: int, layout: Layout
) -> state.TrainState:
    """Reads the state of a step, with the optimizers of its phase.

    Raises:
        ValueError, KeyError or OSError: the files are intact but do not fit this state.
    """
    phase = plan.at(step)

    def create(key: jax.Array) -> state.TrainState:
        first = plan.create(key)
        return phase.begin(first) if phase.begin else first

    shapes = jax.eval_shape(create, jax.random.key(seed))
    abstract = with_sharding(shapes, layout.of_state(shapes))
    items = checkpoints.restore(
        step, weights=state.weights_of(abstract), training=abstract.training
    )
    weights_of_step = items["weights"]
    return state.TrainState(
        params=weights_of_step["params"],
        batch_stats=weights_of_step["batch_stats"],
        average=weights_of_step.get("average"),
        **items["training"],
    )


def begin(phase: phases.Phase, before: state.TrainState, layout: Layout) -> state.TrainState:
    """Returns the initial state of a phase, from the final state of the phase before."""
    if phase.begin is None:
        return before
    shardings = layout.of_state(jax.eval_shape(phase.begin, before))
    return jax.jit(phase.begin, out_shardings=shardings)(before)
