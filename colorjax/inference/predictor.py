"""A method bound to its weights, compiled once per input shape."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from colorjax import color
from colorjax.inference.programs import Programs
from colorjax.methods.method import Method, Variables
from colorjax.models.hint_spreading import Keys, keyed
from colorjax.runtime import forks

Inputs: TypeAlias = dict[str, Any]  # name -> array (N, H, W, C) float32, NumPy's or JAX's
Size: TypeAlias = tuple[int, ...]  # height and width in pixels

# No sRGB color has a chroma above 134; gamut mapping fails for chroma in the thousands.
_MAX_CHROMA = 1000.0
_LEAST_SHARE = 1e-30  # of a bin, for logarithms


class Predictor:
    """Runs a method on the device of its weights; safe for threads.

    Attributes:
        method: the method.
        seconds: seconds spent in the network so far, summed over threads.
    """

    def __init__(self, method: Method, variables: Variables):
        """Binds a method to its weights, arrays of JAX or (for the first device) of NumPy."""
        self.method = method
        self.seconds = 0.0
        self._variables = variables
        self._is_on_device = False
        self._lock = threading.Lock()
        self._programs = Programs()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies the method and its weights, without compiled programs."""
        return Predictor, (self.method, jax.device_get(self.variables))

    @property
    def variables(self) -> Variables:
        """The weights, on their device.

        Raises:
            RequestError: JAX was used before this process was forked.
        """
        forks.check_same_process()
        with self._lock:
            if not self._is_on_device:  # those of a pickle, in the process that uses them
                self._variables = jax.device_put(self._variables)
                self._is_on_device = True
        return self._variables

    @property
    def compile_seconds(self) -> float:
        """Seconds of compilation so far."""
        return self._programs.compile_seconds

    def fields(self, gray: np.ndarray) -> Inputs:
        """Returns the inputs computed from a gray picture.

        Args:
            gray: (H, W) in [-1, 1], input of the network.

        Returns:
            gray (1, H, W, 1) and, if the network takes them, edges.
        """
        inputs = {"gray": gray[None, :, :, None]}
        if "edges" in self.method.network.inputs:
            inputs["edges"] = self.method.detect_edges(inputs["gray"][0])[None]
        return inputs

    def colors(self, fields: Inputs) -> np.ndarray:
        """Returns the predicted colors.

        Args:
            fields: inputs of N pictures of one size; see `Method.predict`.

        Returns:
            (N, H, W, 2) float32, ab in Lab units; (N, H, W, 3) with predicted L first, if it is
            used.
        """
        return self.run("colors", self.method.predict_shown, fields)

    def colors_and_keys(self, fields: Inputs) -> tuple[np.ndarray, Keys, np.ndarray | None]:
        """Returns the predicted colors, the keys by which color hints spread, and the bins.

        Returns:
            The result of `colors`; hint_keys, see `hint_spreading.Keyed.apply`; and the calibrated
            log probabilities of the bins on the grid of the keys, (N, h, w, 313) float32, None for
            methods without bins.
        """
        method = dataclasses.replace(self.method, network=keyed(self.method.network))

        def predict(variables: Variables, fields: Inputs) -> tuple[jax.Array, Any, Any]:
            outputs = method.predict(variables, fields)
            keys: Any = outputs["hint_keys"]
            shares = None
            if "bin_logits" in outputs:
                shares = _resized_log_shares(method, outputs, keys.features.shape[1:3])
            return method.to_picture(outputs), keys, shares

        return self.run("keyed", predict, fields)

    def log_shares(self, fields: Inputs, size: Size) -> np.ndarray:
        """Returns the calibrated log probabilities of the bins, resized to (h, w) = `size`.

        Returns:
            (N, h, w, 313) float32.
        """

        def predict(variables: Variables, fields: Inputs) -> jax.Array:
            outputs = self.method.predict(variables, fields)
            return _resized_log_shares(self.method, outputs, size)

        return self.run(("log_shares", size), predict, fields)

    def colors_and_confidence(self, fields: Inputs) -> tuple[np.ndarray, np.ndarray]:
        """Returns the predicted colors and their confidence.

        Returns:
            The result of `colors`, and the confidence (N, H, W, 1) float32 above 0:
            exp(-entropy) of the distribution over bins, in nats; 1 for methods without bins.
        """
        return self.run("confident", self._confident, fields)

    @property
    def has_bins(self) -> bool:
        """Whether the method predicts a distribution over the 313 bins."""
        return "bin_logits" in self.method.network.outputs

    def distribution(self, fields: Inputs, size: Size) -> np.ndarray:
        """Returns the uncalibrated distribution over bins of N pictures, resized to `size`.

        It is for combining colors; see `log_shares` for calibrated probabilities.

        Returns:
            (N, h, w, 313) float32; each sums to 1.
        """

        def predict(variables: Variables, fields: Inputs) -> jax.Array:
            shares = jax.nn.softmax(self.method.predict(variables, fields)["bin_logits"], axis=-1)
            return jax.image.resize(shares, (shares.shape[0], *size, shares.shape[-1]), "linear")

        return self.run(("distribution", size), predict, fields)

    def mean_of(self, shares: np.ndarray) -> np.ndarray:
        """Returns ab (h, w, 2) of a distribution (h, w, 313), by the method's annealed mean."""
        temperature = self.method.network.temperature  # pyrefly: ignore
        logits = np.log(np.maximum(shares, 1e-30))
        ab = color.annealed_mean(logits, temperature=temperature)
        return self.method.saturation * np.asarray(ab, np.float32)

    def _confident(self, variables: Variables, fields: Inputs) -> tuple[jax.Array, jax.Array]:
        outputs = self.method.predict(variables, fields)
        size = fields["gray"].shape[:3]
        confidence = jnp.ones((*size, 1))
        if "bin_logits" in outputs:
            logs = jax.nn.log_softmax(outputs["bin_logits"], axis=-1)
            entropy = -jnp.sum(jnp.exp(logs) * logs, axis=-1, keepdims=True)
            confidence = jax.image.resize(jnp.exp(-entropy), (*size, 1), "linear")
        return self.method.to_picture(outputs), confidence

    def run(self, name: object, function: Callable[..., Any], fields: Any) -> Any:
        """Returns function(variables, fields), compiled once per name and shapes."""
        shapes = tuple(np.shape(leaf) for leaf in jax.tree.leaves(fields))
        key = (name, *(sorted(fields) if isinstance(fields, dict) else ()), shapes)
        variables = self.variables
        program = self._programs.get(key, lambda: jax.jit(function).lower(variables, fields))
        start = time.perf_counter()
        result = jax.device_get(program(variables, fields))
        with self._lock:
            self.seconds += time.perf_counter() - start
        return result


