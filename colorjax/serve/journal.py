"""The journal of a photo: its session as one JSON file beside the result.

Each change replaces the file atomically. So the file always holds a whole session, the one before
or the one after the last change, whenever the program is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from pathlib import Path

from colorjax.errors import RequestError
from colorjax.inference import session
from colorjax.inference.batch.origin import PROGRAM
from colorjax.inference.session import Session
from colorjax.runtime import atomic
from colorjax.serve.errors import Refused


class Journal:
    """The journal of one photo."""

    def __init__(self, result: Path, digest: str):
        """Refers to a file; reads nothing.

        Args:
            result: the file of the result. The journal is RESULT.json.
            digest: of the photo, as in the session.
        """
        self.path = result.with_name(f"{result.name}.json")
        self._digest = digest
        self._lock = threading.Lock()
        self._last: dict[str, int] = {}  # client -> number of its last session

    def read(self) -> Session | None:
        """Returns the session; None: there is none of this photo that can be read."""
        try:
            stored = session.read_if_session(self.path)
        except RequestError:
            return None
        return stored if stored and stored.photo.digest == self._digest else None

    def write(self, content: Session, client: str = "", number: int | None = None) -> None:
        """Writes a session; it is on disk when this returns.

        Args:
            content: the session.
            client: the page that sends it.
            number: counts the sessions of this client; None: it is the newest in any case.

        Raises:
            Refused: a later session of this client was written already, or the disk is full.
        """
        text = json.dumps(content.to_json(PROGRAM), ensure_ascii=False, allow_nan=False)
        with self._lock:
            if number is not None:
                if number < self._last.get(client, number):
                    raise Refused(409, "A later version of this session is stored.", stale=True)
                self._last = {client: number}
            try:
                self._keep_other()
                self.path.parent.mkdir(parents=True, exist_ok=True)
                atomic.write_text(self.path, text + "\n")
            except OSError as error:
                raise Refused(
                    507, f"The session cannot be written: {error.strerror or error}."
                ) from None

    def _keep_other(self) -> None:
        """Renames a file of this name that is no session of this photo."""
        if self.path.exists() and self.read() is None:
            with contextlib.suppress(OSError):
                os.replace(self.path, self.path.with_name(f"{self.path.name}.old"))
