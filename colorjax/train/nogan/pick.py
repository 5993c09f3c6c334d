"""Which state of an adversarial phase users get (NoGAN's stopping point; docs/papers.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from colorjax.errors import RequestError


class Candidate(NamedTuple):
    """A state that may be picked, and how it did on the photos to choose by.

    Attributes:
        step: of the state.
        feature_loss: relative distance of pictures in the feature network.
        colorfulness: of the predicted pictures.
        true_colorfulness: of the true ones.
        bias_a: mean predicted a less the mean true a, in Lab units.
        bias_b: the same of b.
    """

    step: int
    feature_loss: float
    colorfulness: float
    true_colorfulness: float
    bias_a: float
    bias_b: float

    @classmethod
    def of(cls, step: int, metrics: Mapping[str, float]) -> Candidate:
        """Reads the metrics of a validation; without a feature network mae_ab stands in."""
        loss = metrics.get("feature_loss", metrics["mae_ab"])
        names = ("colorfulness", "true_colorfulness", "bias_a", "bias_b")
        return cls(step, loss, *(metrics[name] for name in names))

    def drift(self, first: Candidate) -> float:
        """Returns by how much the mean a or b, the larger, has moved away: orange skin shows here.

        A bias that is no larger than the first's has not moved away, whatever its sign.
        """
        pairs = ((self.bias_a, first.bias_a), (self.bias_b, first.bias_b))
        return max(abs(now - then) if abs(now) > abs(then) else 0.0 for now, then in pairs)


def judge(candidate: Candidate, first: Candidate, *, max_rise: float, max_drift: float) -> str:
    """Says why a candidate may not be picked; "" if it may.

    Args:
        candidate: the state.
        first: the state before the adversarial phase.
        max_rise: share by which the feature loss may rise over the first's.
        max_drift: Lab units by which the mean a or b may move away from the first's.
    """
    if candidate.feature_loss > (1 + max_rise) * first.feature_loss:
        return f"feature loss above {1 + max_rise:g} times that before the phase"
    if candidate.drift(first) > max_drift:
        return f"mean a or b drifts by more than {max_drift:g} units"
    return ""


def choose(
    candidates: Sequence[Candidate], *, max_rise: float, max_drift: float
) -> tuple[int, list[dict[str, Any]]]:
    """Chooses the state whose colourfulness is nearest to the truth's; the earliest of equals.

    Args:
        candidates: the first is the state before the adversarial phase, which may always be picked.
        max_rise: see `judge`.
        max_drift: see `judge`.

    Returns:
        (step, one row for each candidate: its numbers, and `refused`: why, or "").

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


def settle(pick: str, candidates: Sequence[Candidate], **limits: float):
    """Returns what `choose` does, or the step that a person asked for.

    Args:
        pick: "auto", or a step.
        candidates: as of `choose`.
        **limits: max_rise and max_drift.

    Raises:
        RequestError: the step is none of the candidates', or no number.
    """
    chosen, rows = choose(candidates, **limits)
    if pick == "auto":
        return chosen, rows
    known = [candidate.step for candidate in candidates]
    if not pick.isdecimal() or int(pick) not in known:
        raise RequestError(
            f"nogan.pick is auto or one of the steps {', '.join(map(str, known))}, not {pick!r}"
        )
    return int(pick), rows
