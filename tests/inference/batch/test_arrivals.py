import os
import shutil

import pytest
from PIL import Image

from colorjax.inference.batch.arrivals import Arrivals
from colorjax.inference.batch.inputs import Results


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def poll(folder, clock):
    arrivals = Arrivals(folder, Results.at(folder / "out", ()), 2.0, clock)

    def poll(seconds=1.0):
        clock.now += seconds
        arrived = arrivals.poll()
        names = [photo.below.as_posix() for photo in (*arrived.photos, *arrived.films)]
        return names, arrived.notes

    poll.arrivals = arrivals
    return poll


def save(path, side=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (side, side), 90).save(path)


def test_a_file_arrives_once_it_is_quiet_and_then_never_again(folder, poll):
    assert poll() == ([], [])
    save(folder / "sub" / "a.png")
    assert [poll()[0] for _ in range(4)] == [[], [], ["sub/a.png"], []]
    assert poll.arrivals.waiting == 0
    assert [p.source for p in poll.arrivals.complete(folder / "sub")] == [folder / "sub" / "a.png"]
    assert poll.arrivals.complete(folder) == []


def test_an_upload_that_grows_waits_for_its_end(folder, poll):
    save(folder / "whole.png", 64)
    content = (folder / "whole.png").read_bytes()
    (folder / "whole.png").unlink()
    for end in range(10, 60, 10):
        (folder / "a.png").write_bytes(content[:end])
        assert poll() == ([], [])
        assert poll.arrivals.waiting == 1
    (folder / "a.png").write_bytes(content)
    assert [poll()[0] for _ in range(3)] == [[], [], ["a.png"]]


def test_a_file_of_the_same_size_that_is_still_written_waits(folder, poll):
    """Programs that reserve the whole size first."""
    save(folder / "a.png")
    for second in range(5):
        os.utime(folder / "a.png", (second, second))
        assert poll() == ([], [])
    poll()
    assert poll() == (["a.png"], [])


def test_temporary_names_wait_for_their_rename(folder, poll):
    for name in ("a.jpg.part", ".b.jpg", "c.jpg.crdownload", ".syncthing.d.jpg.tmp"):
        (folder / name).write_bytes(b"half")
    assert [poll() for _ in range(4)] == [([], [])] * 4
    save(folder / ".rsync-partial" / "e.png")
    assert [poll() for _ in range(4)] == [([], [])] * 4
    (folder / "a.jpg.part").rename(folder / "a.jpg")
    assert [poll()[0] for _ in range(3)] == [[], [], ["a.jpg"]]


def test_a_file_that_changes_arrives_again_and_one_that_is_replaced_too(folder, poll):
    save(folder / "a.png")
    poll(), poll()
    assert poll()[0] == ["a.png"]
    save(folder / "a.png", 9)
    assert [poll()[0] for _ in range(3)] == [[], [], ["a.png"]]
    status = (folder / "a.png").stat()
    shutil.copy2(folder / "a.png", folder / "new.png")  # same size and time, another file
    os.replace(folder / "new.png", folder / "a.png")
    assert (folder / "a.png").stat().st_mtime_ns == status.st_mtime_ns
    assert [poll()[0] for _ in range(3)] == [[], [], ["a.png"]]


def test_a_file_that_is_renamed_or_removed_while_it_is_written_is_forgotten(folder, poll):
    save(folder / "a.png")
    poll()
    (folder / "a.png").rename(folder / "b.png")
    assert [poll()[0] for _ in range(3)] == [[], [], ["b.png"]]
    (folder / "b.png").unlink()
    assert poll() == ([], [])
    assert (poll.arrivals.waiting, poll.arrivals.complete(folder)) == (0, [])


def test_a_locked_file_is_noted_once_and_tried_again(folder, poll, monkeypatch):
    save(folder / "a.png")
    opened = type(folder).open

    def locked(path, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(folder), "open", locked)
    polls = [poll() for _ in range(5)]
    assert [names for names, _ in polls] == [[]] * 5
    [note] = [note for _, notes in polls for note in notes]
    assert note == f"{folder / 'a.png'}: cannot be read yet: Permission denied; it is tried again"
    monkeypatch.setattr(type(folder), "open", opened)
    assert poll() == (["a.png"], [])


def test_a_folder_that_goes_away_and_comes_back_brings_nothing_again(folder, poll):
    save(folder / "a.png")
    poll(), poll(), poll()
    folder.rename(folder.parent / "away")
    assert [len(poll()[1]) for _ in range(3)] == [1, 0, 0]  # one line, not one at each poll
    (folder.parent / "away").rename(folder)
    assert [poll() for _ in range(4)] == [([], [])] * 4


def test_results_are_no_arrivals_and_other_files_are_named_once(folder, poll):
    save(folder / "out" / "a.png")
    (folder / "scan.psd").write_bytes(b"")
    (folder / "film.mp4").write_bytes(b"film")
    polls = [poll() for _ in range(4)]
    assert [names for names, _ in polls] == [[], [], ["film.mp4"], []]
    assert [notes for _, notes in polls] == [["not processed: 1 Photoshop file"], [], [], []]


def test_a_photo_that_is_tried_again_waits_longer_each_time_until_it_changes(folder, poll):
    save(folder / "a.png")
    save(folder / "b.png")
    poll(), poll(), poll()
    for pause in (2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600):
        poll.arrivals.try_again(folder / "a.png")
        assert poll.arrivals.waiting == 0  # it has failed, and counts as that
        assert poll(pause - 0.5) == ([], [])
        assert len(poll.arrivals.complete(folder)) == 2  # it keeps the name of its result
        assert poll(0.5) == (["a.png"], [])
        assert poll(1000) == ([], [])
    poll.arrivals.try_again(folder / "a.png")
    save(folder / "a.png", 9)
    assert [poll()[0] for _ in range(3)] == [[], [], ["a.png"]]
    poll.arrivals.try_again(folder / "a.png")
    assert [poll()[0] for _ in range(2)] == [[], ["a.png"]]


def test_a_photo_of_a_lost_drive_is_tried_when_it_is_back(folder, poll):
    save(folder / "a.png")
    poll(), poll(), poll()
    folder.rename(folder.parent / "away")
    poll.arrivals.try_again(folder / "a.png")
    assert [names for names, _ in (poll(), poll(), poll())] == [[], [], []]
    (folder.parent / "away").rename(folder)
    assert poll() == (["a.png"], [])
    (folder / "a.png").unlink()
    poll()
    poll.arrivals.try_again(folder / "a.png")  # nothing is left to try
    assert poll(100) == ([], [])
