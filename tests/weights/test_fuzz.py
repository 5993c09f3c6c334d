"""Damaged files of weights: refused in one line, or read; never anything else."""

import numpy as np
import pytest
from helpers import fuzzing, weights_fuzz


@pytest.fixture
def originals(workdir, tmp_path):
    folder = tmp_path / "originals"
    folder.mkdir()
    weights_fuzz.write_originals(folder, workdir)
    return folder


def test_damaged_weights(originals):
    """The cheap part, in this process."""
    seen = set()
    for case in range(60):
        name, act = weights_fuzz.case_of(np.random.default_rng((0, case)), originals)
        seen |= {name, act()}
    assert seen == {*weights_fuzz.NAMES, *fuzzing.OUTCOMES}


@pytest.mark.slow
def test_five_thousand_damaged_weights(originals, tmp_path):
    program = weights_fuzz.__file__
    rows, said = fuzzing.run(program, 5000, 7, tmp_path / "log", originals)
    fuzzing.check(rows, 5000)
    assert not said, said[-2000:]
    refused, accepted = (
        {name for _, name, outcome in rows if outcome == end} for end in fuzzing.OUTCOMES
    )
    assert refused == set(weights_fuzz.NAMES)
    assert accepted >= refused - {"SHA256SUMS"}  # hardly any change of checksums changes nothing
