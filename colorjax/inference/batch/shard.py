"""Parts of a run for several machines: each photo belongs to one part, by a hash of its path."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from colorjax.errors import RequestError

_FORM = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")


class Shard(NamedTuple):
    """Part `index` of `number` parts.

    Attributes:
        index: from 1 to `number`.
        number: at least 1.
    """

    index: int
    number: int

    def __str__(self) -> str:
        return f"{self.index}/{self.number}"

    def holds(self, below: Path) -> bool:
        """Returns whether a file belongs to this part.

        The part is 1 + h mod N, where h is the first 8 bytes of the SHA-256 of the path's bytes, as
        a big-endian number. No other file and no folder above the input affects it.

        Args:
            below: path of the file below its input.
        """
        digest = hashlib.sha256(os.fsencode(below.as_posix())).digest()
        return int.from_bytes(digest[:8], "big") % self.number == self.index - 1

    def sheet(self, path: Path) -> Path:
        """Returns the contact sheet of this part: SHEET.2-of-8.png; of the only part SHEET.png."""
        if self.number == 1:
            return path
        return path.with_name(f"{path.stem}.{self.index}-of-{self.number}{path.suffix}")

    def sheets(self, path: Path) -> Iterator[Path]:
        """Yields the contact sheets of all parts."""
        return (Shard(n, self.number).sheet(path) for n in range(1, self.number + 1))


WHOLE = Shard(1, 1)


def parse(text: str) -> Shard:
    """Returns the part that --shard names, such as "2/8".

    Raises:
        RequestError: the text has another form, or there is no such part.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise RequestError(f"--shard must be I/N, such as 2/8, not {text!r}")
    index, number = map(int, match.groups())
    if not 1 <= index <= number:
        raise RequestError(
            f"--shard {text}: part I of N must be from 1 to N; give 1/{max(number, 1)} to "
            f"{max(number, 1)}/{max(number, 1)}"
        )
    return Shard(index, number)
