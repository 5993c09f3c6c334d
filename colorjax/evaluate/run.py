"""Runs a suite: measures each part of each row, then writes the results."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from colorjax import color
from colorjax.data import prior
from colorjax.errors import Interrupted, RequestError, UnreadablePhoto
from colorjax.evaluate import baselines, page, report
from colorjax.evaluate import photos as protocol_photos
from colorjax.evaluate.features import moments
from colorjax.evaluate.parts import Record
from colorjax.evaluate.photos import Digest, Photos
from colorjax.evaluate.request import REFERENCE, TRUTH, EvaluationResult, Opened, Request
from colorjax.metrics import FeatureMoments, frechet_distance, small_sample_warning, table
from colorjax.metrics.picture import Measurer, hues_of_picture, measure_truth
from colorjax.runtime import atomic, waiting
from colorjax.runtime.file_names import printable
from colorjax.runtime.signals import StopAfterUnit

_FEW_PHOTOS = 50  # metrics of fewer photos are rough
_PART = {True: 64, False: 8}  # photos in a part: all of one size, or of different sizes


def evaluate(
    request: Request,
    *,
    progress: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> EvaluationResult:
    """Runs a suite; continues an earlier run of the same request.

    Args:
        request: the evaluation.
        progress: whether to show a progress bar on stderr.
        should_stop: called between parts; True stops the run.

    Returns:
        The outcome, which is also written to `request.output`.

    Raises:
        RequestError: an input is missing or invalid; the message names it.
        Interrupted: `should_stop` was True; finished parts are kept.
    """

    def phase(what: str) -> contextlib.AbstractContextManager[object]:
        return waiting.phase(what, say=None) if progress else contextlib.nullcontext()

    with phase("opening weights and photos"):
        run = _Evaluation(Opened(request))
    run.measure(progress, should_stop)
    with phase("writing the report"):
        result = run.result()
        folder = run.opened.folder
        atomic.write_text(folder / "result.json", json.dumps(result, indent=2) + "\n")
        atomic.write_text(folder / "result.csv", report.csv_of(result))
        atomic.write_text(folder / "result.md", report.markdown_of(result))
        page.write(folder, result, run.pictures_of)
    return EvaluationResult(folder, result, report.table_of(result))


class _Evaluation:
    """One run of a suite."""

    def __init__(self, opened: Opened):
        self.opened = opened
        self.protocol = opened.protocol
        self.photos = opened.photos
        self.work = opened.work
        self.measurer = Measurer(prior.load(""), compiled=bool(self.protocol.colorize_size))
        step = _PART[bool(self.protocol.colorize_size)]
        numbers = range(len(self.photos.keys))
        self.parts = [numbers[start : start + step] for start in range(0, len(numbers), step)]

    def measure(self, progress: bool, should_stop: Callable[[], bool]) -> None:
        """Measures all unfinished parts of all rows."""
        names = (*self.opened.sets, *self.opened.rows)
        pending = [
            (part, name)
            for part in range(len(self.parts))
            for name in names
            if not self.work.has(name, part)
        ]
        total = len(self.parts) * len(names)
        if progress and len(pending) < total:
            print(f"{total - len(pending)} of {total} parts are finished", file=sys.stderr)
        photos = sum(len(self.parts[part]) for part, _ in pending)
        shown = None if progress else True
        with tqdm(total=photos, unit="photo", disable=shown) as bar, waiting.ticking(bar):
            for done, (part, name) in enumerate(pending):
                if should_stop():
                    raise Interrupted(
                        f"stopped after {done} of {len(pending)} parts; the same command continues"
                    )
                bar.set_description(name)
                self._measure_part(part, name)
                bar.update(len(self.parts[part]))

    def _measure_part(self, part: int, name: str) -> None:
        if name in self.opened.sets:
            photos = self.photos if name == TRUTH else self.opened.reference
            numbers, records, pictures = self._read(photos, part)
            truths = pictures
        else:
            numbers, records, pictures, truths = self._pictures(part, name)
        readable = [record for record in records if "error" not in record]
        arrays = self.opened.features.measure(readable, pictures, truths, numbers)
        self.work.save(name, part, records, arrays)

    def _read(self, photos: Photos, part: int) -> tuple[list[int], list[Record], list[np.ndarray]]:
        """Returns numbers of the readable photos, records of all, and the readable photos."""
        numbers, records, pictures = [], [], []
        for number in self.parts[part]:
            record: Record = {"key": photos.keys[number]}
            try:
                prepared = photos.prepared(number)
            except UnreadablePhoto as error:
                records.append(record | {"error": str(error)})
                continue
            truth = photos.compared(prepared)
            record["digest"] = protocol_photos.pixels_digest(prepared)
            if self.protocol.aged:
                record["aged_digest"] = protocol_photos.pixels_digest(photos.seen(number, prepared))
            hues = np.asarray(hues_of_picture(truth)).tolist()
            records.append(record | measure_truth(truth) | {"true_hues": hues})
            pictures.append(truth)
            numbers.append(number)
        return numbers, records, pictures

    def _pictures(
        self, part: int, name: str
    ) -> tuple[list[int], list[Record], list[np.ndarray], list[np.ndarray]]:
        row = self.opened.rows[name]
        numbers, records, pictures, truths = [], [], [], []
        for number, known in zip(self.parts[part], self.work.load(TRUTH, part), strict=True):
            if "error" in known:
                continue
            prepared = self._prepared(number, known["digest"])
            truth = self.photos.compared(prepared)
            gray = self.photos.seen(number, prepared)
            picture = self.photos.compared(row.picture(self.photos.keys[number], prepared, gray))
            if self.protocol.aged:  # only color counts
                picture = baselines.painted(truth, color.rgb_u8_to_lab(picture)[..., 1:])
            record = self.measurer(picture, truth)
            if isinstance(row, baselines.Colorized):
                record |= row.more(prepared, gray)
                record |= self._hinted(row, prepared, gray, number)
            numbers.append(number)
            records.append(record)
            pictures.append(picture)
            truths.append(truth)
        return numbers, records, pictures, truths

    def _prepared(self, number: int, digest: str) -> np.ndarray:
        """Returns a prepared photo after checking that it has not changed since its record."""
        try:
            prepared = self.photos.prepared(number)
        except UnreadablePhoto:
            prepared = None
        if prepared is None or protocol_photos.pixels_digest(prepared) != digest:
            raise RequestError(
                f"{self.photos.keys[number]!r} changed during the evaluation; restore it, or "
                "give --overwrite"
            )
        return prepared

    def _hinted(
        self, row: baselines.Colorized, prepared: np.ndarray, gray: np.ndarray, number: int
    ) -> Record:
        counts = self.protocol.hint_counts
        if not counts or row.hint_form == "region":
            return {}
        psnrs = row.psnr_with_hints(prepared, gray, counts, number, self.protocol.hint_places)
        return {f"psnr_hints_{n}": value for n, value in zip(counts, psnrs, strict=True)}

    def result(self) -> dict[str, Any]:
        """Returns the content of result.json."""
        truths = [each for part in range(len(self.parts)) for each in self.work.load(TRUTH, part)]
        readable = [each for each in truths if "error" not in each]
        if not readable:
            raise RequestError(
                f"no photo can be read, the first: {truths[0]['error']}; give other photos"
            )

        def digest_of(name: str) -> str:
            digest = Digest()
            for each in readable:
                digest.add(each["key"], each[name])
            return digest.hex()

        def records_of(name: str) -> list[Record]:
            records = [e for part in range(len(self.parts)) for e in self.work.load(name, part)]
            return [truth | each for truth, each in zip(readable, records, strict=True)]

        groups = None
        if self.opened.groups is not None:
            pairs = zip(self.opened.groups, truths, strict=True)
            groups = [group for group, each in pairs if "error" not in each]
        distances, warnings = self._frechet_distances()
        limit = self.opened.request.limit
        return report.collect(
            self.protocol,
            list(self.opened.rows),
            records_of,
            self.opened.about,
            readable,
            groups,
            frechet=distances,
            stamps={
                "photos": {
                    "digest": digest_of("digest"),
                    **({"aged_digest": digest_of("aged_digest")} if self.protocol.aged else {}),
                    "measured": len(readable),
                    "exactly_grey": int(sum(each["is_gray"] for each in readable)),
                    "unreadable": [f"{e['key']}: {e['error']}" for e in truths if "error" in e],
                    "limit": limit if limit <= len(self.photos.keys) else 0,
                    "reference": self._reference(),
                },
                "hints": self._hint_forms(),
                "tables": self.opened.tables_stamp,
                "feature_networks": self.opened.features.stamps,
                "warnings": [*self._lossy(), *warnings],
            },
        )

    def _hint_forms(self) -> dict[str, str]:
        """Returns how each row uses the hints of the protocol, for rows with hints."""
        if not self.protocol.hint_counts:
            return {}
        rows_by_name = self.opened.rows.items()
        return {n: row.hint_form for n, row in rows_by_name if isinstance(row, baselines.Colorized)}

    def _reference(self) -> dict[str, Any] | None:
        """Returns digest and counts of the FID reference photos; None: those of the suite."""
        if REFERENCE not in self.opened.sets:
            return None
        records = [e for part in range(len(self.parts)) for e in self.work.load(REFERENCE, part)]
        digest = Digest()
        for each in records:
            if "error" not in each:
                digest.add(each["key"], each["digest"])
        unreadable = [f"{each['key']}: {each['error']}" for each in records if "error" in each]
        measured = len(records) - len(unreadable)
        return {"digest": digest.hex(), "measured": measured, "unreadable": unreadable}

    def _lossy(self) -> list[str]:
        """Returns warnings about finished pictures in JPEG files."""
        return [
            f"{name}: {about['jpeg']} of its pictures are JPEG, which alters every metric, FID most"
            for name, about in self.opened.about.items()
            if about.get("jpeg")
        ]

    def _frechet_distances(self) -> tuple[dict[str, dict[str, float]], list[str]]:
        """Returns metric -> row -> Frechet distance, and warnings.

        Also of the truth if the reference differs. With fewer than two photos there is none.
        """
        distances: dict[str, dict[str, float]] = {}
        warnings: list[str] = []
        sets = self.opened.sets
        names = [*self.opened.rows, *([TRUTH] if sets[-1] == REFERENCE else [])]
        for metric, array in self.opened.features.frechet.items():

            def moments_of(name: str, array: str = array) -> FeatureMoments:
                parts = range(len(self.parts))
                return moments(array, (self.work.arrays(name, part)[array] for part in parts))

            reference, warning = moments_of(sets[-1]), ""
            of_rows: dict[str, float] = {}
            for name in names:
                own = moments_of(name)
                if min(own.count, reference.count) < 2:
                    break
                of_rows[name] = frechet_distance(own, reference)
                warning = small_sample_warning(own, reference, table.metric(metric).title)
            if len(of_rows) == len(names):
                distances[metric] = of_rows
                warnings += [warning] if warning else []
        return distances, warnings

    def pictures_of(self, name: str, keys: Sequence[str]) -> Iterator[tuple[np.ndarray, ...]]:
        """Yields (gray input, picture of a row, truth), (H, W, 3) uint8 each, of photos by key."""
        numbers = {key: number for number, key in enumerate(self.photos.keys)}
        for key in keys:
            prepared = self.photos.prepared(numbers[key])
            gray = self.photos.seen(numbers[key], prepared)
            yield gray, self.opened.rows[name].picture(key, prepared, gray), prepared


def run_and_print(request: Request, time_limit: float | None = None) -> int:
    """Runs an evaluation, prints its table and the path of its page; returns the exit status.

    Args:
        request: the evaluation.
        time_limit: seconds after which it stops, with status 75; rerun to continue.

    Raises:
        RequestError: see `evaluate`.
        Interrupted: a signal or the time limit stopped it.
    """
    with StopAfterUnit("part", time_limit=time_limit) as stop:
        outcome = evaluate(request, progress=True, should_stop=lambda: bool(stop))
    print(outcome.table)
    print(f"report: {printable(outcome.output / 'index.html')}")
    measured = outcome.result["photos"]["measured"]
    if measured < _FEW_PHOTOS:
        print(
            f"colorjax: few photos ({measured}): the metrics are rough, see their intervals in the "
            "report",
            file=sys.stderr,
        )
    unreadable = outcome.result["photos"]["unreadable"]
    for name in unreadable:
        print(f"colorjax: skipped {printable(name)}", file=sys.stderr)
    return 1 if unreadable else 0
