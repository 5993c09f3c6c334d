"""What becomes of a run when something breaks: `make test-faults` prints the table.

Every fault is real: a signal, a killed process, a full disk, a flipped bit. Nothing is lost when
the resumed run's metrics are, to the bit, those of one that nothing happened to.
"""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest
from helpers.program import command, read_metrics, run
from helpers.synthetic import synthetic_images
from system.test_hosts import start_both, wait_for_step

pytestmark = [pytest.mark.slow, pytest.mark.faults]

STEPS, EVERY = 300, 25
FLAGS = [
    "--config=configs/plain_cnn.py:size=32,batch=4",
    "--config.model.filters=(4,8,8,8,8,8,8)",
    "--config.optimizer.warmup_steps=0",
    f"--config.total_steps={STEPS}",
    "--config.eval_every=0",
    f"--config.checkpoint_every={EVERY}",
    "--config.log_every=1",
    "--config.data.eval_fraction=0.2",
    "--config.evaluation.batch_size=4",
    "--config.evaluation.baseline_photos=16",
]


@pytest.fixture(scope="module")
def rows():
    """The table; printed at the end."""
    found = []
    yield found
    print("\n\n| fault | times | what happened |\n|---|---|---|")
    for row in found:
        print("| " + " | ".join(map(str, row)) + " |")


@pytest.fixture(scope="module")
def flags(photos):
    return [*FLAGS, f"--config.data.path={photos}"]


@pytest.fixture(scope="module")
def undisturbed(flags, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("faults") / "undisturbed"
    result = run(*flags, f"--workdir={workdir}")
    assert result.returncode == 0, result.stderr
    return read_metrics(workdir)


def start(*flags):
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(**command(*flags), **pipes)


def last_step(workdir):
    metrics = workdir / "metrics.jsonl"
    lines = metrics.read_text().splitlines() if metrics.is_file() else []
    return max((json.loads(line)["step"] for line in lines if line.endswith("}")), default=0)


def until(what, process, seconds=90):
    deadline = time.monotonic() + seconds
    while not what():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def finish(flags, workdir):
    result = run(*flags, f"--workdir={workdir}")
    assert result.returncode == 0, result.stderr
    return result.stderr


def half_saved(workdir):
    """The saves that did not end: files of Orbax's that are not named yet, or have no seal."""
    steps = workdir.glob("checkpoints/*")
    return {s.name for s in steps if "tmp" in s.name or not (s / "SHA256SUMS").is_file()}


def is_saved(workdir):
    return any(workdir.glob("checkpoints/*/SHA256SUMS"))


def saved(workdir):
    found = workdir.glob("checkpoints/*/weights")
    return max(
        (int(path.parent.name) for path in found if "tmp" not in path.parent.name), default=0
    )


def test_kill_9_at_random_moments(flags, undisturbed, rows, tmp_path):
    chance = random.Random(0)
    kills = in_saves = worst = runs = 0
    workdir = tmp_path / "w0"
    while kills < 20:
        before, halves, was_saved = last_step(workdir), half_saved(workdir), is_saved(workdir)
        process = start(*flags, f"--workdir={workdir}")
        until(lambda: last_step(workdir) > before, process)  # noqa: B023
        if kills % 2:
            until(lambda: any(workdir.glob("checkpoints/*tmp*")), process)  # noqa: B023
        else:
            time.sleep(chance.uniform(0, 0.5))
        process.kill()
        text = process.communicate()[1]
        kills += 1
        in_saves += not half_saved(workdir) <= halves
        assert ("resuming from step" in text) == was_saved, text
        worst = max(worst, last_step(workdir) - saved(workdir))
        if last_step(workdir) >= STEPS - 2 * EVERY or kills == 20:
            finish(flags, workdir)
            assert read_metrics(workdir) == undisturbed
            runs += 1
            workdir = tmp_path / f"w{runs}"
    assert in_saves >= 5
    assert worst <= 2 * EVERY
    told = f"at most {worst} steps done again, {EVERY} between saves; {runs} runs, bitwise the same"
    rows.append(("kill -9 in training", kills - in_saves, told))
    rows.append(("kill -9 inside a save", in_saves, "the same"))


@pytest.mark.parametrize("when", ["training", "evaluation", "compilation"])
def test_sigterm(when, flags, undisturbed, rows, tmp_path):
    workdir = tmp_path / "w"
    process = start(*flags, f"--workdir={workdir}")
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(process.stderr), daemon=True)
    if when == "compilation":
        reader.start()
        until(lambda: any("photos: " in line for line in lines), process)
    elif when == "training":
        until(lambda: last_step(workdir) >= 40, process)
        reader.start()
    else:
        until(lambda: last_step(workdir) >= STEPS, process)
        reader.start()
    process.send_signal(signal.SIGTERM)
    sent = time.monotonic()
    status = process.wait(timeout=90)
    seconds = time.monotonic() - sent
    reader.join()
    assert status == 75, lines
    assert "stopped by SIGTERM; the same command resumes from step" in lines[-1]
    finish(flags, workdir)
    assert read_metrics(workdir) == undisturbed
    rows.append((f"SIGTERM in {when}", 1, f"status 75 after {seconds:.1f} s; bitwise the same"))


