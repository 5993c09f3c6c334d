import pytest

from colorjax.errors import RequestError
from colorjax.train.nogan import pick

LIMITS = {"max_rise": 0.05, "max_drift": 2.0}


def candidate(step, *, loss=1.0, colorfulness=10.0, a=0.0, b=0.0):
    return pick.Candidate(step, loss, colorfulness, 30.0, a, b)


def test_the_most_truly_colorful_of_those_allowed_is_picked():
    actual, rows = pick.choose(
        [
            candidate(100, b=-3.0),
            candidate(110, colorfulness=20),
            candidate(120, colorfulness=29, loss=1.06),  # the feature loss rose
            candidate(130, colorfulness=29, a=5.1),  # a drifts
            candidate(140, colorfulness=29, b=-5.1),  # b drifts too
            candidate(150, colorfulness=25, a=1.9, loss=1.049),
            candidate(160, colorfulness=36),  # beyond the truth by more than 150 is below
        ],
        **LIMITS,
    )
    assert actual == 150
    refused = {row["step"]: bool(row["refused"]) for row in rows}
    assert [step for step, is_refused in refused.items() if is_refused] == [120, 130, 140]
    assert "feature loss above 1.05 times" in rows[2]["refused"]
    assert "drifts by more than 2 units" in rows[3]["refused"]


def test_the_earliest_of_equals():
    same = [candidate(step, colorfulness=20) for step in (10, 20, 30)]
    assert pick.choose([candidate(0), *same], **LIMITS)[0] == 10


def test_the_state_before_the_phase_is_always_allowed():
    worse = [candidate(step, colorfulness=30, loss=2.0) for step in (10, 20)]
    assert pick.choose([candidate(0, loss=1.0), *worse], **LIMITS)[0] == 0
    with pytest.raises(ValueError, match="no candidate"):
        pick.choose([], **LIMITS)


def test_a_person_overrules():
    several = [candidate(0), candidate(10, colorfulness=30), candidate(20, loss=9.0)]
    assert pick.choose_as_requested("auto", several, **LIMITS)[0] == 10
    assert pick.choose_as_requested("20", several, **LIMITS)[0] == 20
    for wrong in ("15", "best"):
        with pytest.raises(RequestError, match="auto or one of the steps 0, 10, 20"):
            pick.choose_as_requested(wrong, several, **LIMITS)


def test_a_candidate_of_metrics():
    metrics = {"colorfulness": 1, "true_colorfulness": 2, "bias_a": -4, "bias_b": 3, "mae_ab": 9}
    actual = pick.Candidate.of(7, metrics | {"feature_loss": 0.5})
    assert actual == (7, 0.5, 1, 2, -4, 3)
    assert actual.drift(candidate(0)) == 4
    assert actual.drift(candidate(0, a=-4.0, b=3.5)) == 0  # no larger than before
    assert actual.drift(candidate(0, a=3.0, b=3.0)) == 7  # through the truth and beyond
    assert pick.Candidate.of(7, metrics).feature_loss == 9
