import io
import logging
import sys

import pytest

from colorjax.train.log.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_without_a_terminal(caplog):
    progress = Progress(0, 100, 16, bar=True)
    with caplog.at_level(logging.INFO, "colorjax"):
        health = {"wait_share": 0.026, "skipped_photos": 0, "host_memory_gib": 1.234, "saved": 5}
        progress.show(10, {"grad_norm": 2, "loss": 0.5, "images_per_second": 16.0} | health)
        health = {"wait_share": 0.26, "skipped_photos": 2}
        progress.show(20, {"critic_loss": 0.12345, "images_per_second": 16.0} | health)
    progress.close()
    assert caplog.messages == [
        "step 10/100: loss 0.5, 16 images/s, 01:30 left",
        "step 20/100: critic_loss 0.1235, 16 images/s, 2 photos skipped, 26% waiting for photos, "
        "01:20 left",
    ]


def test_a_line_fits_a_terminal(caplog):
    progress = Progress(0, 1_000_000, 64, bar=False)
    with caplog.at_level(logging.INFO, "colorjax"):
        progress.show(16_609, {"loss": 1 / 3, "images_per_second": 123.456, "grad_norm": 1.0})
    progress.close()
    assert len("12:34:56 " + caplog.messages[0]) <= 80


def test_a_bar_on_a_terminal(monkeypatch, caplog):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress(0, 4, 16, bar=True)
    for _ in range(3):
        progress.advance()
    progress.show(3, {"loss": 0.5, "images_per_second": 16.0})
    with progress.paused():
        pass  # the bar is drawn anew after it
    progress.close()
    assert "3/4" in terminal.getvalue()
    assert "loss 0.5, 16 images/s" in terminal.getvalue()
    assert "left" in terminal.getvalue()
    assert not caplog.records


def test_waiting_and_pauses_are_measured(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def slow_batches():
        while True:
            now[0] += 1.0
            yield "batch"

    progress = Progress(0, 10, 8, bar=False)
    arriving = progress.timed(slow_batches())
    for _ in range(3):
        assert next(arriving) == "batch"
        now[0] += 3.0  # the step
    with progress.paused():
        now[0] += 100.0
    actual = progress.measure(3)
    assert actual["wait_share"] == pytest.approx(0.25)
    assert actual["images_per_second"] == pytest.approx(3 * 8 / 12)
    assert progress.measure(3)["wait_share"] == 0.0
