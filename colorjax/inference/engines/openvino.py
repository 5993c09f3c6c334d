"""The engine OpenVINO."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from colorjax.errors import RequestError
from colorjax.inference.engines.exported import Feeds, Session


def open_session(path: Path) -> Session:
    """Opens a model with OpenVINO, on the CPU, in float32.

    Raises:
        RequestError: OpenVINO is not installed or cannot read the file.
    """
    # When it is imported, OpenVINO reports its use to a server; without this package it does not.
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # pyrefly: ignore
    try:
        import openvino
    except ImportError:
        raise RequestError(
            "--engine openvino needs OpenVINO; install it: pip install 'colorjax[openvino]'"
        ) from None
    core = openvino.Core()
    # On CPUs with bfloat16 the default is bfloat16, which changes the pictures.
    precise = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    try:
        model = core.compile_model(core.read_model(str(path)), "CPU", precise)
    except RuntimeError as error:
        line = next(iter(str(error).splitlines()), "")[:200]
        raise RequestError(
            f"OpenVINO cannot read the model {str(path)!r} ({line}); write it again with "
            "`colorjax export`"
        ) from None
    shapes = {
        field.get_any_name(): tuple(
            side.get_length() if side.is_static else None for side in field.get_partial_shape()
        )
        for field in model.inputs
    }
    names = tuple(name for field in model.outputs for name in field.get_names())
    requests = threading.local()  # a request runs one picture at a time

    def run(feeds: Feeds, wanted: Sequence[str]) -> list[np.ndarray]:
        if not hasattr(requests, "own"):
            requests.own = model.create_infer_request()
        requests.own.infer(feeds)
        return [np.array(requests.own.get_tensor(name).data) for name in wanted]

    return Session(shapes, names, run)