def test_a_time_limit(flags, undisturbed, rows, tmp_path):
    workdir = tmp_path / "w"
    result = run(*flags, f"--workdir={workdir}", "--time_limit=3s")
    assert result.returncode == 75, result.stderr
    assert "stopped by the time limit" in result.stderr
    finish(flags, workdir)
    assert read_metrics(workdir) == undisturbed
    rows.append(("a time limit of 3 s", 1, "status 75; bitwise the same"))


@pytest.mark.parametrize(("end", "what"), [(signal.SIGKILL, "dies"), (signal.SIGSTOP, "hangs")])
@pytest.mark.parametrize("victim", [0, 1])
def test_a_dead_peer(victim, end, what, photos, rows, tmp_path):
    workdir = tmp_path / "w"
    processes = start_both(
        [
            *FLAGS,
            f"--config.data.path={photos}",
            f"--workdir={workdir}",
            "--config.total_steps=99999",
        ]
    )
    wait_for_step(workdir, 60, processes)
    processes[victim].send_signal(end)
    dead = time.monotonic()
    text = processes[1 - victim].communicate(timeout=90)[1]
    seconds = time.monotonic() - dead
    processes[victim].kill()
    assert processes[1 - victim].returncode == 75, text
    (line,) = (line for line in text.splitlines() if line.startswith("colorjax: "))
    step = int(re.search(r"the same command resumes from step (\d+)$", line)[1])
    assert step >= EVERY
    assert seconds < 60
    more = [*FLAGS, f"--config.data.path={photos}", f"--config.total_steps={step + 10}"]
    assert f"resuming from step {step} " in finish(more, workdir)
    which = ("the first", "the second")[victim]
    rows.append(
        (f"{which} of two processes {what}", 1, f"the other ends after {seconds:.0f} s, 75")
    )


