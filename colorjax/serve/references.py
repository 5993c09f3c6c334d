"""Reference photos of the page, by the digest of their file; the last few are kept."""

from __future__ import annotations

import collections
import hashlib
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from colorjax.serve import errors
from colorjax.serve.preview import jpeg, shrunk
from colorjax.serve.saving import read_reference

_MOST = 8  # reference photos
_MOST_PIXELS = 2**27  # of all of them


class Reference(NamedTuple):
    """A reference photo.

    Attributes:
        digest: SHA-256 of its file.
        name: for display.
        srgb: (H, W, 3).
    """

    digest: str
    name: str
    srgb: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Returns what the page shows."""
        height, width = self.srgb.shape[:2]
        return {"digest": self.digest, "name": self.name, "width": width, "height": height}

    def thumbnail(self, side: int) -> bytes:
        """Returns a small JPEG."""
        return jpeg(shrunk(self.srgb, side))


class References:
    """The reference photos in memory, the oldest first."""

    def __init__(self):
        self._all: collections.OrderedDict[str, Reference] = collections.OrderedDict()
        self._lock = threading.Lock()

    def add(self, content: Path, name: str, max_pixels: int) -> Reference:
        """Reads a reference photo.

        Raises:
            Refused: it is no photo.
        """
        data = content.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        with self._lock:
            known = self._all.get(digest)
        reference = known or Reference(digest, name, read_reference(data, max_pixels))
        with self._lock:
            self._all[digest] = reference
            self._all.move_to_end(digest)
            while len(self._all) > 1 and self._is_too_much():
                self._all.popitem(last=False)
        return reference

    def __contains__(self, digest: str) -> bool:
        """Returns whether a reference photo is in memory."""
        return digest in self._all

    def __getitem__(self, digest: str) -> Reference:
        """Returns a reference photo.

        Raises:
            Refused: it is not in memory.
        """
        with self._lock:
            if digest not in self._all:
                raise errors.Refused(
                    404, "The reference photo is no longer here: choose it again.", reference=True
                )
            self._all.move_to_end(digest)
            return self._all[digest]

    def _is_too_much(self) -> bool:
        pixels = sum(one.srgb.shape[0] * one.srgb.shape[1] for one in self._all.values())
        return len(self._all) > _MOST or pixels > _MOST_PIXELS
