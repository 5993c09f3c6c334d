"""Damages many files of weights: see `fuzzing`."""

import functools
import json
import logging
import shutil
import tempfile
from pathlib import Path

import numpy as np
from helpers import fuzzing
from helpers.photos import damage

from colorjax import color
from colorjax.data import prior
from colorjax.errors import RequestError
from colorjax.runtime import jax_setup
from colorjax.weights import checkpoint
from colorjax.weights.open import open_weights
from colorjax.weights.torch import file as torch_file
from colorjax.weights.workdir import Workdir

VALUES = [None, True, -1, 0, 1e308, "", "x", [], {}, [[]], 2**70, "\ud800", float("inf"), 10**6]


def write_originals(folder, workdir):
    """Writes whole files; `workdir` has a config and a sealed checkpoint."""
    import torch

    state = {"a.weight": torch.ones(3, 4), "a.bias": torch.zeros(3, dtype=torch.bfloat16)}
    for name, is_zip in (("zip.pth", True), ("stream.pth", False)):
        torch.save(state, folder / name, _use_new_zipfile_serialization=is_zip)
    shares = np.full(color.NUM_BINS, 1 / color.NUM_BINS)
    np.savez_compressed(folder / "prior.npz", prior=shares)
    np.save(folder / "prior.npy", shares)
    np.savez_compressed(folder / "split.npz", train=np.arange(99), test=np.arange(9))
    lines = [{"step": i, "train/loss": 1 / i, "validation/mae_ab": 9.5} for i in range(1, 20)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text)
    shutil.copytree(workdir, folder / "run")


def _outcome(act):
    """Returns whether a file is read; None counts as refused, as a RequestError of one line."""
    try:
        return "refused" if act() is None else "accepted"
    except RequestError as error:
        fuzzing.check_line(error)
        return "refused"


def _torch(path):
    return torch_file.read_state_dict(path)


def _prior(path):
    prior._load.cache_clear()
    values = prior.load(path)
    assert values.shape == (color.NUM_BINS,)
    return values


def _split(path):
    return Workdir(path.parent)._read_split()


def _metrics(path):
    folder = Workdir(path.parent)
    found = list(folder.read_metrics())
    folder.cut_metrics(10)
    kept = list(folder.read_metrics())
    assert kept == [line for line in found if line["step"] <= 10]
    assert len(path.read_bytes().splitlines()) == len(kept)
    return found or None


_FILES = {
    "zip.pth": _torch,
    "stream.pth": _torch,
    "prior.npz": _prior,
    "prior.npy": _prior,
    "split.npz": _split,
    "metrics.jsonl": _metrics,
}
_ARRAYS = ("arrays", "unsealed")  # of Orbax, which takes a second for each
NAMES = (*_FILES, "config.json", "SHA256SUMS", *_ARRAYS)


def _one_value(content, rng):
    """Replaces or removes a value of a JSON file."""
    fields = json.loads(content)
    sections = [fields, *(value for value in fields.values() if isinstance(value, dict))]
    section = sections[rng.integers(len(sections))]
    name = list(section)[rng.integers(len(section))]
    if rng.random() < 0.2:
        del section[name]
    else:
        section[name] = VALUES[rng.integers(len(VALUES))]
    return json.dumps(fields).encode()


def _in_workdir(name, workdir, rng):
    """Damages a file of a copied workdir, and returns what opens it."""
    (step,) = (workdir / "checkpoints").iterdir()
    if name == "config.json":
        file = workdir / "config.json"
    elif name == "SHA256SUMS":
        file = step / checkpoint.SEAL
    else:
        files = sorted(path for path in step.rglob("*") if path.is_file())
        files = [path for path in files if path.name != checkpoint.SEAL]
        file = files[rng.integers(len(files))]
    content = file.read_bytes()
    changes = _one_value if name == "config.json" and rng.random() < 0.5 else damage.damaged
    file.write_bytes(changes(content, rng))
    if name == "unsealed":
        (step / checkpoint.SEAL).unlink()
    if name == "arrays":  # with a seal that fits the damage
        checkpoint._write_seal(checkpoint.paths.locate(step))

    return {
        "config.json": lambda: open_weights(workdir).method,
        "SHA256SUMS": lambda: None if checkpoint.find_damage(step) else step,
    }.get(name, lambda: open_weights(workdir).load())


def case_of(rng, folder):
    """Returns the name of a case, and a function that runs it: see `fuzzing.main`."""
    names = _ARRAYS if rng.random() < 0.06 else NAMES[: -len(_ARRAYS)]
    name = names[rng.integers(len(names))]
    work = Path(tempfile.mkdtemp(dir=folder, prefix="case-"))
    if name in _FILES:
        path = work / name
        path.write_bytes(damage.damaged((folder / name).read_bytes(), rng))
        act = functools.partial(_FILES[name], path)
    else:
        act = _in_workdir(name, shutil.copytree(folder / "run", work / "run"), rng)

    def run():
        try:
            return _outcome(act)
        finally:
            shutil.rmtree(work)

    return name, run


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # a line for each damaged checkpoint
    jax_setup.quiet_library_logs()  # as all commands do
    fuzzing.main(case_of, lambda folder: open_weights(folder / "run").load())
