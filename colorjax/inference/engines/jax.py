"""The engine JAX: a method bound to its weights, compiled once per input shape."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from colorjax import color
from colorjax.color.hint_spreading import Keys, spread_hints
from colorjax.inference.engines import kept_programs
from colorjax.inference.engines.compiled_painter import Painter
from colorjax.inference.engines.engine import Facts, Spreading
from colorjax.inference.engines.programs import Programs
from colorjax.inference.planes import Inputs, Size
from colorjax.methods.method import Method, Variables
from colorjax.models.blocks.shapes import squeezed
from colorjax.models.hint_spreading import feature_layers, keyed
from colorjax.runtime import forks

_LEAST_SHARE = 1e-30  # of a bin, for logarithms


class JaxEngine:
    """Runs a method on the device of its weights; safe for threads.

    Attributes:
        name: of the engine.
        method: the method.
        seconds: seconds spent in the network so far, summed over threads.
    """

    name = "jax"

    def __init__(self, method: Method, variables: Variables):
        """Binds a method to its weights, arrays of JAX or (for the first device) of NumPy."""
        self.method = method
        self.seconds = 0.0
        self._variables = variables
        self._is_on_device = False
        self._lock = threading.Lock()
        self._programs = Programs()
        self._painter = Painter()
        kinds = (type(method), type(method.network))
        is_ours = all(kind.__module__.startswith("colorjax.") for kind in kinds)
        # Names a method among all of this version. A user's own code may change under its name.
        self._about = repr((*kinds, method)) if is_ours else ""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies the method and its weights, without compiled programs."""
        return JaxEngine, (self.method, jax.device_get(self.variables))

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
        return self._programs.compile_seconds + self._painter.compile_seconds

    @property
    def facts(self) -> Facts:
        """Properties of the network."""
        return facts_of(self.method)

    def digest(self, working_size: str) -> str:
        """Returns the SHA-256 of the weights and of the settings that change a measurement."""
        method = self.method
        about = f"{method.network!r} {working_size} {method.saturation!r}"
        if method.decode != "ab":  # the defaults do not change the digests of earlier versions
            about += f" {method.decode}"
        if method.bin_bias or method.bin_temperature != 1:
            about += f" {method.bin_bias} {method.bin_temperature}"
        sha = hashlib.sha256(about.encode())
        for path, leaf in jax.tree_util.tree_leaves_with_path(self.variables):
            sha.update(jax.tree_util.keystr(path).encode() + np.asarray(leaf).tobytes())
        return sha.hexdigest()

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

    def spread(self, fields: Spreading) -> np.ndarray:
        """Returns the correction of the predicted ab by color hints, (h, w, 2)."""
        return self.run("spread", _spread, fields._asdict())

    def fit(self, fields: Inputs) -> Inputs:
        """Returns the fields padded or resized to a size of the network, with global_gray."""
        method = self.method
        shape = fields["gray"].shape[1:3]
        wanted = {name: x for name, x in fields.items() if name in method.network.inputs}
        if method.network_size(*shape) != shape:  # without a copy if nothing changes
            wanted = {name: np.asarray(x) for name, x in method.fit(fields).items()}
        side = method.global_size
        if side is not None and "global_gray" not in wanted:
            wanted["global_gray"] = np.asarray(squeezed(jnp.asarray(wanted["gray"]), side))
        return wanted

    def fit_back(self, colors: np.ndarray, size: Size) -> np.ndarray:
        """Returns colors (h, w, C) cropped or resized to (H, W); undoes `fit`."""
        if self.method.network.fit == "pad" or colors.shape[:2] == size:
            return colors[: size[0], : size[1]]
        return np.asarray(self.method.fit_back(jnp.asarray(colors[None]), size)[0])

    def paint(self, planes: tuple[np.ndarray, ...], *, is_8_bit: bool) -> np.ndarray:
        """Returns sRGB (n, W, 3) of planes L, a and b, (n, W) each; see `Engine.paint`."""
        return self._painter(planes, is_8_bit=is_8_bit)

    def run(self, name: object, function: Callable[..., Any], fields: Any) -> Any:
        """Returns function(variables, fields), compiled once per name and shapes."""
        shapes = tuple(np.shape(leaf) for leaf in jax.tree.leaves(fields))
        key = (name, *(sorted(fields) if isinstance(fields, dict) else ()), shapes)
        variables = self.variables
        about = f"{name} {self._about}" if self._about else ""
        program = self._programs.get(
            key, lambda: kept_programs.compiled(function, (variables, fields), about)
        )
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


def _spread(variables: Any, fields: dict[str, Any]) -> jax.Array:
    del variables
    return spread_hints(**fields)


def facts_of(method: Method) -> Facts:
    """Returns the properties of a method."""
    network = method.network
    hint_form = "spread" if feature_layers(network) else "region"
    return Facts(
        gray=method.encode.grey,
        inputs=frozenset(network.inputs),
        size_multiple=network.size_multiple,
        fixed_size=network.fixed_size,
        fit=network.fit,
        global_size=method.global_size,
        reach=getattr(network, "reach", None),
        has_bins="bin_logits" in network.outputs,
        hint_form="input" if method.takes_hints else hint_form,
        predicts_lightness=method.predicts_lightness,
        saturation=method.saturation,
        decode=method.decode,
        temperature=getattr(network, "temperature", None),
        bin_bias=tuple(method.bin_bias),
        bin_temperature=method.bin_temperature,
    )
