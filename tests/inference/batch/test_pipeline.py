import errno
import threading
import time
from pathlib import Path

import pytest

from colorjax.errors import RequestError
from colorjax.inference.batch import pipeline
from colorjax.inference.batch.pipeline import Result, outcomes
from colorjax.inference.batch.plan import Job
from colorjax.photos import Header, UnreadablePhoto, UnwritablePhoto


def job(name, side=10, **options):
    output = Path("out", f"{name}.png")
    return Job(Path(f"{name}.png"), output, Header("PNG", ".png", side, side), str(name), **options)


def statuses(jobs, work, **options):
    result = outcomes(jobs, work, **{"threads": 2} | options)
    return [(one.job.name, one.status, one.error) for one in result]


class Watched:
    """Work that records how many photos are in progress."""

    def __init__(self):
        self.lock = threading.Lock()
        self.pixels = self.number = 0
        self.most_pixels = self.most = 0

    def __call__(self, job):
        with self.lock:
            self.number += 1
            self.pixels += job.num_pixels
            self.most = max(self.most, self.number)
            self.most_pixels = max(self.most_pixels, self.pixels)
        time.sleep(0.01 * (int(job.name) % 3))
        with self.lock:
            self.number -= 1
            self.pixels -= job.num_pixels
        return Result((job.name,))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_outcomes_come_in_order(threads):
    watched = Watched()
    jobs = [job(n) for n in range(24)]
    result = list(outcomes(jobs, watched, threads=threads))
    assert [one.result.notes for one in result] == [(str(n),) for n in range(24)]
    assert watched.most == threads


def test_large_photos_go_alone(monkeypatch):
    monkeypatch.setattr(pipeline, "_MAX_PIXELS_UNDER_WAY", 400)
    watched = Watched()
    statuses([job(n, 10) for n in range(12)], watched, threads=8)
    assert watched.most == watched.most_pixels / 100 == 4
    alone = Watched()
    assert len(statuses([job(n, 30) for n in range(6)], alone, threads=8)) == 6
    assert alone.most == 1


def test_trouble_with_one_photo_is_not_the_others():
    troubles = {
        "1": UnreadablePhoto("cut short"),
        "2": UnwritablePhoto("no leave"),
        "3": MemoryError(),
        "4": ValueError("odd"),
    }

    def work(job):
        if job.name in troubles:
            raise troubles[job.name]
        return Result()

    assert statuses([job(n) for n in range(6)], work) == [
        ("0", "done", ""),
        ("1", "failed", "cut short"),
        ("2", "failed", "no leave"),
        ("3", "failed", "MemoryError"),
        ("4", "failed", "ValueError: odd"),
        ("5", "done", ""),
    ]


def test_a_wrong_request_ends_it():
    def work(job):
        raise RequestError("no such hint")

    with pytest.raises(RequestError, match="no such hint"):
        statuses([job(1), job(2)], work)


def test_a_full_disk_is_reported_as_such():
    def work(job):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise UnwritablePhoto("cannot be written") from error

    assert statuses([job(1)], work) == [("1", "no room", "No space left on device")]


def test_what_is_there_or_refused_is_no_work(tmp_path):
    (tmp_path / "a.png").write_bytes(b"old")
    done = job("a")._replace(output=tmp_path / "a.png")
    jobs = [done, job("b", refusal="too large")]
    wanted = [("a", "skipped", ""), ("b", "failed", "too large")]
    assert statuses(jobs, None) == wanted
    overwritten = statuses(jobs, lambda job: Result(), overwrite=True)
    assert overwritten == [("a", "done", ""), wanted[1]]


def test_a_stop_finishes_what_is_under_way():
    begun, ended, stopped = [], [], []

    def work(job):
        begun.append(job.name)
        if len(begun) == 2:
            stopped.append(True)
        time.sleep(0.02)
        ended.append(job.name)
        return Result()

    jobs = [job(n) for n in range(50)] + [job("large", refusal="too large")]
    result = statuses(jobs, work, is_stopped=lambda: bool(stopped))
    assert result.pop() == ("large", "failed", "too large")
    assert sorted(begun) == sorted(ended) == sorted(name for name, _, _ in result)
    assert 2 <= len(begun) <= 4
