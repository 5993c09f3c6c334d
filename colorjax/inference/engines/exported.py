"""Engines that run a model written by `colorjax export`; everything around it is NumPy."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from colorjax import color
from colorjax.color.hint_spreading import Keys, softmax, spread_hints
from colorjax.data.edges import EdgeDetector
from colorjax.errors import RequestError
from colorjax.inference.engines import numpy_painter
from colorjax.inference.engines.engine import Facts, Spreading
from colorjax.inference.engines.model_file import read_about
from colorjax.inference.planes import Inputs, Size, enlarged

Feeds: TypeAlias = dict[str, np.ndarray]

_LEAST_SHARE = 1e-30  # of a bin, for logarithms
_OF_WHOLE_PHOTOS = ("global_colors", "global_gray")  # inputs without the photo's height and width


class Session(NamedTuple):
    """A model that is ready to run; safe for threads.

    Attributes:
        shapes: name of each input -> its shape; None: any side.
        outputs: names of the outputs.
        run: (inputs, names of outputs) -> those outputs.
    """

    shapes: dict[str, tuple[int | None, ...]]
    outputs: tuple[str, ...]
    run: Callable[[Feeds, Sequence[str]], list[np.ndarray]]


class ExportedEngine:
    """An engine for the model of a file; see `Engine`.

    Attributes:
        name: of the engine.
        about: metadata of the file.
        facts: properties of the network.
        seconds: seconds spent in the network so far, summed over threads.
        compile_seconds: 0.
    """

    compile_seconds = 0.0

    def __init__(self, name: str, path: Path):
        """Opens a model.

        Args:
            name: "onnx" or "openvino".
            path: file that `colorjax export` wrote.

        Raises:
            RequestError: the file is no such model, or the engine is not installed.
        """
        self.about = read_about(path)
        self.name = name
        self._path = path
        module = importlib.import_module(f"colorjax.inference.engines.{name}")
        self._session: Session = module.open_session(path)
        self.facts = _facts_of(self.about, self._session)
        self.seconds = 0.0
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the path; the file is opened again."""
        return ExportedEngine, (self.name, self._path)

    def digest(self, working_size: str) -> str:
        """Returns the SHA-256 of the model and of the working size."""
        sha = hashlib.sha256(working_size.encode())
        sha.update(self._path.read_bytes())
        return sha.hexdigest()

    def fields(self, gray: np.ndarray) -> Inputs:
        """Returns the inputs computed from a gray picture, (H, W) in [-1, 1]."""
        inputs = {"gray": gray[None, :, :, None]}
        if "edges" in self.facts.inputs:
            inputs["edges"] = EdgeDetector(**self.about["edges"])(inputs["gray"][0])[None]
        return inputs

    def fit(self, fields: Inputs) -> Inputs:
        """Returns the fields padded or resized to a size of the network, with global_gray."""
        facts = self.facts
        size = _network_size(facts, *fields["gray"].shape[1:3])
        bring = _padded if facts.fit == "pad" else _resized
        wanted = {
            name: x if name in _OF_WHOLE_PHOTOS else bring(name, x, size)
            for name, x in fields.items()
            if name in facts.inputs | {"global_gray"}
        }
        side = facts.global_size
        if side is not None and "global_gray" not in wanted:
            wanted["global_gray"] = _resized("gray", wanted["gray"], (side, side))
        return wanted

    def fit_back(self, colors: np.ndarray, size: Size) -> np.ndarray:
        """Returns colors (h, w, C) cropped or resized to (H, W); undoes `fit`."""
        if self.facts.fit != "pad":
            return enlarged(colors, size)
        return colors[: size[0], : size[1]]

    def colors(self, fields: Inputs) -> np.ndarray:
        """Returns the predicted colors."""
        return self._run(fields)[0]

    def colors_and_keys(self, fields: Inputs) -> tuple[np.ndarray, Keys, np.ndarray | None]:
        """Returns the colors, the keys by which hints spread, and the bins; see `Engine`."""
        names = [n for n in ("hint_features", "hint_guide", "logits") if n in self._session.outputs]
        colors, *rest = self._run(fields, *names)
        found = dict(zip(names, rest, strict=True))
        keys = Keys(found["hint_features"], found.get("hint_guide"))
        if "logits" not in found:
            return colors, keys, None
        return colors, keys, self._log_shares(found["logits"], keys.features.shape[1:3])

    def colors_and_confidence(self, fields: Inputs) -> tuple[np.ndarray, np.ndarray]:
        """Returns the colors, and their confidence (N, H, W, 1) above 0; see `Engine`."""
        shape = fields["gray"].shape[:3]
        if not self.facts.has_bins:
            return self.colors(fields), np.ones((*shape, 1), np.float32)
        colors, logits = self._run(fields, "logits")
        logs = _log_softmax(logits)
        trust = np.exp(np.sum(np.exp(logs) * logs, axis=-1, keepdims=True))
        return colors, np.stack([enlarged(each, shape[1:]) for each in trust])

    def log_shares(self, fields: Inputs, size: Size) -> np.ndarray:
        """Returns the calibrated log probabilities of the bins, (N, h, w, 313), at `size`."""
        return self._log_shares(self._run(fields, "logits")[1], size)

    def distribution(self, fields: Inputs, size: Size) -> np.ndarray:
        """Returns the uncalibrated distribution over the bins, (N, h, w, 313), at `size`."""
        shares = softmax(self._run(fields, "logits")[1])
        return np.stack([enlarged(each, tuple(size)) for each in shares])

    def mean_of(self, shares: np.ndarray) -> np.ndarray:
        """Returns ab (h, w, 2) of a distribution (h, w, 313), by the annealed mean."""
        logits = np.log(np.maximum(shares, _LEAST_SHARE))
        assert self.facts.temperature is not None
        ab = color.annealed_mean(logits, temperature=self.facts.temperature)
        return self.facts.saturation * np.asarray(ab, np.float32)

    def spread(self, fields: Spreading) -> np.ndarray:
        """Returns the correction of the predicted ab by color hints, (h, w, 2)."""
        return np.asarray(spread_hints(**fields._asdict()), np.float32)

    def paint(self, planes: tuple[np.ndarray, ...], *, is_8_bit: bool) -> np.ndarray:
        """Returns sRGB (n, W, 3) of planes L, a and b, (n, W) each; see `Engine.paint`."""
        return numpy_painter.paint(planes, is_8_bit=is_8_bit)

    def _log_shares(self, logits: np.ndarray, size: Size) -> np.ndarray:
        facts = self.facts
        if facts.bin_bias:
            logits = logits + np.asarray(facts.bin_bias, np.float32)
        logs = _log_softmax(logits / np.float32(facts.bin_temperature))
        if logs.shape[1:3] == tuple(size):
            return logs
        shares = np.stack([enlarged(each, tuple(size)) for each in np.exp(logs)])
        return np.log(np.maximum(shares, _LEAST_SHARE))

    def _run(self, fields: Inputs, *names: str) -> list[np.ndarray]:
        """Returns the colors, (N, H, W, C) at the size of the fields, and more outputs, NHWC."""
        size = fields["gray"].shape[1:3]
        fitted = self.fit(fields)
        wanted = [*(["lightness"] if self.facts.predicts_lightness else []), "ab", *names]
        every = []
        for number in range(len(fitted["gray"])):
            feeds = self._feeds({name: x[number : number + 1] for name, x in fitted.items()})
            start = time.perf_counter()
            outputs = self._session.run(feeds, wanted)
            with self._lock:
                self.seconds += time.perf_counter() - start
            maps = [np.moveaxis(x[0], 0, -1) for x in outputs]
            colors, rest = maps[: len(maps) - len(names)], maps[len(maps) - len(names) :]
            every.append([self.fit_back(np.concatenate(colors, axis=-1), size), *rest])
        return [np.stack(each) for each in zip(*every, strict=True)]

    def _feeds(self, fields: Inputs) -> Feeds:
        """Returns the inputs of the model, for fitted fields of one picture."""
        height, width = fields["gray"].shape[1:3]
        feeds = {}
        for name, shape in self._session.shapes.items():
            if name not in fields:  # not given: hints or a palette
                sides = shape if len(shape) == 2 else (1, shape[1], height, width)
                feeds[name] = np.zeros([side or 1 for side in sides], np.float32)
                continue
            x = np.asarray(fields[name], np.float32)
            if "gray" in name:
                x = 50 * (x + 1)
            elif name == "hint_ab":
                x = color.denormalize_ab(x)
            feeds[name] = np.ascontiguousarray(np.moveaxis(x, -1, 1))
        return feeds


