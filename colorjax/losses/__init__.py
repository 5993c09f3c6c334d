"""Registry of losses. A loss maps (outputs, batch) to terms, each a (sum, count)."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from colorjax import color
from colorjax.errors import RequestError, unknown_name
from colorjax.losses import adversarial
from colorjax.losses.bins import bin_cross_entropy, grid_cross_entropy
from colorjax.losses.classification import class_cross_entropy, class_hits
from colorjax.losses.perceptual import feature_errors, missing_colorfulness
from colorjax.losses.regression import (
    absolute_error,
    block_means,
    smooth_absolute_error,
    squared_error,
)

__all__ = [
    "LOSSES",
    "Loss",
    "LossKind",
    "Terms",
    "absolute_error",
    "adversarial",
    "bin_cross_entropy",
    "block_means",
    "class_cross_entropy",
    "class_hits",
    "create",
    "feature_errors",
    "find",
    "grid_cross_entropy",
    "mean",
    "smooth_absolute_error",
    "squared_error",
]

Terms = dict[str, tuple[jax.Array, jax.Array]]
Arrays = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True, eq=False)
class Loss:
    """A training objective and its logged terms.

    Attributes:
        name: as in the config.
        terms: (outputs of the network, batch) -> terms by name.
        weights: weight of each term in the total; a term without a weight is only logged.
        outputs: of the network that the loss needs.
        judges: what the loss needs beyond the network's outputs: "critic" adds `fake_logits`,
            "features" adds `taps` and `true_taps`, "picture" adds `rgb`.
    """

    name: str
    terms: Callable[[Arrays, Arrays], Terms]
    weights: Mapping[str, float]
    outputs: frozenset[str] = frozenset()
    judges: frozenset[str] = frozenset()

    def __call__(self, outputs: Arrays, batch: Arrays) -> Terms:
        """Returns the terms by name."""
        return self.terms(outputs, batch)

    def total(self, terms: Terms) -> jax.Array:
        """Returns the scalar to minimize: the weighted sum of the means of the given terms."""
        means = {name: mean(*terms[name]) for name in self.weights if name in terms}
        return sum((self.weights[name] * m for name, m in means.items()), start=jnp.float32(0.0))


def mean(total: jax.Array, count: jax.Array) -> jax.Array:
    """Returns total / count; 0 where count is 0, for example in a batch without labels."""
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1.0), 0.0)


def _mse() -> Loss:
    return Loss("mse", lambda o, b: {"mse": squared_error(o["ab"], b["ab"])}, {"mse": 1.0})


def _l1() -> Loss:
    return Loss("l1", lambda o, b: {"l1": absolute_error(o["ab"], b["ab"])}, {"l1": 1.0})


def _check_delta(delta: float) -> None:
    if not delta > 0:
        raise RequestError(f"loss.delta must be above 0, not {delta}; l1 is the limit")


def _smooth_l1(delta: float = 1 / 110) -> Loss:
    _check_delta(delta)

    def terms(outputs: Arrays, batch: Arrays) -> Terms:
        return {"smooth_l1": smooth_absolute_error(outputs["ab"], batch["ab"], delta)}

    return Loss("smooth_l1", terms, {"smooth_l1": 1.0})


def _mse_and_class(
    alpha: float = 1 / 300, reduction: str = "mean", compare_at: str = "full"
) -> Loss:
    """Iizuka et al. 2016, section 3.3: ||ab - target||^2 + alpha cross-entropy."""
    if not alpha >= 0:
        raise RequestError(f"loss.alpha must be at least 0, not {alpha}")
    if reduction not in ("mean", "sum"):
        raise unknown_name("loss.reduction", reduction, ("mean", "sum"))
    if compare_at not in ("full", "half"):
        raise unknown_name("loss.compare_at", compare_at, ("full", "half"))
    color_term = {"mean": "mse", "sum": "sse"}[reduction]

    def terms(outputs: Arrays, batch: Arrays) -> Terms:
        if compare_at == "half":
            total, count = squared_error(outputs["ab_half"], block_means(batch["ab"], 2))
        else:
            total, count = squared_error(outputs["ab"], batch["ab"])
        if reduction == "sum":  # over the elements of a photo; the mean over photos stays
            count = jnp.float32(len(batch["ab"]))
        terms = {color_term: (total, count)}
        if "class_logits" in outputs:
            logits, labels = outputs["class_logits"], batch["label"]
            terms["class_cross_entropy"] = class_cross_entropy(logits, labels)
            terms["top1"] = class_hits(logits, labels)
        return terms

    return Loss("mse_and_class", terms, {color_term: 1.0, "class_cross_entropy": alpha})


def _class_cross_entropy() -> Loss:
    def terms(outputs: Arrays, batch: Arrays) -> Terms:
        entropy = class_cross_entropy(outputs["class_logits"], batch["label"])
        return {"class_cross_entropy": entropy}

    return Loss("class_cross_entropy", terms, {"class_cross_entropy": 1.0})


def _check_encoding(soft_k: int, soft_sigma: float) -> None:
    if not (1 <= soft_k <= color.NUM_BINS and soft_sigma > 0):
        raise RequestError(
            f"loss.soft_k must be in 1 ... {color.NUM_BINS} and loss.soft_sigma above 0, not "
            f"{soft_k} and {soft_sigma}"
        )


def _ce(soft_k: int = 5, soft_sigma: float = 5.0) -> Loss:
    _check_encoding(soft_k, soft_sigma)

    def terms(outputs: Arrays, batch: Arrays) -> Terms:
        entropy, _ = bin_cross_entropy(
            outputs["bin_logits"], batch["ab"], k=soft_k, sigma=soft_sigma
        )
        return {"ce": entropy}

    return Loss("ce", terms, {"ce": 1.0})


def _rebalancing(name: str, prior: np.ndarray | None, lam: float) -> np.ndarray:
    """Returns the (313,) weights of the bins."""
    if prior is None:
        raise RequestError(f"loss {name} needs a prior; set loss.prior to a file")
    try:
        return color.rebalancing_weights(prior, lam)
    except ValueError as error:
        raise RequestError(f"loss.prior, loss.lam: {error}") from None


def _rebalanced_ce(
    prior: np.ndarray | None = None, lam: float = 0.5, soft_k: int = 5, soft_sigma: float = 5.0
) -> Loss:
    _check_encoding(soft_k, soft_sigma)
    weights = _rebalancing("rebalanced_ce", prior, lam)

    def terms(outputs: Arrays, batch: Arrays) -> Terms:
        weighted, unweighted = bin_cross_entropy(
            outputs["bin_logits"], batch["ab"], jnp.asarray(weights), soft_k, soft_sigma
        )
        return {"rebalanced_ce": weighted, "ce": unweighted}

    return Loss("rebalanced_ce", terms, {"rebalanced_ce": 1.0})


# The released training code minimizes 10 mean(|da| + |db|) + cross-entropy. A mean over elements is
# half of that sum, hence 20.
_REGRESSION_WEIGHT = 20.0


def _smooth_l1_and_grid(delta: float = 1 / 110, class_weight: float = 1.0) -> Loss:
    _check_delta(delta)
    if not class_weight >= 0:
        raise RequestError(f"loss.class_weight must be at least 0, not {class_weight}")

    def terms(outputs: Arrays, batch: Arrays) -> Terms:
        return {
            "smooth_l1": smooth_absolute_error(outputs["ab"], batch["ab"], delta),
            "grid_ce": grid_cross_entropy(outputs["grid_logits"], batch["ab"]),
        }

    weights = {"smooth_l1": _REGRESSION_WEIGHT, "grid_ce": class_weight}
    return Loss("smooth_l1_and_grid", terms, weights)


def _judged(name: str, weights: Mapping[str, float], tap_weights, terms) -> Loss:
    """Returns a loss of several terms; terms of weight 0 need no auxiliary network."""
    for term, weight in weights.items():
        if not weight >= 0:
            raise RequestError(f"loss.{term}_weight must be at least 0, not {weight}")
    if not any(weights.values()):
        raise RequestError(f"all weights of loss {name} are 0; set one of them above 0")
    judges = {"critic": "adversarial", "features": "feature", "picture": "colorfulness"}
    needed = frozenset(judge for judge, term in judges.items() if weights.get(term))
    in_total = {term: weight for term, weight in weights.items() if term != "feature"}
    if weights.get("feature"):
        scale = weights["feature"]
        in_total |= {f"feature_{n}": scale * w for n, w in enumerate(tap_weights, start=1)}
    return Loss(name, terms, in_total, judges=needed)


def _feature_terms(outputs: Arrays, relative: bool) -> Terms:
    taps: Any = outputs["taps"]  # a sequence of arrays; other outputs are arrays
    true_taps: Any = outputs["true_taps"]
    errors = feature_errors(taps, true_taps, relative=relative)
    return {f"feature_{n}": error for n, error in enumerate(errors, start=1)}


def _own_colors(fields: Arrays) -> jax.Array:
    """Returns the colors in the network's output space."""
    return fields["color"] if "color" in fields else fields["ab"]


