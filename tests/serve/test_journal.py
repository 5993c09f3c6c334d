import json
import threading

import pytest

from colorjax.inference.session import Session, Source, State
from colorjax.runtime import atomic
from colorjax.serve.errors import Refused
from colorjax.serve.journal import Journal

PHOTO = Source("a.png", "a" * 64, 64, 48)
WEIGHTS = Source("semantic-lite0", "b" * 64)


def session(warmth=0.0, **more):
    return Session(PHOTO, WEIGHTS, State(warmth=warmth), **more)


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "out" / "a.color.png", PHOTO.digest)


def test_what_is_written_is_read_again(journal):
    assert journal.read() is None
    content = session(0.5, editor={"undo": [1, {"x": None}]})
    journal.write(content)
    assert journal.path.name == "a.color.png.json"
    assert journal.read() == content
    stored = json.loads(journal.path.read_text())
    assert stored["colorjax"] == "session"
    assert stored["photo"] == PHOTO._asdict()


def test_a_late_session_does_not_replace_a_newer_one(journal):
    journal.write(session(0.1), "me", 5)
    with pytest.raises(Refused) as error:
        journal.write(session(0.2), "me", 4)
    assert error.value.extra == {"stale": True}
    assert journal.read() == session(0.1)
    journal.write(session(0.3), "another page", 1)
    assert journal.read() == session(0.3)


def test_the_journal_of_another_photo_is_kept(journal):
    other = Journal(journal.path.with_name("a.color.png"), "c" * 64)
    journal.write(session(0.1))
    assert other.read() is None
    other.write(Session(PHOTO._replace(digest="c" * 64), WEIGHTS))
    assert journal.read() is None
    kept = json.loads(journal.path.with_name("a.color.png.json.old").read_text())
    assert kept["warmth"] == 0.1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"colorjax": "session"}', "\0" * 100])
def test_a_damaged_journal_is_none_and_is_kept(content, journal):
    journal.path.parent.mkdir()
    journal.path.write_text(content)
    assert journal.read() is None
    journal.write(session(0.1))
    assert journal.read() == session(0.1)
    assert journal.path.with_name("a.color.png.json.old").read_text() == content


def test_a_failed_write_leaves_the_journal_as_it_was(journal, monkeypatch):
    journal.write(session(0.1))

    def fail(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", fail)
    with pytest.raises(Refused, match="No space left") as error:
        journal.write(session(0.2))
    assert error.value.status == 507
    assert journal.read() == session(0.1)
    assert [path.name for path in journal.path.parent.iterdir()] == ["a.color.png.json"]


def test_readers_always_see_a_whole_session(journal):
    journal.write(session(0.0))
    seen, is_done = [], threading.Event()

    def look():
        while not is_done.is_set():
            seen.append(json.loads(journal.path.read_text())["warmth"])

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(60):
        journal.write(session(number / 100))
    is_done.set()
    reader.join()
    assert seen == sorted(seen)
