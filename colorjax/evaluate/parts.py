"""Resumable store of per-photo results."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from colorjax.errors import RequestError
from colorjax.runtime import atomic, foreign_files

FOLDER = "work"
_PLAN = "plan.json"

Record = dict[str, Any]  # values of one photo: numbers, and lists of numbers


class Work:
    """The parts of an evaluation: a file each, with the records of some photos of one row."""

    def __init__(self, folder: Path):
        """Opens the folder of an evaluation, which may not exist yet."""
        self._root = folder / FOLDER

    def begin(
        self, plan: Mapping[str, Any], rows: Mapping[str, str], *, restart: bool = False
    ) -> None:
        """Stores the plan of an evaluation, or checks that the stored one is the same.

        Args:
            plan: settings shared by all rows.
            rows: row -> digest of its weights; rows may be added later.
            restart: delete the stored parts first. The plan is kept, so that the folder remains
                an evaluation if the process is killed.

        Raises:
            RequestError: the folder has another plan or other weights.
        """
        plan = json.loads(json.dumps(plan))  # as read from the file: tuples become lists
        stored: dict[str, Any] = {"rows": {}}
        file = self._root / _PLAN
        if restart and self._root.is_dir():
            for path in self._root.iterdir():
                if path != file:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        elif file.is_file():
            stored = self._read_plan()
            for name, value in plan.items():
                if stored["plan"].get(name) != value:
                    raise RequestError(
                        f"{str(self._root.parent)!r} holds an evaluation with different {name}; "
                        "give another --output, or --overwrite"
                    )
            for row, digest in rows.items():
                if stored["rows"].get(row, digest) != digest:
                    raise RequestError(
                        f"{str(self._root.parent)!r} holds an evaluation of other weights named "
                        f"{row!r}; give NAME=WORKDIR, another --output, or --overwrite"
                    )
        self._root.mkdir(parents=True, exist_ok=True)
        content = {"plan": plan, "rows": stored["rows"] | dict(rows)}
        atomic.write_text(file, json.dumps(content, indent=2) + "\n")

    def is_there(self) -> bool:
        """Whether the folder holds a complete or incomplete evaluation."""
        try:
            self._read_plan()
        except (OSError, RequestError):
            return False
        return True

    def _read_plan(self) -> dict[str, Any]:
        file = self._root / _PLAN
        content = _read_json(file)
        if not (isinstance(content, dict) and {"plan", "rows"} <= content.keys()):
            raise RequestError(f"{str(file)!r} is damaged; give another --output")
        return content

    def has(self, row: str, part: int) -> bool:
        """Whether a part is finished."""
        return self._file(row, part, ".json").is_file()

    def save(
        self, row: str, part: int, records: list[Record], arrays: Mapping[str, np.ndarray]
    ) -> None:
        """Stores a part atomically."""
        file = self._file(row, part, ".json")
        file.parent.mkdir(parents=True, exist_ok=True)
        if arrays:
            buffer = io.BytesIO()
            np.savez(buffer, **dict(arrays))  # pyrefly: ignore
            atomic.write_bytes(file.with_suffix(".npz"), buffer.getvalue())
        atomic.write_text(file, json.dumps(records))

    def load(self, row: str, part: int) -> list[Record]:
        """Returns the records of a finished part."""
        return _read_json(self._file(row, part, ".json"))

    def arrays(self, row: str, part: int) -> dict[str, np.ndarray]:
        """Returns the arrays of a finished part."""
        path = self._file(row, part, ".npz")
        try:
            return foreign_files.read_arrays(path)
        except (OSError, ValueError):
            raise _damaged(path) from None

    def _file(self, row: str, part: int, suffix: str) -> Path:
        return self._root / row / f"{part:06d}{suffix}"


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise _damaged(file) from None


def _damaged(file: Path) -> RequestError:
    return RequestError(
        f"{str(file)!r} is damaged; delete it and its .json, then run the same command again"
    )