def _feature(
    l1_weight: float = 1.0,
    feature_weight: float = 1.0,
    tap_weights: Sequence[float] = (1.0, 1.0, 1.0),
    relative: bool = True,
) -> Loss:
    """Pre-training loss of DeOldify: L1 of pixels and of features."""

    def terms(outputs: Arrays, batch: Arrays) -> Terms:
        terms = {"l1": absolute_error(_own_colors(outputs), _own_colors(batch))}
        return terms | (_feature_terms(outputs, relative) if feature_weight else {})

    return _judged("feature", {"l1": l1_weight, "feature": feature_weight}, tap_weights, terms)


def _adversarial(
    gan: str = "bce",
    fooling_target: float = 1.0,
    adversarial_weight: float = 1.0,
    l1_weight: float = 100.0,
    cosine_weight: float = 0.0,
    feature_weight: float = 0.0,
    colorfulness_weight: float = 0.0,
    tap_weights: Sequence[float] = (1.0, 1.0, 1.0),
    relative: bool = True,
) -> Loss:
    """Generator loss against a critic: Isola et al. 2017, Nazeri et al. 2018, DeOldify, DDColor."""
    if gan not in adversarial.GANS:
        raise unknown_name("loss.gan", gan, adversarial.GANS)

    def terms(outputs: Arrays, batch: Arrays) -> Terms:
        prediction, truth = _own_colors(outputs), _own_colors(batch)
        terms = {"l1": absolute_error(prediction, truth)}
        if adversarial_weight:
            logits = outputs["fake_logits"]
            terms["adversarial"] = adversarial.fooling_loss(logits, gan, fooling_target)
        if cosine_weight:
            terms["cosine"] = adversarial.cosine_loss(prediction, truth)
        if colorfulness_weight:
            terms["colorfulness"] = missing_colorfulness(outputs["rgb"])
        if feature_weight:
            terms |= _feature_terms(outputs, relative)
        return terms

    weights = {
        "adversarial": adversarial_weight,
        "l1": l1_weight,
        "cosine": cosine_weight,
        "feature": feature_weight,
        "colorfulness": colorfulness_weight,
    }
    return _judged("adversarial", weights, tap_weights, terms)


