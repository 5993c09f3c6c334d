"""Runs every command of an installed colorjax in an empty folder, outside a checkout.

    python tests/wheel/check.py [--page] [--photos]

Run it with the Python that has the wheel. It needs no test packages and no network, prints the
seconds of each command, and ends with status 1 if one failed. `--page` needs the extra `page`;
`--photos` leaves out what trains.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image

TINY = (
    "--config=configs/plain_cnn.py:size=32,batch=4,debug",
    "--config.model.filters=(4,8,8,8,8,8,8)",
    "--config.data.name=folder",
    "--config.data.path=photos",
    "--config.data.eval_fraction=0.3",
    "--config.data.validation_fraction=0.2",
    "--config.evaluation.batch_size=4",
    "--config.total_steps=20",
    "--config.log_every=5",
)
# Command -> a file that it must leave.
RUNS = (
    (("weights", "list"), ""),
    (("decolorize", "photos", "--output", "gray"), "gray/0.png"),
    (("colorize", "gray/0.png"), "gray/0.color.png"),
    (("colorize", "gray", "--output", "colored", "--samples", "1"), "colored/1.1.png"),
)
TRAINING = (
    (("train", *TINY, "--workdir=run"), "run/metrics.jsonl"),
    (("eval", *TINY, "--workdir=run"), "run/eval.json"),
    (("colorize", "gray/1.png", "--checkpoint", "run"), "gray/1.color.png"),
    (("compare", "run", "--data", "photos", "--output", "compared"), "compared/metrics.json"),
    (
        ("evaluate", "run", "--suite", "folder", "--data", "photos", "--output", "measured"),
        "measured/result.json",
    ),
    (("prepare", "photos", "--output", "shards", "--size", "32"), "shards"),
    (("prior", "photos", "--output", "prior.npz"), "prior.npz"),
    (("calibrate", "run", "--data", "photos"), ""),
    (("sweep", *TINY, "--workdir=swept", "--vary", "seed=1"), "swept/sweep.md"),
    (("finetune", "run", "--data", "photos", "--output", "fine", "--steps", "4"), "fine"),
)


def main(arguments):
    """Runs all; returns the exit status."""
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("photos").mkdir()
        rng = np.random.default_rng(0)
        for n in range(24):
            few = Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8))
            few.resize((64, 64), Image.Resampling.BICUBIC).save(f"photos/{n}.png")
        for command in commands():
            failed += not run((command, "--help"))
        is_whole = "--photos" not in arguments
        for command, left in RUNS + (TRAINING if is_whole else ()):
            failed += not run(command, left)
        if is_whole:
            lines = Path("run/metrics.jsonl").read_text().splitlines()
            last = max(json.loads(line)["step"] for line in lines)
            failed += not report("training ended with step 20", last == 20)
        failed += not watches()
        if "--page" in arguments:
            failed += not serves()
        os.chdir("/")
    return min(failed, 1)


def commands():
    """Returns the names of all commands of this Python's colorjax."""
    code = "from colorjax.cli.main import COMMANDS; print(*COMMANDS)"
    asked = [sys.executable, "-P", "-c", code]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()


def command_of(*arguments):
    """Returns the command of this Python's colorjax; never a checkout in the current folder."""
    return [sys.executable, "-P", "-m", "colorjax", *arguments]


def report(name, is_good, seconds=0.0):
    print(f"{'ok' if is_good else 'FAILED':6} {seconds:7.1f} s  {name}", flush=True)
    return is_good


def run(arguments, left=""):
    start = time.perf_counter()
    ended = subprocess.run(command_of(*arguments), capture_output=True, text=True, check=False)
    is_good = ended.returncode == 0 and (not left or Path(left).exists())
    if not is_good:
        print(ended.returncode, ended.stdout[-2000:], ended.stderr[-2000:], sep="\n")
    return report(" ".join(arguments[:4]), is_good, time.perf_counter() - start)


def watches():
    start = time.perf_counter()
    with subprocess.Popen(command_of("watch", "gray", "--output", "seen")) as program:
        is_good = until(Path("seen/2.png").exists)
        program.send_signal(signal.SIGINT if os.name != "nt" else signal.SIGTERM)
        is_good &= ends(program)
    is_good &= os.name == "nt" or program.returncode in (0, 75)
    return report("watch", is_good, time.perf_counter() - start)


def serves():
    start = time.perf_counter()
    command = command_of("serve", "--no-browser", "--port", "8799", "--token-file", "token.txt")
    with subprocess.Popen(command) as program:
        is_good = until(lambda: b"colorjax" in fetched("http://127.0.0.1:8799/"))
        program.terminate()
        is_good &= ends(program)
    return report("serve", is_good, time.perf_counter() - start)


def ends(program, seconds=60):
    """Returns whether a program ends after its signal; else kills it."""
    try:
        program.wait(seconds)
    except subprocess.TimeoutExpired:
        program.kill()
        return False
    return True


def fetched(address):
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.read()
    except OSError:
        return b""


def until(test, seconds=180):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if test():
            return True
        time.sleep(0.2)
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
