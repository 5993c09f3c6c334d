"""A suite from end to end: part after part, row after row, then all that is written about it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from colorjax import paths
from colorjax.compare import methods
from colorjax.compare.methods import PICTURES, WEIGHTS, Pictures
from colorjax.data import labels, prior
from colorjax.data.cifar10 import Cifar10Source
from colorjax.data.decode import UnreadablePhoto
from colorjax.errors import Interrupted, RequestError
from colorjax.suites import card, protocols, report, rows
from colorjax.suites import photos as suite_photos
from colorjax.suites.features import Features, fid
from colorjax.suites.photos import Digest, Photos
from colorjax.suites.protocols import Protocol
from colorjax.suites.request import Outcome, Request
from colorjax.suites.values import Measurer, truth_of
from colorjax.suites.work import FOLDER, Record, Work, digest_of
from colorjax.version import __version__

FILES = ("result.json", "result.csv", "index.html", "pictures")
TRUTH, REFERENCE = "truth", "reference"  # folders of the photos as they are
_PART = {True: 64, False: 8}  # photos in a part: of one size, of their own sizes


def evaluate(
    request: Request,
    *,
    progress: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Runs a suite; goes on where an earlier run of the same was stopped.

    Args:
        request: what is to be evaluated.
        progress: whether stderr shows a bar.
        should_stop: asked between parts; True ends the run.

    Returns:
        The outcome, which is written to `request.output`.

    Raises:
        RequestError: something is missing or wrong, by name.
        Interrupted: `should_stop`; what is finished is kept.
    """
    run = _Run(request)
    run.measure(progress, should_stop)
    result = run.result()
    folder = run.folder
    paths.write_text(folder / "result.json", json.dumps(result, indent=2) + "\n")
    paths.write_text(folder / "result.csv", report.csv_of(result))
    card.write(folder, result, run.pictures_of)
    return Outcome(folder, result, report.table_of(result))


