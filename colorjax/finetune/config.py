"""Opens the base weights of a fine-tuning and builds the config for the training loop."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from colorjax import config as config_files
from colorjax import methods, models
from colorjax.data.selection import cleaning
from colorjax.errors import RequestError, unknown_name
from colorjax.methods.method import Method, Variables
from colorjax.models.blocks.added_layer import TRAIN_ONLY
from colorjax.weights.open import open_weights

log = logging.getLogger(__name__)

_LEARNING_RATES = {"all": 1e-4, "head": 1e-3, "added": 1e-3}
_MAX_SIZE = 128  # pixels, of training photos: minutes on a CPU
_EVALUATIONS = 8  # per run; `_PATIENCE` of them without improvement end it
_PATIENCE = 3
# Fields of the base's `data` that are kept: inputs, augmentation and targets.
_KEPT = (
    "grey",
    "canny_scale",
    "canny_sigma",
    "canny_thresholds",
    "saturation",
    "saturation_clip",
    "crop_scale",
    "crop_ratio",
    "flip",
    "aged",
    "global_hints",
    "targets",
    "hint_stop",
    "hint_sides",
    "image_size",
)


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a fine-tuning.

    Attributes:
        train_only: "all", "head" (the last layers) or "added" (a new layer before those).
        steps: number of training steps.
        learning_rate: at the start of the cosine schedule; None: 1e-4 for "all", else 1e-3.
        batch_size: photos per step.
        size: side of a training photo in pixels; None: that of the base, at most 128.
        held_out: share of the photos for testing: measured before and after, never trained on.
        chosen_by: share of the photos for validation, which selects the best step.
        min_side: in pixels; photos with a shorter side are excluded.
        min_chroma: in Lab units; photos with a lower mean chroma are excluded.
        seed: of the crops and their order.
    """

    train_only: str = "all"
    steps: int = 200
    learning_rate: float | None = None
    batch_size: int = 16
    size: int | None = None
    held_out: float = 0.2
    chosen_by: float = 0.1
    min_side: int = cleaning.MIN_SIDE
    min_chroma: float = cleaning.MIN_CHROMA
    seed: int = 0

    def check(self) -> None:
        """Raises a RequestError if a value is out of range."""
        if self.train_only not in TRAIN_ONLY:
            raise unknown_name("train_only", self.train_only, TRAIN_ONLY)
        if min(self.steps, self.batch_size) < 1:
            raise RequestError("--steps and --batch-size must be at least 1")
        if self.learning_rate is not None and not 0 < self.learning_rate < np.inf:
            raise RequestError(f"--learning-rate must be above 0, not {self.learning_rate}")
        if self.min_side < 1 or not 0 <= self.min_chroma < np.inf:
            raise RequestError("--min-side must be at least 1 and --min-chroma at least 0")


class Base(NamedTuple):
    """The weights to fine-tune.

    Attributes:
        name: of shipped weights, or the absolute path of a workdir.
        config: of their run or import; imported weights have few sections.
        step: of their checkpoint.
        sha256: of their config and of their arrays, 64 hexadecimal digits each.
    """

    name: str
    config: ConfigDict
    step: int
    sha256: dict[str, str]


def open_base(workdir_or_name: str | os.PathLike[str]) -> Base:
    """Returns the weights to fine-tune.

    Raises:
        RequestError: the weights do not exist or are damaged.
    """
    weights = open_weights(workdir_or_name)
    step, variables = weights.load()
    config = weights.config
    sums = {"config": _sum(config.to_dict()), "weights": _sum(variables)}
    return Base(weights.name, config, step, sums)


