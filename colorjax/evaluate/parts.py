"""Finished parts of an evaluation, kept in files: what was done is never done again."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from colorjax.errors import RequestError
from colorjax.runtime import atomic

FOLDER = "work"
_PLAN = "plan.json"

Record = dict[str, Any]  # what is known of one photo: numbers, and lists of numbers


class Work:
    """The parts of an evaluation: the records of some photos of one row, each in a file."""

    def __init__(self, folder: Path):
        """Opens the folder of an evaluation; it need not exist."""
        self._root = folder / FOLDER

    def begin(
        self, plan: Mapping[str, Any], rows: Mapping[str, str], *, anew: bool = False
    ) -> None:
        """Notes what is evaluated, or checks that it is what was begun.

        Args:
            plan: what all rows have in common.
            rows: row -> digest of its weights; rows may be added later.
            anew: forget what is here, instead. Killed in between, it is still an evaluation.

        Raises:
            RequestError: something else was begun here.
        """
        plan = json.loads(json.dumps(plan))  # as it is read back: tuples are lists
        told: dict[str, Any] = {"rows": {}}
        file = self._root / _PLAN
        if anew and self._root.is_dir():
            for place in self._root.iterdir():
                if place != file:
                    shutil.rmtree(place) if place.is_dir() else place.unlink()
        elif file.is_file():
            told = self._read_plan()
            for name, value in plan.items():
                if told["plan"].get(name) != value:
                    raise RequestError(
                        f"{str(self._root.parent)!r} holds an evaluation with different {name}; "
                        "give another --output, or --overwrite"
                    )
            for row, digest in rows.items():
                if told["rows"].get(row, digest) != digest:
                    raise RequestError(
                        f"{str(self._root.parent)!r} holds an evaluation of other weights named "
                        f"{row!r}; give NAME=WORKDIR, another --output, or --overwrite"
                    )
        self._root.mkdir(parents=True, exist_ok=True)
        content = {"plan": plan, "rows": told["rows"] | dict(rows)}
        atomic.write_text(file, json.dumps(content, indent=2) + "\n")

    def is_there(self) -> bool:
        """Whether the folder holds an evaluation, whole or in parts."""
        try:
            self._read_plan()
        except (OSError, RequestError):
            return False
        return True

    def _read_plan(self) -> dict[str, Any]:
        file = self._root / _PLAN
        told = _parsed(file)
        if not (isinstance(told, dict) and {"plan", "rows"} <= told.keys()):
            raise RequestError(f"{str(file)!r} is damaged; give another --output")
        return told

    def has(self, row: str, part: int) -> bool:
        """Whether a part is finished."""
        return self._file(row, part, ".json").is_file()

    def save(
        self, row: str, part: int, records: list[Record], arrays: Mapping[str, np.ndarray]
    ) -> None:
        """Keeps a part, whole or not at all."""
        file = self._file(row, part, ".json")
        file.parent.mkdir(parents=True, exist_ok=True)
        if arrays:
            buffer = io.BytesIO()
            np.savez(buffer, **dict(arrays))  # pyrefly: ignore
            atomic.write_bytes(file.with_suffix(".npz"), buffer.getvalue())
        atomic.write_text(file, json.dumps(records))

    def load(self, row: str, part: int) -> list[Record]:
        """Returns the records of a finished part."""
        return _parsed(self._file(row, part, ".json"))

    def arrays(self, row: str, part: int) -> dict[str, np.ndarray]:
        """Returns the arrays of a finished part."""
        path = self._file(row, part, ".npz")
        try:
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        except (OSError, ValueError, zipfile.BadZipFile):
            raise _damaged(path) from None

    def _file(self, row: str, part: int, suffix: str) -> Path:
        return self._root / row / f"{part:06d}{suffix}"


def _parsed(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise _damaged(file) from None


def _damaged(file: Path) -> RequestError:
    return RequestError(
        f"{str(file)!r} is damaged; delete it with its .json, and the same command does it again"
    )
