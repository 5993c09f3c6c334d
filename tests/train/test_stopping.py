import os
import signal
import time

import pytest

from colorjax.errors import RequestError
from colorjax.runtime.durations import parse_duration
from colorjax.train.stopping import Patience, StopSignal


def test_patience_counts_evaluations_since_the_best():
    patience = Patience(2, higher_is_better=False)
    values = [5.0, 4.0, 4.5, float("nan"), 3.0]
    actual = [patience.update(value) for value in values[:3]]
    assert actual == [True, True, False]
    assert not patience.is_exhausted
    assert not patience.update(values[3])
    assert patience.is_exhausted
    assert patience.update(values[4])
    assert not patience.is_exhausted


def test_patience_of_zero_never_ends_and_higher_may_be_better():
    patience = Patience(0, higher_is_better=True)
    assert [patience.update(v) for v in [20.0, 19.0, 21.0]] == [
        True,
        False,
        True,
    ]
    for _ in range(97):
        patience.update(0.0)
    assert not patience.is_exhausted


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_handlers_are_put_back(number):
    before = signal.getsignal(number)
    with StopSignal() as stop:
        assert not stop
        os.kill(os.getpid(), number)
        assert stop
        assert stop.reason == number.name
    assert signal.getsignal(number) is before


def test_a_second_interrupt_interrupts():
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_the_time_limit_stops():
    with StopSignal(time_limit=0.05) as stop:
        assert not stop.poll()
        time.sleep(0.06)
        assert stop.poll()
        assert stop.reason == "the time limit"


@pytest.mark.parametrize("wrong", ["", "soon", "5 parsecs", "0m", "-3m", "1m2h"])
def test_times_that_mean_nothing(wrong):
    with pytest.raises(RequestError, match="--time_limit must be a time such as 55m"):
        parse_duration(wrong)
