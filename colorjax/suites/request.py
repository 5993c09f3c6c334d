"""What an evaluation is asked for, and what it gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from colorjax.evaluate.features import FeatureFiles


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be evaluated.

    Attributes:
        methods: `[NAME=]PLACE` each: a workdir, weights that ship, or a folder of finished
            pictures; the first is what the others are compared with.
        suite: name of a protocol.
        data: the user's photos; see `open_photos`.
        output: folder to write.
        limit: take the first photos alone; 0: all. Such a result says so in its name.
        size: of the suite "folder": the centre square at this side, in pixels; 0: as they are.
        tables: folder of photos behind `mean` and `per_lightness`; empty: those that ship, of Tiny
            ImageNet, or CIFAR-10's own training photos.
        groups: a file of lines `PHOTO GROUP`, or "folder": metrics for each group; empty: none.
        features: files of the networks of FID, LPIPS and top1.
        renew: whether an evaluation of other weights under the same name is replaced.
        overwrite: whether another evaluation in `output` is replaced.
    """

    methods: Sequence[str]
    suite: str
    data: str
    output: str
    limit: int = 0
    size: int = 0
    tables: str = ""
    groups: str = ""
    features: FeatureFiles = dataclasses.field(default_factory=FeatureFiles)
    renew: bool = False
    overwrite: bool = False


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What was found, and where it is written.

    Attributes:
        output: the folder.
        result: the content of result.json.
        table: the same for a terminal.
    """

    output: Path
    result: dict[str, Any]
    table: str
