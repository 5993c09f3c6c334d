"""Validates a request and opens its inputs."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from colorjax.data.sources.cifar10 import Cifar10Source
from colorjax.errors import RequestError, UnreadablePhoto
from colorjax.evaluate import baselines, entries, protocols
from colorjax.evaluate import photos as protocol_photos
from colorjax.evaluate.entries import PICTURES, WEIGHTS, Pictures
from colorjax.evaluate.features import FeatureFiles, Features, group_names
from colorjax.evaluate.parts import FOLDER, Work
from colorjax.evaluate.photos import Photos
from colorjax.evaluate.protocols import Protocol
from colorjax.metrics import ColorTable
from colorjax.runtime import paths
from colorjax.version import __version__

FILES = ("result.json", "result.csv", "result.md", "index.html", "pictures")
TRUTH, REFERENCE = "truth", "reference"  # folders of the records of true photos


class Opened:
    """The opened inputs of a request.

    Attributes:
        request: as given.
        protocol: with the requested size.
        folder: the output.
        photos: of the suite.
        reference: the reference photos of FID: those of the suite, or others.
        groups: the group of each photo; None: no groups.
        features: the feature networks.
        tables_stamp: data of the rows `mean` and `per_lightness`.
        rows: name -> row, trivial ones first.
        about: name -> kind, source, digest and step of the evaluated rows.
        work: the finished parts.
    """

    def __init__(self, request: Request):
        """Opens all inputs.

        Raises:
            RequestError: an input is missing or invalid; the message names it.
        """
        self.request = request
        if request.limit < 0:
            raise RequestError(f"--limit must be at least 0, not {request.limit}")
        self.protocol = _at_size(protocols.find(request.suite), request.size)
        self.folder = paths.local(request.output)
        named = entries.parse(request.methods)
        taken = [n.name for n in named if n.name in (*protocols.ROWS, TRUTH, REFERENCE)]
        if taken:
            raise RequestError(f"every suite has a row {taken[0]!r}; use another NAME=PLACE")
        self.photos = protocol_photos.open_photos(self.protocol, request.data, request.limit)
        if not self.photos.keys:
            raise RequestError(f"no photos in {request.data!r}; give a folder of photos")
        self.groups = group_names(request.groups, self.photos) if request.groups else None
        self.features = Features(request.features, self.photos, with_fid=bool(self.protocol.fid))
        self.reference = self._open_reference()
        tables, self.tables_stamp = self._open_tables()
        self.rows: dict[str, baselines.Row] = {
            n: make() for n, make in baselines.built_in(tables).items()
        }
        self.about: dict[str, dict[str, Any]] = {}
        for method in named:
            self._open(method)
        self.work = Work(self.folder)
        self._check_output()
        digests = dict.fromkeys(self.rows, "built in")
        digests |= {name: each["digest"] for name, each in self.about.items()}
        try:
            self.work.begin(self._plan(), digests, restart=request.overwrite)
        except RequestError:
            if not request.renew:
                raise
            self.work.begin(self._plan(), digests, restart=True)

    @property
    def sets(self) -> tuple[str, ...]:
        """Names of the sets of true photos: the truth, and the FID reference if it differs."""
        return (TRUTH,) if self.reference is self.photos else (TRUTH, REFERENCE)

    def _open_reference(self) -> Photos:
        if not (self.protocol.reference and self.features.frechet):
            return self.photos
        direct = dataclasses.replace(
            self.protocol, colorize_size=self.protocol.size or self.protocol.colorize_size, size=0
        )
        limit = len(self.photos.keys)
        return protocol_photos.open_photos(direct, self.request.data, limit, reference=True)

    def _open_tables(self) -> tuple[dict[str, ColorTable], dict[str, Any]]:
        if self.protocol.data == "cifar10" and not self.request.tables:
            return baselines.fit_tables(Cifar10Source(self.request.data, "train"), "CIFAR-10 train")
        if self.request.tables and os.path.realpath(self.request.tables) == os.path.realpath(
            self.request.data
        ):
            raise RequestError("--tables must not be the photos of --data; give another folder")
        return baselines.open_tables(self.request.tables)

    def _open(self, method: entries.Method) -> None:
        about: dict[str, Any] = {"kind": method.kind, "place": method.source}
        if method.kind == PICTURES:
            pictures = Pictures(method, self.photos.keys)
            self.rows[method.name] = pictures
            files = self._files_of(pictures)
            about["digest"] = protocol_photos.identity_of(files)
            about["jpeg"] = sum(file.suffix.lower() in (".jpg", ".jpeg") for file in files)
            self.about[method.name] = about
            return
        assert method.kind == WEIGHTS
        weights = baselines.Colorized(method)
        self.rows[method.name] = weights
        self.about[method.name] = about | {"digest": weights.digest(), "step": weights.step}

    def _files_of(self, pictures: Pictures) -> list[Path]:
        """Returns the files of finished pictures; every readable photo must have one."""
        files = []
        for number, key in enumerate(self.photos.keys):
            try:
                files.append(pictures.path_of(key))
            except RequestError:
                try:
                    self.photos.prepared(number)
                except UnreadablePhoto:
                    continue
                raise
        return files

    def _plan(self) -> dict[str, Any]:
        """Returns the settings shared by all rows, which must match those of stored parts."""
        return {
            "protocol": protocols.stamp(self.protocol),
            "photos": f"{len(self.photos.keys)} {self.photos.identity}",
            "reference": "" if self.reference is self.photos else self.reference.identity,
            "tables": self.tables_stamp,
            "feature networks": self.features.stamps,
            "version of colorjax": __version__,
        }

    def _check_output(self) -> None:
        present = [name for name in (*FILES, FOLDER) if (self.folder / name).exists()]
        if present and not self.work.is_there():
            raise RequestError(
                f"--output {str(self.folder)!r} holds {present[0]!r} but no evaluation; give "
                "another folder"
            )
        read = Path(self.request.data).expanduser()
        if read.is_dir() and Path(os.path.realpath(self.folder)).is_relative_to(
            os.path.realpath(read)
        ):
            raise RequestError(f"--output {str(self.folder)!r} is inside --data; give another")
        if self.request.overwrite:
            for name in present:
                if name == FOLDER:
                    continue  # restarted later; until then it marks the folder as an evaluation
                path = self.folder / name
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _at_size(protocol: Protocol, size: int) -> Protocol:
    """Returns the protocol at the requested size; 0: unchanged."""
    if not size:
        return protocol
    if protocol.data != "folder":
        raise RequestError(f"suite {protocol.name} has its own size; omit --size")
    if size < 16:
        raise RequestError(f"--size must be at least 16 pixels, not {size}")
    text = f"center square at {size}x{size} px, bicubic with antialiasing, rounded to 8 bits"
    return dataclasses.replace(protocol, crop=True, colorize_size=size, preparation=text)


@dataclasses.dataclass(frozen=True)
class Request:
    """Request for an evaluation.

    Attributes:
        methods: `[NAME=]PLACE` each: a workdir, shipped weights, or a folder of finished
            pictures; the first is the reference of the differences.
        suite: name of a protocol.
        data: the user's photos; see `open_photos`.
        output: folder to write.
        limit: use only the first photos; 0: all. The name of the result contains the limit.
        size: for the suite "folder": side of the center square, in pixels; 0: unchanged photos.
        tables: folder of photos for `mean` and `per_lightness`; empty: the shipped tables of Tiny
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
class EvaluationResult:
    """Result of an evaluation.

    Attributes:
        output: the folder.
        result: the content of result.json.
        table: the metrics, for a terminal.
    """

    output: Path
    result: dict[str, Any]
    table: str
