"""Picks the final checkpoint of an adversarial phase (NoGAN's stopping point; docs/papers.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from colorjax.errors import RequestError


class Candidate(NamedTuple):
    """A candidate checkpoint with its validation metrics.

    Attributes:
        step: of the checkpoint.
        feature_loss: relative distance of pictures in the feature network.
        colorfulness: of the predicted pictures.
        true_colorfulness: of the true ones.
        bias_a: mean predicted a minus mean true a, in Lab units.
        bias_b: the same for b.
    """

    step: int
    feature_loss: float
    colorfulness: float
    true_colorfulness: float
    bias_a: float
    bias_b: float

    @classmethod
    def of(cls, step: int, metrics: Mapping[str, float]) -> Candidate:
        """Creates a candidate from validation metrics; mae_ab replaces a missing feature_loss."""
        loss = metrics.get("feature_loss", metrics["mae_ab"])
        names = ("colorfulness", "true_colorfulness", "bias_a", "bias_b")
        return cls(step, loss, *(metrics[name] for name in names))

    def drift(self, first: Candidate) -> float:
        """Returns the larger drift of the mean a or b, which detects orange skin.

        The drift is 0 if the absolute bias is not larger than the first candidate's.
        """
        pairs = ((self.bias_a, first.bias_a), (self.bias_b, first.bias_b))
        return max(abs(now - then) if abs(now) > abs(then) else 0.0 for now, then in pairs)


def judge(candidate: Candidate, first: Candidate, *, max_rise: float, max_drift: float) -> str:
    """Returns why a candidate is rejected; "" if it is accepted.

    Args:
        candidate: to judge.
        first: the candidate before the adversarial phase.
        max_rise: largest relative rise of the feature loss over the first's.
        max_drift: largest drift of the mean a or b from the first's, in Lab units.
    """
    if candidate.feature_loss > (1 + max_rise) * first.feature_loss:
        return f"feature loss above {1 + max_rise:g} times that before the phase"
    if candidate.drift(first) > max_drift:
        return f"mean a or b drifts by more than {max_drift:g} units"
    return ""


def choose(
    candidates: Sequence[Candidate], *, max_rise: float, max_drift: float
) -> tuple[int, list[dict[str, Any]]]:
    """Picks the accepted candidate with colorfulness nearest to the truth's; ties: the earliest.

    Args:
        candidates: the first one, before the adversarial phase, is always accepted.
        max_rise: see `judge`.
        max_drift: see `judge`.

    Returns:
        (step, one row for each candidate: its metrics, and `refused`: the reason, or "").

    Raises:
        ValueError: no candidate.
    """
    if not candidates:
        raise ValueError("no candidate to choose from")
    rows, best = [], candidates[0]
    for candidate in candidates:
        refused = ""
        if candidate is not candidates[0]:
            refused = judge(candidate, candidates[0], max_rise=max_rise, max_drift=max_drift)
        rows.append(candidate._asdict() | {"refused": refused})
        if not refused and _miss(candidate) < _miss(best):
            best = candidate
    return best.step, rows


def _miss(candidate: Candidate) -> float:
    return abs(candidate.colorfulness - candidate.true_colorfulness)


def choose_as_requested(pick: str, candidates: Sequence[Candidate], **limits: float):
    """Returns the result of `choose`, or with the requested step.

    Args:
        pick: "auto", or a step.
        candidates: see `choose`.
        **limits: max_rise and max_drift.

    Raises:
        RequestError: not the step of a candidate.
    """
    chosen, rows = choose(candidates, **limits)
    if pick == "auto":
        return chosen, rows
    known = [candidate.step for candidate in candidates]
    if not pick.isdecimal() or int(pick) not in known:
        raise RequestError(
            f"nogan.pick must be auto or one of the steps {', '.join(map(str, known))}, not "
            f"{pick!r}"
        )
    return int(pick), rows
