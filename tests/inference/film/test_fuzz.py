"""Damaged films of every container: refused in one line, or written whole; never anything else."""

import collections

import pytest
from helpers import film_fuzz

from colorjax.inference.film.run import output_name
from colorjax.runtime import file_names

pytest.importorskip("av")


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    film_fuzz.write_originals(folder)
    return folder


@pytest.fixture
def fuzzed(originals, tmp_path):
    """Returns a function that damages films in processes of their own, and checks all outcomes."""

    def run(count, seed):
        rows, said = film_fuzz.run(count, seed, tmp_path / "log", originals)
        assert [int(case) for case, *_ in rows] == list(range(count))
        failed = [row for row in rows if row[2] not in ("refused", "written")]
        assert not failed, failed[:3]
        assert not said  # libraries print nothing either
        return rows

    return run


def test_films_have_every_suffix():
    suffixes = {f".{name.rsplit('.')[-1]}" for name in film_fuzz.FILMS}
    assert suffixes == file_names._FILM_SUFFIXES


@pytest.mark.parametrize("name", film_fuzz.FILMS)
def test_films_without_damage_are_written(name, originals, tmp_path):
    path = tmp_path / name
    path.write_bytes((originals / name).read_bytes())
    assert film_fuzz.survives(path, tmp_path / output_name(f"made-{name}")) == "written"


def test_damaged_films(fuzzed):
    outcomes = collections.Counter(row[2] for row in fuzzed(80, 0))
    assert min(outcomes["refused"], outcomes["written"]) > 10, outcomes


@pytest.mark.slow
def test_five_thousand_damaged_films(fuzzed):
    outcomes = collections.Counter((name, outcome) for _, name, outcome in fuzzed(5000, 7))
    for name in film_fuzz.FILMS:
        assert outcomes[name, "refused"] > 0
        assert outcomes[name, "written"] > 0


def test_crashes_and_hangs_are_seen(originals, tmp_path, monkeypatch):
    """Else the harness would measure nothing: its child is a program that crashes at case 1."""
    program = tmp_path / "crash.py"
    program.write_text(
        "import os, sys\n"
        "log = open(sys.argv[3], 'a+'); log.seek(0); done = len(log.readlines())\n"
        "for case in range(done, int(sys.argv[1])):\n"
        "    print(case, 'x', end=' ', file=log, flush=True)\n"
        "    if case == 1: os.abort()\n"
        "    print('refused', file=log, flush=True)\n"
    )
    monkeypatch.setattr(film_fuzz, "__file__", str(program))
    rows, _ = film_fuzz.run(3, 0, tmp_path / "log", originals)
    assert rows == [
        ["0", "x", "refused"],
        ["1", "x", "failed ended with status -6"],
        ["2", "x", "refused"],
    ]
