"""A disk without room in training: one line, status 2, and the same command resumes.

RLIMIT_FSIZE fails writes as a full disk does; tests/system/test_faults.py fills a real one.
"""

import resource
import subprocess

import pytest
from helpers.program import TINY, command, read_metrics, run, says_one_line

pytestmark = [pytest.mark.slow, pytest.mark.faults]


def flags_of(photos, tmp_path, filters):
    flags = [flag for flag in TINY if "filters" not in flag]
    flags += [f"--config.data.path={photos}", f"--workdir={tmp_path / 'w'}"]
    flags += ["--config.checkpoint_every=3", "--config.log_every=1"]
    return [*flags, f"--config.model.filters={filters}", "--config.total_steps=9"]


def run_limited(limit, *flags):
    return subprocess.run(
        **command(*flags),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )


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
    flags = flags_of(photos, tmp_path, filters)
    limited = run_limited(limit, *flags)
    # Of 8,000 bytes either the events or a file of the checkpoint is the first that does not fit.
    of_checkpoint = limit == 300_000 or (limit == 8_000 and "not be saved" in limited.stderr)
    says_one_line(limited, "could not be saved" if of_checkpoint else "cannot be written")
    assert "Event loop" not in limited.stderr
    result = run(*flags)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("limit", range(4096, 65537, 12288))
def test_at_any_size_the_same_command_resumes(limit, photos, tmp_path):
    """From the newest state that is whole, if there is one."""
    flags = flags_of(photos, tmp_path, "(4,8,8,8,8,8,8)")
    limited = run_limited(limit, *flags)
    if limited.returncode:
        says_one_line(limited, "saved in" if "not be saved" in limited.stderr else "cannot be")
        assert "Event loop" not in limited.stderr
    sealed = [path.parent.name for path in tmp_path.glob("w/checkpoints/*/SHA256SUMS")]
    result = run(*flags)
    assert result.returncode == 0, result.stderr
    assert "is damaged" not in result.stderr
    newest = max(map(int, sealed), default=0)
    if newest and limited.returncode:
        assert f"resuming from step {newest} " in result.stderr
    assert {line["step"] for line in read_metrics(tmp_path / "w")} == set(range(1, 10))
