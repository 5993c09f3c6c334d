"""A disk without room in training: one line, status 2, and the same command resumes.

RLIMIT_FSIZE fails writes as a full disk does; tests/system/test_faults.py fills a real one.
"""

import resource
import subprocess

import pytest
from helpers.program import TINY, command, run, says_one_line

pytestmark = [pytest.mark.slow, pytest.mark.faults]


@pytest.mark.parametrize(
    ("limit", "filters"),
    [
        (1_000, "(4,8,8,8,8,8,8)"),  # config.json
        (8_000, "(4,8,8,8,8,8,8)"),  # the events of TensorBoard, or a small checkpoint
        (40_000, "(4,8,8,8,8,8,8)"),
        (300_000, "(32,64,64,64,64,64,64)"),  # the arrays of a checkpoint
    ],
)
def test_a_failed_write_is_one_line(limit, filters, photos, tmp_path):
    flags = [flag for flag in TINY if "filters" not in flag]
    flags += [f"--config.data.path={photos}", f"--workdir={tmp_path / 'w'}"]
    flags += [f"--config.model.filters={filters}", "--config.total_steps=9"]
    limited = subprocess.run(
        **command(*flags),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    # Of 8,000 bytes either the events or a file of the checkpoint is the first that does not fit.
    of_checkpoint = limit == 300_000 or (limit == 8_000 and "not be saved" in limited.stderr)
    says_one_line(limited, "could not be saved" if of_checkpoint else "cannot be written")
    assert "Event loop" not in limited.stderr
    result = run(*flags)
    assert result.returncode == 0, result.stderr
