import io
import logging
import sys
import time

from tqdm import tqdm

from colorjax.runtime import waiting


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_phase_is_named_once_without_a_terminal(caplog):
    with caplog.at_level(logging.INFO, "colorjax"), waiting.phase("compiling"):
        pass
    with caplog.at_level(logging.INFO, "colorjax"), waiting.phase("photos", 9) as count:
        count(9)
    assert caplog.messages == ["compiling", "photos: 9"]


def test_a_long_phase_is_named_again(monkeypatch):
    monkeypatch.setattr(waiting, "_PERIOD", 0.01)
    monkeypatch.setattr(waiting, "_LONG", 0.0)
    lines = []
    with waiting.phase("photos", 4, say=lines.append) as count:
        count(3)
        while len(lines) < 2:
            time.sleep(0.01)
    assert lines[0] == "photos: 4"
    assert lines[1].startswith("photos: 3/4, 0 s")
    assert lines[-1] == "photos took 0 s"


def test_a_phase_counts_seconds_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(waiting, "_BEAT", 0.01)
    lines = []
    with waiting.phase("compiling", say=lines.append):
        start = len(terminal.getvalue())
        while len(terminal.getvalue()) == start:
            time.sleep(0.01)
    assert "compiling: 00:00" in terminal.getvalue()
    assert lines == []


def test_a_bar_is_drawn_again_while_nothing_happens(monkeypatch):
    monkeypatch.setattr(waiting, "_BEAT", 0.01)
    terminal = Terminal()
    with tqdm(total=3, file=terminal) as bar, waiting.ticking(bar):
        start = len(terminal.getvalue())
        while len(terminal.getvalue()) == start:
            time.sleep(0.01)
    assert terminal.getvalue().count("0/3") > 1
