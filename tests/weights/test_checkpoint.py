import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from colorjax.errors import RequestError
from colorjax.weights import checkpoint
from colorjax.weights.checkpoint import SEAL, Checkpoints, find_damage

TREE = {"params": {"kernel": jnp.arange(1000.0), "bias": jnp.ones(3)}, "batch_stats": {}}


def abstract():
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), TREE)


@pytest.fixture
def folder(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for step in (3, 6, 9):
        weights = jax.tree.map(lambda x, by=step: x * by, TREE)
        checkpoints.save(step, weights, {"step": jnp.int32(step)})
    checkpoints.close()
    return tmp_path / "checkpoints"


def newest(folder):
    checkpoints = Checkpoints(folder)
    try:
        step = checkpoints.newest()
        return step, checkpoints.restore(step, weights=abstract())["weights"]
    finally:
        checkpoints.close()


def largest_file(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_the_newest_two_stay_and_are_sealed(folder):
    assert sorted(p.name for p in folder.iterdir()) == ["6", "9"]
    step, weights = newest(folder)
    assert step == 9
    np.testing.assert_array_equal(weights["params"]["kernel"], 9 * np.arange(1000.0))
    assert find_damage(folder / "9") is None


def test_seal_is_what_sha256sum_checks(folder):
    import subprocess

    subprocess.run(["sha256sum", "--check", "--quiet", SEAL], cwd=folder / "9", check=True)


@pytest.mark.parametrize(
    "damage",
    [
        lambda newest: flip_a_bit(largest_file(newest)),
        lambda newest: largest_file(newest).unlink(),
        lambda newest: largest_file(newest).write_bytes(b""),
        lambda newest: (newest / SEAL).write_text("garbage"),
        lambda newest: (newest / SEAL).write_text(""),
    ],
)
def test_a_damaged_newest_gives_way_to_the_one_before(folder, damage, caplog):
    damage(folder / "9")
    step, weights = newest(folder)
    assert step == 6
    np.testing.assert_array_equal(weights["params"]["kernel"], 6 * np.arange(1000.0))
    lines = [record.getMessage() for record in caplog.records if "damaged" in record.getMessage()]
    assert len(lines) == 1
    assert "checkpoint 9 is damaged" in lines[0]


def test_none_whole_is_an_error_and_none_at_all_is_not(folder, tmp_path):
    for step in ("6", "9"):
        flip_a_bit(largest_file(folder / step))
    with pytest.raises(RequestError, match="no intact checkpoint is left"):
        newest(folder)
    empty = Checkpoints(tmp_path / "empty")
    assert empty.newest() is None
    empty.close()


def test_a_run_killed_while_it_sealed_keeps_its_checkpoint(folder):
    (folder / "9" / SEAL).rename(folder / "9" / f"{SEAL}.partial")
    checkpoints = Checkpoints(folder)
    checkpoints.seal_restored(9)
    checkpoints.close()
    assert find_damage(folder / "9") is None
    assert newest(folder)[0] == 9


def test_a_run_killed_before_the_seal_keeps_its_checkpoint(folder):
    (folder / "9" / SEAL).unlink()
    assert newest(folder)[0] == 9
    assert not (folder / "9" / SEAL).exists()  # reading writes nothing
    checkpoints = Checkpoints(folder)
    checkpoints.seal_restored(9)
    checkpoints.close()
    assert (folder / "9" / SEAL).is_file()
    assert find_damage(folder / "9") is None


@pytest.mark.parametrize("cut", [0, 100])
def test_a_damaged_one_without_a_seal_gives_way_too(folder, cut, caplog):
    (folder / "9" / SEAL).unlink()
    largest = largest_file(folder / "9")
    largest.write_bytes(largest.read_bytes()[:cut])
    assert newest(folder)[0] == 6
    assert "checkpoint 9 is damaged (weights: " in caplog.text


def test_half_written_checkpoints_do_not_count(folder):
    (folder / "12.orbax-checkpoint-tmp").mkdir()
    (folder / "15").mkdir()
    assert newest(folder)[0] == 9


def test_forget_after(folder):
    checkpoints = Checkpoints(folder)
    checkpoints.forget_after(6)
    assert checkpoints.newest() == 6
    checkpoints.save(9, TREE)
    checkpoints.close()
    assert newest(folder)[0] == 9


def test_a_save_without_room_is_refused_in_one_line(folder, monkeypatch):
    checkpoints = Checkpoints(folder)
    assert checkpoints.newest() == 9
    usage = shutil.disk_usage(folder)._replace(free=900_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(RequestError) as caught:
        checkpoints.save(12, TREE, {"step": jnp.int32(12)})
    message = str(caught.value)
    assert re.match(
        r"step 12 could not be saved in .* .*needs 1\.\d MiB, .* 0\.9 MiB left", message
    )
    assert message.endswith(
        "the newest saved state is step 9. Make room and run the same command again"
    )
    assert "\n" not in message
    monkeypatch.undo()
    checkpoints.save(12, TREE, {"step": jnp.int32(12)})
    checkpoints.seal(wait=True)
    assert checkpoints.saved == 12
    checkpoints.close()


def test_a_save_that_orbax_cannot_finish_is_reported_in_one_line(folder, monkeypatch):
    def fail(*_, **__):
        raise ValueError("RESOURCE_EXHAUSTED: no space\nand a page of it")

    checkpoints = Checkpoints(folder)
    checkpoints.newest()
    monkeypatch.setattr(checkpoints._manager, "save", fail)
    with pytest.raises(RequestError, match=r"step 12 could not be saved .*SOURCE_EXHAUSTED: no sp"):
        checkpoints.save(12, TREE, {"step": jnp.int32(12)})
    assert checkpoints.saved == 9
    checkpoints.close()


def test_files_and_folders_reach_the_disk_before_their_seal(tmp_path, monkeypatch):
    step = tmp_path / "checkpoints" / "10"
    (step / "weights").mkdir(parents=True)
    (step / "weights" / "a").write_bytes(b"1")
    (step / "meta").write_bytes(b"2")
    synced = set()

    def sync(path):
        if not (step / checkpoint.SEAL).exists():
            synced.add(path)

    monkeypatch.setattr(checkpoint.atomic, "sync", sync)
    checkpoint._write_seal(epath.Path(step))
    assert {step / "weights" / "a", step / "meta", step, step / "weights", step.parent} <= synced
    assert (step / checkpoint.SEAL).is_file()
