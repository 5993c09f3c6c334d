import os
import signal

import pytest

from colorjax.train.stopping import Patience, StopSignal


def test_patience_counts_evaluations_since_the_best():
    patience = Patience(2, higher_is_better=False)
    values = [5.0, 4.0, 4.5, float("nan"), 3.0]
    found = [patience.update(step, value) for step, value in enumerate(values[:3])]
    assert found == [True, True, False]
    assert patience.best_step == 1
    assert not patience.is_exhausted
    assert not patience.update(3, values[3])
    assert patience.is_exhausted
    assert patience.update(4, values[4])
    assert not patience.is_exhausted


def test_patience_of_zero_never_ends_and_higher_may_be_better():
    patience = Patience(0, higher_is_better=True)
    assert [patience.update(step, v) for step, v in enumerate([20.0, 19.0, 21.0])] == [
        True,
        False,
        True,
    ]
    for step in range(3, 100):
        patience.update(step, 0.0)
    assert not patience.is_exhausted


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_handlers_are_put_back(number):
    before = signal.getsignal(number)
    with StopSignal() as stop:
        assert not stop
        os.kill(os.getpid(), number)
        assert stop
        assert stop.received == number
    assert signal.getsignal(number) is before


def test_a_second_interrupt_interrupts():
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
