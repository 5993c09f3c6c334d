"""Bands are processed by several threads; results come in order."""

import threading
import time

import numpy as np
import pytest

from colorjax.inference import in_order


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_order(monkeypatch, threads):
    monkeypatch.setattr(in_order, "threads", lambda: threads)
    waits = iter(np.random.default_rng(0).uniform(0, 0.01, 20))
    work = lambda part: (time.sleep(next(waits)), part * part)[1]  # noqa: E731
    assert list(in_order.results(work, range(20))) == [part * part for part in range(20)]
    assert list(in_order.results(work, [])) == []


def test_few_parts_are_unfinished_at_once(monkeypatch):
    monkeypatch.setattr(in_order, "threads", lambda: 2)
    taken, used = [], []

    def parts():
        for part in range(50):
            taken.append(part)
            yield part

    for result in in_order.results(lambda part: part, parts()):
        used.append(result)
        assert len(taken) - len(used) <= 3


def test_threads_work_at_the_same_time(monkeypatch):
    monkeypatch.setattr(in_order, "threads", lambda: 2)
    both = threading.Barrier(2, timeout=10)
    assert list(in_order.results(lambda _: both.wait() >= 0, range(2))) == [True, True]


def test_an_exception_of_the_work_is_raised(monkeypatch):
    monkeypatch.setattr(in_order, "threads", lambda: 2)
    results = in_order.results(lambda part: 1 // part, [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_threads_are_the_cores_that_may_be_used():
    assert 1 <= in_order.threads() <= 4