class _Run:
    """One run of a suite."""

    def __init__(self, request: Request):
        self.request = request
        self.protocol = self._settled(protocols.find(request.suite))
        self.folder = paths.local(request.output)
        self.named = methods.parse(request.methods)
        taken = [each.name for each in self.named if each.name in protocols.ROWS]
        if taken:
            raise RequestError(f"every suite has a row {taken[0]!r}; give another NAME=PLACE")
        self.photos = suite_photos.open_photos(self.protocol, request.data, request.limit)
        if not self.photos.keys:
            raise RequestError(f"no photo in {request.data!r}; give a folder of photos")
        self.groups = self._groups()
        with_fid = bool(self.protocol.fid)
        self.features = Features(request.features, self.photos.keys, with_fid=with_fid)
        self.reference = self._open_reference()
        self.tables, self.tables_stamp = self._open_tables()
        self.opened: dict[str, rows.Row] = {}
        self.digests: dict[str, str] = {}
        self.steps: dict[str, int] = {}
        builders = rows.built_in(self.tables)
        self.names = [*builders, *(each.name for each in self.named)]
        for name, build in builders.items():
            self.opened[name], self.digests[name] = build(), "built in"
        for each in self.named:
            self._open(each)
        self._check_output()
        self.work = Work(self.folder)
        self.work.begin(self._plan(), self.digests)
        self.measurer = Measurer(prior.load(""), compiled=bool(self.protocol.colorize_size))

    def _settled(self, protocol: Protocol) -> Protocol:
        size = self.request.size
        if not size:
            return protocol
        if protocol.data != "folder":
            raise RequestError(f"suite {protocol.name} has its own size; leave --size out")
        if size < 16:
            raise RequestError(f"--size is at least 16 pixels, not {size}")
        words = f"centre square at {size}x{size} px, bicubic with antialiasing, rounded to 8 bits"
        return dataclasses.replace(protocol, crop=True, colorize_size=size, preparation=words)

    def _groups(self) -> list[str] | None:
        if not self.request.groups:
            return None
        try:
            return labels.names_of(self.request.groups, self.photos.keys)
        except OSError as error:
            raise RequestError(f"--groups {self.request.groups!r}: {error.strerror}") from None

    def _open_tables(self):
        if self.protocol.data == "cifar10" and not self.request.tables:
            return rows.fit_tables(Cifar10Source(self.request.data, "train"), "CIFAR-10 train")
        return rows.open_tables(self.request.tables)

    def _open(self, method: methods.Method) -> None:
        if method.kind == PICTURES:
            opened = Pictures(method, self.photos.keys)
            names = [opened.find(key) for key in self.photos.keys]
            self.opened[method.name], self.digests[method.name] = opened, digest_of(names)
            return
        weights = rows.Colorized(method)
        self.opened[method.name] = weights
        self.digests[method.name], self.steps[method.name] = weights.digest(), weights.step

    def _plan(self) -> dict[str, Any]:
        """Returns what all rows have in common; another plan cannot go on here."""
        return {
            "protocol": protocols.stamp(self.protocol),
            "photos": digest_of(list(self.photos.keys)),
            "tables": self.tables_stamp,
            "feature networks": self.features.stamps,
            "version of colorjax": __version__,
        }

    def _check_output(self) -> None:
        present = [name for name in (*FILES, FOLDER) if (self.folder / name).exists()]
        if present and not (self.folder / FOLDER).is_dir():
            raise RequestError(
                f"--output {str(self.folder)!r} holds {present[0]!r} and no evaluation; give "
                "another folder"
            )
        read = Path(self.request.data).expanduser()
        if read.is_dir() and Path(os.path.realpath(self.folder)).is_relative_to(
            os.path.realpath(read)
        ):
            raise RequestError(f"--output {str(self.folder)!r} is inside --data; give another")
        if self.request.overwrite:
            for name in present:
                place = self.folder / name
                shutil.rmtree(place) if place.is_dir() else place.unlink()

    def _open_reference(self) -> Photos:
        """Returns the photos that FID compares with: those of the suite, or others."""
        if not (self.protocol.reference and self.features.has_fid):
            return self.photos
        direct = dataclasses.replace(
            self.protocol, colorize_size=self.protocol.size or self.protocol.colorize_size, size=0
        )
        limit = len(self.photos.keys)
        return suite_photos.open_photos(direct, self.request.data, limit, reference=True)

    @property
    def _sets(self) -> tuple[str, ...]:
        """Names of the photos as they are: the truth, and what else FID compares with."""
        return (TRUTH,) if self.reference is self.photos else (TRUTH, REFERENCE)

    def _fids(self) -> dict[str, dict[str, float]]:
        if not self.features.has_fid:
            return {}
        parts = range(len(self._parts))

        def features_of(name: str) -> Iterator[np.ndarray]:
            return (self.work.arrays(name, part)["features"] for part in parts)

        found = {}
        for name in (*self.names, *self._sets[1:]):
            row = TRUTH if name == REFERENCE else name  # the floor: true colours of these photos
            value = fid(features_of(row), features_of(self._sets[-1]))
            if value is not None:
                found[row] = {"fid": value}
        return found

    @property
    def _parts(self) -> list[range]:
        step = _PART[bool(self.protocol.colorize_size)]
        numbers = range(len(self.photos.keys))
        return [numbers[start : start + step] for start in range(0, len(numbers), step)]

    def measure(self, progress: bool, should_stop: Callable[[], bool]) -> None:
        """Measures every part of every row that is not finished."""
        owed = [
            (part, name)
            for part in range(len(self._parts))
            for name in (*self._sets, *self.names)
            if not self.work.has(name, part)
        ]
        numbers = [len(self._parts[part]) for part, _ in owed]
        total = len(self._parts) * (len(self._sets) + len(self.names))
        if len(owed) < total:
            tqdm.write(f"{total - len(owed)} of {total} parts are finished", file=_stderr())
        done = 0
        with tqdm(total=sum(numbers), unit="photo", disable=None if progress else True) as bar:
            for (part, name), number in zip(owed, numbers, strict=True):
                if should_stop():
                    raise Interrupted(
                        f"stopped after {done} of {len(owed)} parts; the same command continues"
                    )
                bar.set_description(name)
                self._measure_part(part, name)
                done += 1
                bar.update(number)

    def _measure_part(self, part: int, name: str) -> None:
        if name == REFERENCE:
            numbers, records, pictures = self._read(self.reference, part)
            truths = pictures
        elif name == TRUTH:
            numbers, records, pictures = self._read(self.photos, part)
            truths = pictures
        else:
            numbers = self._readable(part)
            records, pictures, truths = self._pictures(numbers, name)
        readable = [record for record in records if "error" not in record]
        arrays = self.features.measure(readable, pictures, truths, numbers)
        self.work.save(name, part, records, arrays)

    def _read(self, photos: Photos, part: int) -> tuple[list[int], list[Record], list[np.ndarray]]:
        """Returns numbers of the readable photos, records of all, and the readable ones."""
        numbers, records, pictures = [], [], []
        for number in self._parts[part]:
            record: Record = {"key": photos.keys[number]}
            try:
                prepared = photos.prepared(number)
            except UnreadablePhoto as error:
                records.append(record | {"error": str(error)})
                continue
            truth = photos.compared(prepared)
            record["digest"] = suite_photos.pixels_digest(prepared)
            records.append(record | truth_of(truth))
            pictures.append(truth)
            numbers.append(number)
        return numbers, records, pictures

    def _pictures(
        self, numbers: Sequence[int], name: str
    ) -> tuple[list[Record], list[np.ndarray], list[np.ndarray]]:
        row, records, pictures, truths = self.opened[name], [], [], []
        for number in numbers:
            prepared = self.photos.prepared(number)
            truth = self.photos.compared(prepared)
            grey = suite_photos.grey_of(prepared, self.protocol.grey)
            picture = self.photos.compared(row.picture(self.photos.keys[number], prepared, grey))
            record = self.measurer(picture, truth)
            if isinstance(row, rows.Colorized):
                record |= row.more(prepared, grey)
                record |= self._hinted(row, prepared, grey, number)
            records.append(record)
            pictures.append(picture)
            truths.append(truth)
        return records, pictures, truths

    def _hinted(
        self, row: rows.Colorized, prepared: np.ndarray, grey: np.ndarray, number: int
    ) -> Record:
        counts = self.protocol.hint_counts
        if not (counts and row.takes_hints):
            return {}
        found = row.psnr_with_hints(prepared, grey, counts, number)
        return {f"psnr_hints_{n}": value for n, value in zip(counts, found, strict=True)}

    def _readable(self, part: int) -> list[int]:
        known = self.work.load(TRUTH, part)
        return [n for n, each in zip(self._parts[part], known, strict=True) if "error" not in each]

    def result(self) -> dict[str, Any]:
        """Collects the content of result.json."""
        truths = [each for part in range(len(self._parts)) for each in self.work.load(TRUTH, part)]
        readable = [each for each in truths if "error" not in each]
        if not readable:
            raise RequestError(
                f"none of the photos can be read, the first: {truths[0]['error']}; give others"
            )
        digest = Digest()
        for each in readable:
            digest.add(each["key"], each["digest"])
        records = {
            name: [
                truth | found
                for part in range(len(self._parts))
                for truth, found in zip(
                    [each for each in self.work.load(TRUTH, part) if "error" not in each],
                    self.work.load(name, part),
                    strict=True,
                )
            ]
            for name in self.names
        }
        about = {
            each.name: {
                "kind": each.kind,
                "place": each.place,
                "digest": self.digests[each.name],
                **({"step": self.steps[each.name]} if each.kind == WEIGHTS else {}),
            }
            for each in self.named
        }
        groups = None
        if self.groups is not None:
            kept = [g for g, each in zip(self.groups, truths, strict=True) if "error" not in each]
            groups = kept
        return report.collect(
            self.protocol,
            records,
            about,
            groups,
            features=self._fids(),
            stamps={
                "photos": {
                    "digest": digest.hex(),
                    "measured": len(readable),
                    "exactly_grey": int(sum(each["is_grey"] for each in readable)),
                    "unreadable": [f"{e['key']}: {e['error']}" for e in truths if "error" in e],
                    "limit": self.request.limit,
                },
                "tables": self.tables_stamp,
                "feature_networks": self.features.stamps,
            },
        )

    def pictures_of(self, name: str, keys: Sequence[str]) -> Iterator[tuple[np.ndarray, ...]]:
        """Yields (grey, the picture of a row, truth), (H, W, 3) uint8 each, of photos by key."""
        place = {key: number for number, key in enumerate(self.photos.keys)}
        for key in keys:
            prepared = self.photos.prepared(place[key])
            grey = suite_photos.grey_of(prepared, self.protocol.grey)
            yield grey, self.opened[name].picture(key, prepared, grey), prepared


def _stderr():
    import sys

    return sys.stderr
