"""`--shard I/N`: disjoint, complete and stable parts of the photos."""

from pathlib import Path

import pytest

from colorjax.errors import RequestError
from colorjax.inference.batch.shard import WHOLE, Shard, parse


@pytest.mark.parametrize("number", [1, 2, 7, 64])
def test_each_file_belongs_to_one_part(number):
    files = [Path(f"{folder}/{n}.jpg") for folder in ("a", "b/c") for n in range(150)]
    parts = [[f for f in files if Shard(n, number).holds(f)] for n in range(1, number + 1)]
    assert sorted(file for part in parts for file in part) == sorted(files)
    if number < 64:  # even: within four standard deviations of a fair draw
        wanted = len(files) / number
        assert all(abs(len(part) - wanted) <= 4 * wanted**0.5 for part in parts)


def test_parts_never_change():
    # Of `printf 'old/b.png' | sha256sum | head -c 16`, and so on, modulo 8.
    wanted = {"a.jpg": 3, "old/b.png": 7, "été.jpg": 3, "\udcff.jpg": 1}
    found = {name: next(n for n in range(1, 9) if Shard(n, 8).holds(Path(name))) for name in wanted}
    assert found == wanted


def test_each_part_has_its_contact_sheet():
    assert WHOLE.sheet(Path("x/s.png")) == Path("x/s.png")
    assert Shard(2, 3).sheet(Path("x/s.png")) == Path("x/s.2-of-3.png")
    assert [path.name for path in Shard(2, 3).sheets(Path("s.jpg"))] == [
        "s.1-of-3.jpg",
        "s.2-of-3.jpg",
        "s.3-of-3.jpg",
    ]


@pytest.mark.parametrize("text", ["1/1", "3/8", "8/8"])
def test_reads_parts(text):
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("5/4", "--shard 5/4: part I of N must be from 1 to N; give 1/4 to 4/4"),
        ("0/4", "--shard 0/4: part I of N must be from 1 to N; give 1/4 to 4/4"),
        ("0/0", "give 1/1"),
        ("", "--shard must be I/N, such as 2/8, not ''"),
        ("2", "must be I/N"),
        ("-1/4", "must be I/N"),
        ("1/4/2", "must be I/N"),
        ("1.0/4", "must be I/N"),
        ("٢/٤", "must be I/N"),
        ("1/4\n", "must be I/N"),
    ],
)
def test_wrong_parts_are_refused(text, says):
    with pytest.raises(RequestError) as error:
        parse(text)
    assert says in str(error.value)
