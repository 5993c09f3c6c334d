"""What a fine-tuning starts from, and the config that the one training loop gets for it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from colorjax import methods, models
from colorjax.data.selection import cleaning
from colorjax.errors import RequestError, unknown_name
from colorjax.methods.method import Variables
from colorjax.models.blocks.added_layer import TRAIN_ONLY
from colorjax.weights import load as weights
from colorjax.weights import named as shipped
from colorjax.weights.workdir import Workdir

log = logging.getLogger(__name__)

_DEFAULTS = Path(__file__).with_name("default_config.json")  # configs/default.py, for wheels
_LEARNING_RATES = {"all": 1e-4, "head": 1e-3, "added": 1e-3}
_MAX_SIZE = 128  # pixels, of training: minutes on a CPU
_EVALUATIONS = 8  # in a run, and as many without improvement as `_PATIENCE` end it
_PATIENCE = 3
# Of the base's data: what the network sees, how it is augmented, and what it aims at.
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
    """What a fine-tuning is asked to do.

    Attributes:
        train_only: "all", "head" (the last layers) or "added" (a new layer before those).
        steps: of training.
        learning_rate: at the start of a cosine; None: 1e-4 for "all", else 1e-3.
        batch_size: photos of a step.
        size: side of a training photo in pixels; None: that of the base, at most 128.
        held_out: share of the photos that is measured before and after, and never trained on.
        chosen_by: share of the photos that the best step is chosen by.
        min_side: photos with a shorter side, in pixels, are left out.
        min_chroma: photos with a mean chroma, in Lab units, below this are left out.
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
        """Raises a RequestError where a value means nothing."""
        if self.train_only not in TRAIN_ONLY:
            raise unknown_name("train_only", self.train_only, TRAIN_ONLY)
        if min(self.steps, self.batch_size) < 1:
            raise RequestError("--steps and --batch-size are at least 1")
        if self.learning_rate is not None and not 0 < self.learning_rate < np.inf:
            raise RequestError(f"--learning-rate is above 0, not {self.learning_rate}")
        if self.min_side < 1 or not 0 <= self.min_chroma < np.inf:
            raise RequestError("--min-side is at least 1 and --min-chroma at least 0")


class Base(NamedTuple):
    """The weights that are tuned.

    Attributes:
        name: of weights that ship, or the absolute path of a workdir.
        config: of their run or import; of imported ones with few sections.
        step: of their checkpoint.
        sha256: of their config and of their arrays, 64 hexadecimal digits each.
    """

    name: str
    config: ConfigDict
    step: int
    sha256: dict[str, str]


def open_base(place: str | os.PathLike[str]) -> Base:
    """Reads the weights that are to be tuned.

    Raises:
        RequestError: there are none, or they are damaged.
    """
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    name = os.fspath(place)
    if shipped.ships(name):
        packed = shipped.load(name, device)
        config, step, variables = packed.config, packed.card["step"], packed.variables
    else:
        workdir = Workdir(name)
        if not workdir.config_file.is_file():
            raise RequestError(
                f"no weights at {name!r}; give the workdir of a run or of imported weights, or "
                f"name weights that ship: {', '.join(shipped.SHA256)}"
            )
        config, name = workdir.read_config(), str(workdir.root)
        method = methods.build(config, with_loss=False)
        step, variables = weights.load(name, method, device)
    return Base(name, config, step, {"config": _sum(config.to_dict()), "weights": _sum(variables)})


def _sum(content: dict[str, Any] | Variables) -> str:
    """Returns the SHA-256 of names and values, in the order of the names."""
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
        base: its network, what that sees and the loss stay. Without a stored loss it is
            rebalanced_ce for bins and mse for colours (zhang17: its own); a run against a critic
            or a feature network goes on with the L1 of its own space alone, and semantic with the
            terms of its two heads.
        options: the rest.

    Raises:
        RequestError: a network that cannot be tuned so, or a size that it does not take.
    """
    config = ConfigDict(json.loads(_DEFAULTS.read_text()), convert_dict=True)
    known = base.config.to_dict()
    config.update({name: known[name] for name in ("dtype", "inference") if name in known})
    config.model = ConfigDict(known["model"])
    stored = known.get("data", {})
    config.data.update({name: stored[name] for name in _KEPT if name in stored})
    network = methods.build_network(config)
    if options.train_only == "added":
        if not hasattr(network, "add_layer"):
            raise RequestError(
                f"network {config.model.name} takes no added layer; give --only head, or neither"
            )
        config.model.add_layer = True
    config.loss.update(_loss_of(known, network))
    config.loss.prior = ""  # `finetune` counts it on the photos; the base's file may be elsewhere
    config.data.hints = "hint_ab" in network.inputs
    config.inference.size = config.inference.size or config.data.image_size
    config.inference.saturation = 1.0  # what is learnt anew is not what it made up for
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
    methods.build(config)
    return config


def log_trainable_params(config: ConfigDict) -> None:
    """Logs how many of the parameters learn."""
    method = methods.build(config)
    params = jax.eval_shape(method.init, jax.random.key(0))["params"]
    learns = models.which_learn(params, method.trains, method.frozen)
    learning = jax.tree.map(lambda learns, layer: _size(layer) if learns else 0, learns, params)
    log.info("parameters that learn: %d of %d", sum(jax.tree.leaves(learning)), _size(params))


def _size(params: Variables) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _loss_of(known: dict[str, Any], network: Any) -> dict[str, Any]:
    stored = known.get("loss") or {}
    name = stored.get("name")
    if name in ("adversarial", "feature"):
        log.info("the base learned by loss %s; it is tuned by its L1 term alone", name)
        return {"name": "feature", "feature_weight": 0.0, "l1_weight": 1.0}
    if name in ("smooth_l1_and_bins", "hinted_l1"):  # the latter teaches a guide of hints alone
        log.info("it is tuned by the terms of its two heads, without critic and feature network")
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
    log.info("the base's config names no loss of colours; it is tuned by loss %s", name)
    return {"name": name}


def _training_size(config: ConfigDict, network: Any, asked: int | None) -> int:
    if network.fixed_size or asked:
        return asked or network.fixed_size
    multiple, own = network.size_multiple, config.data.image_size
    return own if own <= _MAX_SIZE else max(multiple, _MAX_SIZE - _MAX_SIZE % multiple)
