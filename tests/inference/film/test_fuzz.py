"""Damaged films of every container: refused in one line, or written whole; never anything else."""

import pytest
from helpers import film_fuzz, fuzzing

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
    """Returns a function that damages films and returns all (name, outcome)."""

    def run(count, seed):
        rows, said = fuzzing.run(film_fuzz.__file__, count, seed, tmp_path / "log", originals)
        fuzzing.check(rows, count)
        assert not said  # libraries print nothing either
        return {(name, outcome) for _, name, outcome in rows}

    return run


def test_films_have_every_suffix():
    suffixes = {f".{name.rsplit('.')[-1]}" for name in film_fuzz.FILMS}
    assert suffixes == file_names._FILM_SUFFIXES


@pytest.mark.parametrize("name", film_fuzz.FILMS)
def test_films_without_damage_are_written(name, originals, tmp_path):
    path = tmp_path / name
    path.write_bytes((originals / name).read_bytes())
    assert film_fuzz.survives(path, tmp_path / output_name(f"made-{name}")) == "accepted"


def test_damaged_films(fuzzed):
    outcomes = [outcome for _, outcome in fuzzed(80, 0)]
    assert all(outcomes.count(outcome) > 10 for outcome in fuzzing.OUTCOMES)


@pytest.mark.slow
def test_five_thousand_damaged_films(fuzzed):
    assert fuzzed(5000, 7) == {(n, end) for n in film_fuzz.FILMS for end in fuzzing.OUTCOMES}


def test_crashes_and_hangs_are_seen(tmp_path):
    """Else the helper would measure nothing."""
    program = tmp_path / "program.py"
    program.write_text(
        "import os, time\n"
        "from helpers import fuzzing\n"
        "fuzzing.SECONDS = 0.5\n"
        "ends = [lambda: 'refused', os.abort, lambda: time.sleep(60), lambda: bytes(2**33), list]\n"
        "def case(rng, folder):\n"
        "    number = int(folder.read_text() or 0)\n"
        "    folder.write_text(str(number + 1))\n"
        "    return 'x', ends[number]\n"
        "fuzzing.main(case)\n"
    )
    (tmp_path / "number").write_text("")
    rows, said = fuzzing.run(program, 5, 0, tmp_path / "log", tmp_path / "number")
    assert [row[2][:28] for row in rows] == [
        "refused",
        "failed: ended with status -6",
        "failed: ended with status 1",
        "failed: Traceback (most rece",
        "[]",
    ]
    assert rows[3][2].endswith("MemoryError")
    assert "Timeout" in said
    with pytest.raises(AssertionError, match="status -6"):
        fuzzing.check(rows, 5)
