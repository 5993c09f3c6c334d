"""The scripts of launch/: what they would run, and what they do when a run is interrupted."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from colorjax import errors

LAUNCH = Path(__file__).parents[2] / "launch"
SCRIPTS = [*sorted(LAUNCH.glob("*.sh")), LAUNCH / "slurm.sbatch"]
CLOUD = {"PROJECT": "my-project", "ZONE": "us-east5-b"}


def run(script, *arguments, **env):
    return subprocess.run(
        ["bash", LAUNCH / script, *arguments],
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck(script):
    checker = Path(sys.executable).with_name("shellcheck")
    result = subprocess.run(
        [checker, "--external-sources", script], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout


def test_a_dry_run_prints_the_commands_and_runs_none():
    flags = ["--config=configs/unet.py", "--workdir=gs://bucket/a run"]
    last = run("local.sh", "--dry-run", *flags).stdout.splitlines()[-1]
    assert shlex.split(last) == ["python", "-m", "colorjax.main", *flags]
    last = run("slurm.sbatch", *flags, DRY_RUN="1").stdout.splitlines()[-1]
    assert shlex.split(last)[2:] == ["python", "-m", "colorjax.main", "--distributed=auto", *flags]
    for script in ("tpu_vm.sh", "gpu_vm.sh"):
        made = run(script, "--dry-run", "create", **CLOUD).stdout
        assert made.startswith("gcloud compute")
        assert made.count("\n") == 1
        assert "--zone=us-east5-b --project=my-project" in made
        trained = run(script, "--dry-run", "run", *flags, **CLOUD).stdout.splitlines()
        assert [line.split()[0] for line in trained] == ["git", "gcloud", "gcloud", "gcloud"]
        installed = shlex.split(trained[-2])[-1]
        assert "uv venv --quiet --allow-existing --python 3.12 .venv &&" in installed
        assert re.search(r"--editable \.\[(tpu|cuda),gcs\]$", installed)
        remote = shlex.split(trained[-1])[-1].removeprefix("--command=")
        assert ".venv/bin/python" in remote
        assert shlex.split(remote)[-2:] == flags
        assert "delete colorjax" in run(script, "--dry-run", "delete", **CLOUD).stdout
    spot = [run("tpu_vm.sh", "--dry-run", "create", **CLOUD, SPOT=x).stdout for x in "10"]
    assert ["--spot" in text for text in spot] == [True, False]
    older = run("tpu_vm.sh", "--dry-run", "create", **CLOUD, TYPE="v5litepod-16").stdout
    assert "--accelerator-type=v5litepod-16 --runtime-version=v2-alpha-tpuv5-lite" in older


def test_reports_what_is_missing():
    for script in ("tpu_vm.sh", "gpu_vm.sh", "local.sh"):
        assert run(script).returncode == 2
        assert f"launch/{script}" in run(script).stdout
    result = run("tpu_vm.sh", "create", PROJECT="", ZONE="z")
    assert result.returncode != 0
    assert "give PROJECT" in result.stderr


def fake_python(folder, text):
    path = folder / "python"
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("statuses", "ends", "starts"), [("75 75 0", 0, 3), ("0", 0, 1), ("2 0", 2, 1), ("75 1", 1, 2)]
)
def test_local_restarts_after_an_interruption(statuses, ends, starts, tmp_path):
    (tmp_path / "left").write_text(statuses)
    python = fake_python(
        tmp_path,
        f'cd "{tmp_path}"; echo "$@" >> calls; read -ra all < left; '
        'echo "${all[@]:1}" > left; exit "${all[0]}"',
    )
    result = run("local.sh", "--config=a", PYTHON=python)
    assert result.returncode == ends
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == ["-m colorjax.main --config=a"] * starts


def test_local_ends_after_a_signal(tmp_path):
    python = fake_python(
        tmp_path, f'trap "sleep 0.2; exit 75" TERM; touch "{tmp_path}/on"; sleep 60 & wait'
    )
    process = subprocess.Popen(
        ["bash", LAUNCH / "local.sh", "--config=a"], env=os.environ | {"PYTHON": python}
    )
    while not (tmp_path / "on").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 75


def test_slurm_asks_for_a_signal_and_queues_again(tmp_path):
    text = (LAUNCH / "slurm.sbatch").read_text()
    for words in ("--signal=TERM@180", "--requeue", "--gres=gpu:4", "--ntasks-per-node=4"):
        assert f"#SBATCH {words}\n" in text
    for name, status in (("srun", 75), ("scontrol", 0)):
        path = tmp_path / name
        path.write_text(
            f'#!/usr/bin/env bash\necho {name} "$@" >> "{tmp_path}/calls"\nexit {status}'
        )
        path.chmod(0o755)
    result = run(
        "slurm.sbatch", "--config=a", PATH=f"{tmp_path}:{os.environ['PATH']}", SLURM_JOB_ID="7"
    )
    assert result.returncode == 75
    assert (tmp_path / "calls").read_text().splitlines()[-1] == "scontrol requeue 7"


def test_the_jobset_is_what_the_program_takes():
    job = yaml.safe_load((LAUNCH / "gke_jobset.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    (replicated,) = job["spec"]["replicatedJobs"]
    task = replicated["template"]["spec"]
    assert task["parallelism"] == task["completions"]
    pod = task["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= 60  # to save
    (container,) = pod["containers"]
    [rule] = task["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["containerName"] == container["name"]
    assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", [errors.WRONG_REQUEST])
    [rule] = job["spec"]["failurePolicy"]["rules"]
    assert (rule["action"], rule["onJobFailureReasons"]) == ("FailJobSet", ["PodFailurePolicy"])
    config = next(arg for arg in container["args"] if arg.startswith("--config="))
    assert (LAUNCH.parent / config.partition("=")[2]).is_file()


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.gpu", "Dockerfile.tpu"])
def test_a_dockerfile_copies_what_there_is(name):
    lines = (LAUNCH / name).read_text().splitlines()
    copies = [line for line in lines if line.startswith("COPY") and "--from" not in line]
    copied = [word for line in copies for word in line.split()[1:-1]]
    assert {
        "setup.py",
        "LICENSE",
        "LICENSE-WEIGHTS",
        "README.md",
        "requirements.txt",
        "configs",
    } <= set(copied)
    for word in copied:
        assert (LAUNCH.parent / word).exists(), word
    entry = next(line for line in lines if line.startswith("ENTRYPOINT"))
    command = '"colorjax"' if name == "Dockerfile" else '"python", "-m", "colorjax.main"'
    assert entry == f"ENTRYPOINT [{command}]"
    ignored = (LAUNCH.parent / ".dockerignore").read_text().splitlines()
    assert {".venv", "runs", ".git"} <= set(ignored)


def test_every_script_is_explained():
    text = (LAUNCH / "README.md").read_text()
    for path in LAUNCH.iterdir():
        assert path.name == "README.md" or path.name in text
    assert shutil.which("bash")