def _resized_log_shares(method: Method, outputs: Any, size: Size) -> jax.Array:
    logs = method.log_shares(outputs["bin_logits"])
    if logs.shape[1:3] == tuple(size):
        return logs
    shares = jax.image.resize(jnp.exp(logs), (len(logs), *size, logs.shape[-1]), "linear")
    return jnp.log(jnp.maximum(shares, _LEAST_SHARE))


def saturated(colors: np.ndarray, factor: float) -> np.ndarray:
    """Returns (h, w, 2 or 3) with ab times a factor, chroma limited to 1000; may be in place."""
    result = np.require(colors, np.float32, ["W"])  # a copy if read-only
    if factor == 1 and np.abs(result[..., -2:]).max(initial=0) < _MAX_CHROMA / 2:
        return result  # multiplied by 1
    for ab in result[..., -2:]:  # row by row to save memory: a picture may have 100 megapixels
        chroma = np.linalg.norm(ab.astype(np.float64), axis=-1, keepdims=True)
        ab *= np.minimum(factor, _MAX_CHROMA / np.maximum(chroma, 1e-9)).astype(np.float32)
    return result


def shrunk(gray: np.ndarray, size: Size) -> np.ndarray:
    """Returns a network input (H, W) in [-1, 1] resized bicubically to (h, w) = `size`."""
    if gray.shape == size:
        return gray
    # Bicubic as in training; it overshoots at edges.
    small = Image.fromarray(gray.astype(np.float32, copy=False))
    resized = small.resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(resized), -1, 1)


def enlarged(planes: np.ndarray, size: Size) -> np.ndarray:
    """Returns (h, w, C) float32 resized bilinearly to (H, W, C); averages when shrinking."""
    if planes.shape[:2] == size:
        return planes
    channels = [
        Image.fromarray(np.ascontiguousarray(plane)).resize(
            (size[1], size[0]), Image.Resampling.BILINEAR
        )
        for plane in np.moveaxis(planes.astype(np.float32, copy=False), -1, 0)
    ]
    return np.stack([np.asarray(channel) for channel in channels], axis=-1)
