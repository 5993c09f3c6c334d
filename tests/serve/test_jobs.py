import gc
import threading
import weakref

import pytest

from colorjax.serve.errors import Refused
from colorjax.serve.jobs import Jobs


@pytest.fixture
def jobs():
    jobs = Jobs("test", 3)
    yield jobs
    jobs.stop()


@pytest.fixture
def gate(jobs):
    """Keeps the thread busy until it is set."""
    gate, started = threading.Event(), threading.Event()

    def wait():
        started.set()
        gate.wait(10)

    jobs.submit(wait)
    started.wait(10)
    yield gate
    gate.set()


def test_jobs_run_in_order(jobs):
    done = []
    for number in range(3):
        last = jobs.submit(lambda number=number: done.append(number))
    last.result(10)
    assert done == [0, 1, 2]


def test_the_latest_of_a_key_wins_and_keeps_others(jobs, gate):
    first = jobs.submit(lambda: "first", "a")
    other = jobs.submit(lambda: "other", "b")
    second = jobs.submit(lambda: "second", "a")
    with pytest.raises(Refused, match="newer") as error:
        first.result(1)
    assert (error.value.status, error.value.extra) == (409, {"superseded": True})
    gate.set()
    assert (second.result(10), other.result(10)) == ("second", "other")


def test_the_queue_is_bounded(jobs, gate):
    for _ in range(3):
        jobs.submit(lambda: None)
    with pytest.raises(Refused) as error:
        jobs.submit(lambda: None)
    assert error.value.status == 429
    jobs_of_one_key = [jobs._waiting[0]]
    assert jobs.num_waiting == 3
    gate.set()
    assert jobs_of_one_key[0].result.result(10) is None


def test_an_error_is_that_of_its_job_only(jobs):
    def fail():
        raise ValueError("broken")

    failed, fine = jobs.submit(fail), jobs.submit(lambda: 1)
    with pytest.raises(ValueError, match="broken"):
        failed.result(10)
    assert fine.result(10) == 1


def test_a_finished_job_is_not_kept(jobs):
    class Picture:
        pass

    picture = Picture()
    seen = weakref.ref(picture)
    jobs.submit(lambda picture=picture: None).result(10)
    del picture
    jobs.submit(lambda: None).result(10)
    gc.collect()
    assert seen() is None


def test_stopping_refuses_what_waits_and_what_comes(jobs, gate):
    waiting = jobs.submit(lambda: None)
    threading.Timer(0.2, gate.set).start()
    jobs.stop()
    with pytest.raises(Refused) as error:
        waiting.result(1)
    assert error.value.status == 503
    with pytest.raises(Refused):
        jobs.submit(lambda: None)


def test_the_stage_names_what_runs(jobs):
    def work():
        with jobs.doing("reading"):
            return jobs.stage

    assert jobs.submit(work).result(10) == "reading"
    assert jobs.stage == ""