@pytest.mark.parametrize("left", [600_000, 0])
def test_a_full_disk(left, flags, undisturbed, rows, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    small = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk]
    if subprocess.run(small, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small disk here")
    process = start(*flags, f"--workdir={disk / 'w'}")
    try:
        until(lambda: last_step(disk / "w") >= 60, process)
        ballast = disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", 0) as file:
            while (room := shutil.disk_usage(disk).free) > left:
                file.write(bytes(room - left))
        text = process.communicate(timeout=90)[1]
        assert process.returncode == 2, text
        if left:  # else TensorStore may have been writing, whose threads print what they like
            assert "Traceback" not in text
        line = text.splitlines()[-1]
        assert re.search(
            r"^colorjax: .*(could not be saved|cannot be written).* [Mm]ake room", line
        )
        ballast.unlink()
        finish(flags, disk / "w")
        assert read_metrics(disk / "w") == undisturbed
    finally:
        process.kill()
        process.wait()
        subprocess.run(["umount", disk], check=False)
    told = "status 2 and one line; with room again bitwise the same"
    rows.append((f"a disk with {left // 1000} kB left", 1, told))


def test_flipped_bits(flags, undisturbed, rows, tmp_path):
    workdir, times = tmp_path / "w", 5
    first = run(*flags, f"--workdir={workdir}", "--config.total_steps=200")
    assert first.returncode == 0
    copy = tmp_path / "copy"
    shutil.copytree(workdir, copy)
    for number in range(times):
        shutil.rmtree(workdir)
        shutil.copytree(copy, workdir)
        newest = workdir / "checkpoints/200"
        files = sorted(
            (p for p in newest.rglob("*") if p.is_file()), key=lambda p: -p.stat().st_size
        )
        flip(files[number], random.Random(number))
        text = finish(flags, workdir)
        assert "checkpoint 200 is damaged" in text
        assert "resuming from step 175" in text
        assert [x for x in read_metrics(workdir) if x["step"] != 200] == [
            x for x in undisturbed if x["step"] != 200
        ]
    rows.append(
        (
            "a bit flipped in a large file of the newest checkpoint",
            times,
            "seen every time, the one before is used; bitwise the same",
        )
    )


def flip(path, chance):
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def test_corrupt_photos(rows, tmp_path):
    from PIL import Image

    (tmp_path / "photos").mkdir()
    for number, image in enumerate(synthetic_images(200, 40)):
        Image.fromarray(image).save(tmp_path / f"photos/{number:03d}.png")
    broken = ["017.png", "151.png"]
    for name in broken:
        path = tmp_path / "photos" / name
        path.write_bytes(path.read_bytes()[:100])
    text = finish([*FLAGS, f"--config.data.path={tmp_path / 'photos'}"], tmp_path / "w")
    named = (tmp_path / "w/skipped.txt").read_text().split()
    assert sorted(named) == broken
    assert text.count("it cannot be read as a photo") == len(broken)
    rows.append(
        ("1 % corrupt photos", len(broken), "each named once, in skipped.txt too; status 0")
    )


def children(pid):
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def workers(pid):
    """The processes that decode; the tracker of shared memory is none of them."""
    return [
        child
        for child in children(pid)
        if b"spawn_main" in (content := open(f"/proc/{child}/cmdline", "rb").read())
        and b"resource_tracker" not in content
    ]


def test_a_killed_worker(flags, undisturbed, rows, tmp_path):
    workdir = tmp_path / "w"
    both = [*flags, "--config.data.num_workers=2"]
    process = start(*both, f"--workdir={workdir}")
    until(lambda: last_step(workdir) >= 40, process)
    os.kill(workers(process.pid)[0], signal.SIGKILL)
    dead = time.monotonic()
    text = process.communicate(timeout=90)[1]
    seconds = time.monotonic() - dead
    assert process.returncode == 75, text
    assert seconds < 60
    # The last line may be Python's, whose tracker tidies the shared memory up.
    (line,) = (line for line in text.splitlines() if line.startswith("colorjax: "))
    assert re.search(r"photos has died \(killed by signal 9.*resumes from step \d+$", line)
    finish(both, workdir)
    assert read_metrics(workdir) == undisturbed
    rows.append(
        (
            "a process that decodes is killed",
            1,
            f"status 75 after {seconds:.0f} s; bitwise the same, with 0 and 2 workers",
        )
    )


def test_a_killed_worker_of_one_of_two_processes(photos, rows, tmp_path):
    more = ["--config.total_steps=99999", "--config.data.num_workers=2"]
    workdir = tmp_path / "w"
    flags = [*FLAGS, f"--config.data.path={photos}", f"--workdir={workdir}", *more]
    processes = start_both(flags)
    wait_for_step(workdir, 60, processes)
    os.kill(workers(processes[1].pid)[0], signal.SIGKILL)
    dead = time.monotonic()
    texts = [process.communicate(timeout=90)[1] for process in processes]
    seconds = time.monotonic() - dead
    assert [process.returncode for process in processes] == [75, 75], texts
    assert seconds < 60
    assert "photos has died (killed by signal 9" in texts[1]
    assert re.search(r"process 1 has died; the same command resumes from step \d+", texts[0])
    told = f"both end after {seconds:.0f} s, 75"
    rows.append(("a process that decodes is killed, of one of two", 1, told))


def test_workers_end_with_their_parent(flags, rows, tmp_path):
    before = set(os.listdir("/dev/shm"))
    process = start(*flags, f"--workdir={tmp_path / 'w'}", "--config.data.num_workers=2")
    until(lambda: last_step(tmp_path / "w") >= 40, process)
    of_run = children(process.pid)
    assert len(workers(process.pid)) == 2
    process.kill()
    process.wait()
    dead = time.monotonic()
    while any(os.path.exists(f"/proc/{pid}") for pid in of_run):
        assert time.monotonic() - dead < 10
        time.sleep(0.05)
    seconds = time.monotonic() - dead
    assert set(os.listdir("/dev/shm")) <= before
    rows.append(
        (
            "kill -9 of a run with 2 workers",
            1,
            f"they end after {seconds:.1f} s and leave no shared memory",
        )
    )


def test_a_folder_that_cannot_be_written(flags, rows, tmp_path):
    (tmp_path / "file").write_text("x")
    result = run(*flags, f"--workdir={tmp_path / 'file' / 'w'}")
    assert result.returncode == 2
    assert "cannot be written" in result.stderr.splitlines()[-1]
    rows.append(("a workdir that cannot be written", 1, "status 2 and one line, before training"))
