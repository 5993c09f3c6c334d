"""What a result is made with, and whether an existing result was made with the same."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from colorjax import photos
from colorjax.inference.batch.plan import Job
from colorjax.inference.engines import model_file
from colorjax.version import __version__
from colorjax.weights import named

_DIGITS = 16  # hexadecimal, of a digest in the mark
PROGRAM = f"colorjax {__version__}"


class Origin(NamedTuple):
    """Weights and settings of a run.

    Attributes:
        by: name of the weights.
        tool: name and version of the program.
        weights: digest of the weights.
        settings: options that affect the colors, "NAME=VALUE; ...", see `settings_text`.
        seed: of the random numbers of samples; in the marks of samples only.
    """

    by: str
    tool: str
    weights: str
    settings: str
    seed: int = 0

    def mark(self, photo: Path) -> dict[str, str]:
        """Returns the mark of the result of a photo, for `photos.write`.

        Raises:
            OSError: the photo cannot be read.
        """
        return {
            "by": self.by,
            "tool": self.tool,
            "weights": self.weights[:_DIGITS],
            "settings": self.settings,
            "input": digest_of(photo),
        }

    def of_sample(self, index: int, number: int) -> str:
        """Returns the settings in the mark of sample `index` of `number`."""
        own = settings_text({"sample": index, "samples": number, "seed": self.seed})
        return "; ".join(filter(None, (self.settings, own)))

    def other_samples(self, job: Job) -> str:
        """Returns what existing samples were drawn with, if it differs; else "".

        All samples of a photo are drawn together, so each depends on their number.
        """
        wanted = {"samples": str(len(job.samples)), "seed": str(self.seed)}
        for path in filter(Path.is_file, job.samples):
            values = _values((photos.read_mark(path) or {}).get("settings", ""))
            if "seed" in values and any(values.get(name) != wanted[name] for name in wanted):
                number = values.get("samples", "another number of")
                return f"samples drawn as {number} with seed {values['seed']}"
        return ""

    def difference(self, job: Job) -> str:
        """Returns what an existing result was made with, if it differs; else "".

        Results without a mark, and fields that the mark lacks, do not differ.
        """
        mark = None if job.file is None else photos.read_mark(job.file)
        if not mark:
            return ""
        changes = []
        if mark.get("by", self.by) != self.by:
            changes.append(f"weights {mark['by']} instead of {self.by}")
        elif mark.get("weights", self.weights[:_DIGITS]) != self.weights[:_DIGITS]:
            changes.append(f"an earlier version of the weights {self.by}")
        if "settings" in mark:
            changes += _changes(mark["settings"], self.settings)
        if "input" in mark and _has_changed(job, mark["input"]):
            changes.append("another version of this photo")
        if samples := self.other_samples(job):
            changes.append(samples)
        return ", ".join(changes)


def origin_of(weights: str, settings: Mapping[str, Any], *, seed: int = 0) -> Origin:
    """Returns what results of these weights and settings are made with.

    Args:
        weights: a name, the path of a workdir, or an exported model.
        settings: arguments of `Colorizer.load`, fields of `Options` and the level of white.
        seed: of the random numbers of samples.

    Raises:
        RequestError: there are no such weights.
    """
    text = settings_text({name: _short(value) for name, value in settings.items()})
    model = _model(weights)
    name = model["weights"] if model else Path(weights).name
    return Origin(name, PROGRAM, weights_digest(weights), text, seed)


def weights_digest(weights: str) -> str:
    """Returns the digest of weights, see `StoredWeights.digest`.

    Raises:
        RequestError: there are no such weights.
    """
    if named.ships(weights):
        return named.SHA256[weights]
    if model := _model(weights):
        return model["digest"]
    from colorjax.weights.open import open_weights

    return open_weights(weights).digest()


def _model(weights: str) -> Mapping[str, Any]:
    """Returns the metadata of an exported model; empty for other weights."""
    path = Path(weights).expanduser()
    is_model = path.suffix == model_file.SUFFIX and path.is_file()
    return model_file.read_about(path) if is_model else {}


def _short(value: Any) -> Any:
    """Returns a value of an option, or for hints and pictures, which are long, a digest."""
    if isinstance(value, np.ndarray):
        return hashlib.sha256(value.tobytes()).hexdigest()[:_DIGITS]
    if value and isinstance(value, list):
        return hashlib.sha256(repr(value).encode()).hexdigest()[:_DIGITS]
    return value


def settings_text(settings: Mapping[str, object]) -> str:
    """Returns settings as text; those without a value are left out.

    >>> settings_text({"size": None, "saturation": 1.0, "hints": []})
    'saturation=1.0'
    """
    items = {name: str(value) for name, value in settings.items() if value not in (None, "")}
    return "; ".join(f"{name}={value}" for name, value in items.items() if value != "[]")


def digest_of(path: Path) -> str:
    """Returns the first digits of the SHA-256 of a file.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:_DIGITS]  # pyrefly: ignore


def _changes(old_text: str, new_text: str) -> list[str]:
    old, new = _values(old_text), _values(new_text)
    if old.get("aspect") == "short" and "aspect" not in new:
        del old["aspect"]  # earlier versions wrote down the default
    names = [name for name in old | new if old.get(name) != new.get(name)]
    values = [(name, old.get(name, "not set"), new.get(name, "not set")) for name in names]
    return [f"{name} {before} instead of {now}" for name, before, now in values]


def _values(text: str) -> dict[str, str]:
    """Returns the settings of `settings_text`."""
    return dict(item.split("=", 1) for item in text.split("; ") if "=" in item)


def _has_changed(job: Job, digest: str) -> bool:
    """Whether a result was made from another photo; reads the photo only if it is newer."""
    with contextlib.suppress(OSError):
        source, result = os.stat(job.source), os.stat(job.output or job.source)
        if max(source.st_mtime, source.st_ctime) < result.st_mtime:
            return False
        return digest_of(job.source) != digest
    return False  # the photo was removed or cannot be read
