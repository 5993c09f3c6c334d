"""The engine ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from colorjax.errors import RequestError
from colorjax.inference.engines.exported import Feeds, Session


def open_session(path: Path) -> Session:
    """Opens a model with ONNX Runtime, on the CPU.

    Raises:
        RequestError: ONNX Runtime is not installed or cannot read the file.
    """
    try:
        import onnxruntime
    except ImportError:
        raise RequestError(
            "--engine onnx needs ONNX Runtime; install it: pip install 'colorjax[onnx]'"
        ) from None
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3  # errors
    try:
        session = onnxruntime.InferenceSession(str(path), settings, ["CPUExecutionProvider"])
    except Exception as error:  # types of its own, without a common base
        raise RequestError(
            f"ONNX Runtime cannot read the model {str(path)!r} ({_first_line(error)}); write it "
            "again with `colorjax export`"
        ) from None
    shapes = {
        field.name: tuple(side if isinstance(side, int) else None for side in field.shape)
        for field in session.get_inputs()
    }
    only_needed = onnxruntime.RunOptions()
    only_needed.only_execute_path_to_fetches = True

    def run(feeds: Feeds, names: Sequence[str]) -> list[np.ndarray]:
        outputs: Any = session.run(list(names), feeds, only_needed)
        return outputs

    return Session(shapes, tuple(field.name for field in session.get_outputs()), run)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