def _smooth_l1_and_bins(
    prior: np.ndarray | None = None,
    lam: float = 0.5,
    soft_k: int = 5,
    soft_sigma: float = 5.0,
    delta: float = 5 / 110,
    l1_weight: float = 11.0,
    class_weight: float = 1.0,
    feature_weight: float = 0.0,
    adversarial_weight: float = 0.0,
    tap_weights: Sequence[float] = (1.0, 1.0, 1.0),
    relative: bool = True,
    gan: str = "bce",
    fooling_target: float = 1.0,
) -> Loss:
    """Loss of `semantic`: both heads at a quarter of the size; optional critic and features."""
    _check_encoding(soft_k, soft_sigma)
    _check_delta(delta)
    if gan not in adversarial.GANS:
        raise unknown_name("loss.gan", gan, adversarial.GANS)
    bin_weights = _rebalancing("smooth_l1_and_bins", prior, lam)

    def terms(outputs: Arrays, batch: Arrays) -> Terms:
        quarter = block_means(batch["ab"], 4)
        terms = {"l1": smooth_absolute_error(outputs["ab_quarter"], quarter, delta)}
        terms["class"], terms["ce"] = bin_cross_entropy(
            outputs["bin_logits"], quarter, jnp.asarray(bin_weights), soft_k, soft_sigma
        )
        if adversarial_weight:
            logits = outputs["fake_logits"]
            terms["adversarial"] = adversarial.fooling_loss(logits, gan, fooling_target)
        return terms | (_feature_terms(outputs, relative) if feature_weight else {})

    weights = {
        "l1": l1_weight,
        "class": class_weight,
        "adversarial": adversarial_weight,
        "feature": feature_weight,
    }
    return _judged("smooth_l1_and_bins", weights, tap_weights, terms)


