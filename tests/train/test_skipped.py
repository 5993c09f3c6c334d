"""Exchange of unreadable photos between two hosts."""

import jax
import numpy as np

from colorjax.parallel import mesh as parallel
from colorjax.runtime import paths
from colorjax.train.skipped import SkippedPhotos


class Names:
    def __init__(self, *keys):
        self.keys = keys


def test_numbers_are_looked_up_where_they_were_counted(monkeypatch, tmp_path):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(parallel, "allgather_ints", lambda numbers, most: [*numbers, 2])
    skipped = SkippedPhotos(paths.locate(tmp_path / "skipped.txt"))
    first, second = Names("a", "b", "c"), Names("d", "e", "f")
    assert skipped.note(first, np.array([1, -1], np.int32)) == 1
    assert not (tmp_path / "skipped.txt").exists()  # written when all hosts share
    assert skipped.note(second, np.array([-1, 0], np.int32)) == 1
    assert (tmp_path / "skipped.txt").read_text().split() == ["b", "c"]
    skipped.share()
    assert (tmp_path / "skipped.txt").read_text().split() == ["b", "c", "d", "f"]