def _facts_of(about: dict[str, Any], session: Session) -> Facts:
    names = [field.name for field in dataclasses.fields(Facts)]
    missing = [name for name in names if name not in about]
    if missing:
        raise RequestError(
            f"this model lacks {', '.join(missing)}, as an earlier colorjax wrote it; run "
            "`colorjax export` again"
        )
    given = {name: about[name] for name in names}
    given |= {"inputs": frozenset(about["inputs"]), "bin_bias": tuple(about["bin_bias"])}
    if about.get("part", "all") != "all":
        raise RequestError(
            f"this model is the {about['part']} of a network; export it without --part"
        )
    height, width = session.shapes["gray"][2:]
    if height is None and width is None:
        return Facts(**given)
    if height != width:
        raise RequestError(
            f"this model takes only pictures of {width}x{height} px; export it without --size, or "
            "with a square one"
        )
    return Facts(**given | {"fixed_size": height, "fit": "resize"})


def _network_size(facts: Facts, height: int, width: int) -> tuple[int, int]:
    """Returns the size at which the network processes a photo, as `Method.network_size`."""
    fixed, multiple = facts.fixed_size, facts.size_multiple
    if fixed:
        return fixed, fixed
    if facts.fit == "pad":
        return -(-height // multiple) * multiple, -(-width // multiple) * multiple
    rounded = [max(1, round(side / multiple)) * multiple for side in (height, width)]
    return rounded[0], rounded[1]


def _padded(name: str, x: np.ndarray, size: Size) -> np.ndarray:
    if x.shape[1:3] == size:
        return x
    down, right = (wanted - side for wanted, side in zip(size, x.shape[1:3], strict=True))
    mode = "edge" if name == "gray" else "constant"
    return np.pad(x, ((0, 0), (0, down), (0, right), (0, 0)), mode=mode)


def _resized(name: str, x: np.ndarray, size: Size) -> np.ndarray:
    del name
    return np.stack([enlarged(each, size) for each in x])


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))