def _hinted_l1(delta: float = 5 / 110) -> Loss:
    """Loss of the hint guide: L1 of the colors after hint spreading, at a quarter of the size."""
    _check_delta(delta)

    def terms(outputs: Arrays, batch: Arrays) -> Terms:
        quarter = block_means(batch["ab"], 4)
        hinted = smooth_absolute_error(outputs["ab_hinted"], quarter, delta)
        free = smooth_absolute_error(outputs["ab_quarter"], quarter, delta)
        return {"hinted_l1": hinted, "l1": free}  # the latter is only logged

    return Loss("hinted_l1", terms, {"hinted_l1": 1.0})


class LossKind(NamedTuple):
    """A loss of the registry.

    Attributes:
        outputs: of the network that it needs.
        build: returns the loss.
        options: fields of `config.loss` that `build` takes.
    """

    outputs: frozenset[str]
    build: Callable[..., Loss]
    options: frozenset[str]


def _kind(outputs: set[str], build: Callable[..., Loss]) -> LossKind:
    options = inspect.signature(build).parameters
    return LossKind(frozenset(outputs), build, frozenset(options))


LOSSES: dict[str, LossKind] = {
    "mse": _kind({"ab"}, _mse),
    "l1": _kind({"ab"}, _l1),
    "smooth_l1": _kind({"ab"}, _smooth_l1),
    "mse_and_class": _kind({"ab"}, _mse_and_class),
    "class_cross_entropy": _kind({"class_logits"}, _class_cross_entropy),
    "ce": _kind({"bin_logits"}, _ce),
    "rebalanced_ce": _kind({"bin_logits"}, _rebalanced_ce),
    "smooth_l1_and_grid": _kind({"ab", "grid_logits"}, _smooth_l1_and_grid),
    "smooth_l1_and_bins": _kind({"ab", "ab_quarter", "bin_logits"}, _smooth_l1_and_bins),
    "hinted_l1": _kind({"ab_quarter", "hint_keys"}, _hinted_l1),
    "feature": _kind({"ab"}, _feature),
    "adversarial": _kind({"ab"}, _adversarial),
}


def find(name: str) -> LossKind:
    """Returns a loss of the registry, not yet built.

    Raises:
        RequestError: unknown name; the message lists the known ones.

    >>> find("l1").outputs
    frozenset({'ab'})
    """
    if name not in LOSSES:
        raise unknown_name("loss loss.name =", name, LOSSES)
    return LOSSES[name]


def create(name: str, **options: Any) -> Loss:
    """Builds a loss by name.

    Args:
        name: a key of `LOSSES`.
        **options: fields of `config.loss`. A loss uses its own fields, such as delta of smooth_l1,
            and ignores the others. `prior` of rebalanced_ce is the (313,) array itself.

    Raises:
        RequestError: unknown name (the message lists the known ones), or an unusable prior.

    >>> create("l1").weights
    {'l1': 1.0}
    """
    kind = find(name)
    loss = kind.build(**{name: options[name] for name in kind.options & options.keys()})
    return dataclasses.replace(loss, outputs=kind.outputs)