def _sum(content: dict[str, Any] | Variables) -> str:
    """Returns the SHA-256 of names and values, ordered by name."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(content, is_leaf=lambda x: x is None):
        value = np.asarray(leaf) if isinstance(leaf, jax.Array | np.ndarray) else None
        what = repr(leaf) if value is None else f"{value.dtype} {value.shape}"
        digest.update(f"{jax.tree_util.keystr(path)} {what}\n".encode())
        digest.update(b"" if value is None else np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def build_config(base: Base, options: Options) -> ConfigDict:
    """Returns the config of the training, without its photos.

    Args:
        base: its network, inputs and loss are kept. Without a stored loss, the loss is
            rebalanced_ce for bins and mse for colors (zhang17: its own). Runs with a critic or a
            feature network keep only the L1 term of their own color space, and semantic the
            terms of its two heads.
        options: all other settings.

    Raises:
        RequestError: the network has no added layer.
    """
    config = config_files.defaults()
    known = base.config.to_dict()
    config.update({name: known[name] for name in ("dtype", "inference") if name in known})
    config.model = ConfigDict(known["model"])
    stored = known.get("data", {})
    config.data.update({name: stored[name] for name in _KEPT if name in stored})
    network = methods.build_network(config)
    if options.train_only == "added":
        if not hasattr(network, "add_layer"):
            raise RequestError(
                f"network {config.model.name} takes no --add-layer; use --only head, or neither"
            )
        config.model.add_layer = True
    config.loss.update(_loss_of(known, network))
    config.loss.prior = ""  # `finetune` counts it on the photos; the base's file may not exist here
    config.data.hints = "hint_ab" in network.inputs
    config.inference.size = config.inference.size or config.data.image_size
    config.inference.saturation = 1.0  # that of the base compensates for its pale colors
    config.inference.bin_bias, config.inference.bin_temperature = (), 1.0  # calibrate again
    config.data.image_size = _training_size(config, network, options.size)
    if network.fixed_size:
        config.inference.size = 0
    config.data.labels = "none"
    config.train_only, config.init_from, config.seed = options.train_only, base.name, options.seed
    config.batch_size, config.total_steps = options.batch_size, options.steps
    config.eval_every = config.checkpoint_every = -(-options.steps // _EVALUATIONS)
    config.log_every = -(-options.steps // (2 * _EVALUATIONS))
    rate = options.learning_rate or _LEARNING_RATES[options.train_only]
    config.optimizer.update(learning_rate=rate, schedule="cosine", clip_norm=1.0)
    config.early_stopping.update(metric="mae_ab", patience=_PATIENCE)
    config.evaluation.batch_size = options.batch_size
    return config


def log_trainable_params(method: Method) -> None:
    """Logs the number of trainable parameters."""
    params = jax.eval_shape(method.init, jax.random.key(0))["params"]
    learns = models.which_learn(params, method.trains, method.frozen)
    learning = jax.tree.map(lambda learns, layer: _size(layer) if learns else 0, learns, params)
    log.info("trainable parameters: %d of %d", sum(jax.tree.leaves(learning)), _size(params))


def _size(params: Variables) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _loss_of(known: dict[str, Any], network: Any) -> dict[str, Any]:
    stored = known.get("loss") or {}
    name = stored.get("name")
    if name in ("adversarial", "feature"):
        log.info("the base was trained with loss %s; fine-tuning uses only its L1 term", name)
        return {"name": "feature", "feature_weight": 0.0, "l1_weight": 1.0}
    if name in ("smooth_l1_and_bins", "hinted_l1"):  # hinted_l1 trains only a hint guide
        log.info("fine-tuning uses the terms of the two heads, without critic and feature network")
        return stored | {
            "name": "smooth_l1_and_bins",
            "adversarial_weight": 0.0,
            "feature_weight": 0.0,
        }
    if name and name != "class_cross_entropy":
        return stored
    if "bin_logits" in network.outputs:
        name = "rebalanced_ce"
    else:
        name = "smooth_l1_and_grid" if "grid_logits" in network.outputs else "mse"
    log.info("fine-tuning uses the loss %s: the weights name none of their own", name)
    return {"name": name}


def _training_size(config: ConfigDict, network: Any, requested: int | None) -> int:
    if network.fixed_size or requested:
        return requested or network.fixed_size
    multiple, own = network.size_multiple, config.data.image_size
    return own if own <= _MAX_SIZE else max(multiple, _MAX_SIZE - _MAX_SIZE % multiple)
