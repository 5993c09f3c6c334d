"""Programs that take the place of colorjax.main and colorjax.tune.measure: a trial in a moment.

`train` does as main, as far as a study can see: metrics.jsonl, heartbeat.json, checkpoints/, what a
signal does. The value of a step is (learning_rate - 0.3)^2 + 1 / step; a rate above 0.9 diverges.
"""

import json
import runpy
import time
from pathlib import Path


def value_at(rate, step):
    return (rate - 0.3) ** 2 + 1 / step


def write(path, content):
    path.write_text(json.dumps(content))


def run_module(module, words, should_stop, *, output, keep_open=()):
    """Takes the place of colorjax.runtime.child_process.run_module."""
    if module == "colorjax.tune.measure":
        return measure(*words)
    assert module == "colorjax.main"
    assert keep_open is not None
    return train(dict(word.split("=", 1) for word in words), should_stop, output)


def train(words, should_stop, output):
    workdir = Path(words["--workdir"])
    config = runpy.run_path(words["--config"])["get_config"]()
    total = int(words.get("--config.total_steps", config.total_steps))
    rate = config.optimizer.learning_rate
    with open(workdir / "starts.txt", "a") as file:
        file.write("start\n")
    checkpoints = workdir / "checkpoints"
    checkpoints.mkdir(exist_ok=True)
    done = max((int(p.name) for p in checkpoints.iterdir()), default=0)
    is_told = False
    write(workdir / "config.json", config.to_dict())
    # The place of config.chroma_alarm is free for the seconds of a step, in milliseconds.
    pause = config.chroma_alarm / 1000
    metrics = workdir / "metrics.jsonl"
    lines = metrics.read_text().splitlines() if metrics.exists() else []
    seen = {json.loads(line)["step"] for line in lines}

    def evaluate(step):
        if step not in seen:
            seen.add(step)
            line = {"step": step, "validation/mae_ab": value_at(rate, step)}
            with open(metrics, "a") as file:
                file.write(json.dumps(line) + "\n")

    for step in range(done + 1, total + 1):
        if rate > 0.9:
            output.write(f"colorjax: step {step}: the loss is nan\n".encode())
            return 2
        if config.optimizer.b1 == 0:
            output.write(b"colorjax: there is no photo\n")
            return 2
        time.sleep(pause)
        write(workdir / "heartbeat.json", {"step": step})
        if step % config.eval_every == 0:
            evaluate(step)
        is_told = is_told or should_stop()
        if is_told or step % config.checkpoint_every == 0:
            (checkpoints / str(step)).mkdir(exist_ok=True)
        if is_told:
            return 75
    evaluate(total)
    (checkpoints / str(total)).mkdir(exist_ok=True)
    return 0


def measure(workdir, output):
    config = json.loads((Path(workdir) / "config.json").read_text())
    rate = config["optimizer"]["learning_rate"]
    part = {
        "num_images": 20,
        "metrics": {"mae_ab": rate, "psnr": 20.0},
        "baselines": {"grey": {"mae_ab": 9.0}},
        "errors": {
            "mae_ab": [(rate - 0.3) ** 2 + 0.001 * (i % 3) for i in range(20)],
            "mse": [100 * (rate - 0.3) ** 2 + 1 for _ in range(20)],
        },
    }
    write(Path(output), {"step": 3, "protocol": "p", "validation": part, "eval": part})
    return 0
