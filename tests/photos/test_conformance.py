"""Nothing is lost: every file of the zoo, looked at by other readers."""

import pytest
from helpers.photos import conformance, programs, zoo


def test_the_zoo_is_large():
    assert len(zoo.animals()) >= 60


@pytest.mark.parametrize("animal", zoo.animals(), ids=lambda animal: animal.name)
def test_nothing_is_lost(animal):
    row = conformance.check(animal)
    lost = [aspect for aspect, kept in row.items() if kept is False]
    assert not lost, row


@pytest.mark.slow
def test_exiftool_and_imagemagick_find_nothing_lost(tmp_path):
    if not (programs.has_exiftool() or programs.has_imagemagick()):
        pytest.skip("neither exiftool nor ImageMagick is installed")
    report = programs.compare(tmp_path)
    lost = {name: row for name, row in report.items() if False in row.values()}
    assert not lost
