"""What the page works with: weights, album, open photos, references and their jobs.

Everything that computes runs in `Jobs`: the methods are called there, `interactive` if not said.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from colorjax.inference.batch.plan import Job
from colorjax.inference.batch.work import PhotoWork
from colorjax.inference.session import Session, State
from colorjax.serve import errors, lookup
from colorjax.serve.album import Album
from colorjax.serve.jobs import Jobs
from colorjax.serve.preview import FullPhoto, OpenPhoto, thumbnail
from colorjax.serve.references import Reference, References
from colorjax.serve.saving import Batch, finished, save, work_of
from colorjax.serve.weights import Engine, Loaded

_MOST_OPEN = 6  # photos with a prediction in memory, about 10 MB each
_MOST_THUMBNAILS = 1000  # about 10 kB each
_MOST_WAITING = 32
_MOST_SAVES = 8


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the server.

    Attributes:
        weights: name, or path of a workdir.
        max_pixels: larger photos are refused.
        results: folder for the results of dropped photos.
        private: private folder for dropped photos.
        engine: what runs the networks, see `Colorizer.load`.
    """

    weights: str
    max_pixels: int
    results: Path
    private: Path
    engine: str = "jax"


class Studio:
    """The state of the server.

    Attributes:
        settings: as given.
        album: the photos.
        references: the reference photos.
        engine: the weights; loaded by the first job.
        interactive: jobs that the user waits for.
        saving: jobs at full size, which take seconds.
        journals: writes of sessions.
        small: thumbnails.
    """

    def __init__(self, jobs: Sequence[Job], settings: Settings):
        """Takes the photos of the command line; loads nothing."""
        self.settings = settings
        self.album = Album(jobs, settings.results)
        self.references = References()
        self.interactive = Jobs("page", _MOST_WAITING)
        self.saving = Jobs("saving", _MOST_SAVES)
        self.journals = Jobs("journals", _MOST_WAITING)
        self.small = Jobs("thumbnails", _MOST_THUMBNAILS)
        self._engine: Engine | None = None
        self._engine_lock = threading.Lock()
        self._open: collections.OrderedDict[tuple[str, ...], OpenPhoto] = collections.OrderedDict()
        self._full: tuple[str, FullPhoto] | None = None
        self._thumbnails: collections.OrderedDict[tuple[str, int], bytes] = (
            collections.OrderedDict()
        )
        self._batch: Batch | None = None

    @property
    def engine(self) -> Engine:
        """The weights; the first call loads them.

        Raises:
            RequestError: there are no such weights.
        """
        with self._engine_lock:
            if self._engine is None:
                with self.interactive.doing("loading the network"):
                    self._engine = Engine(self.settings.weights, self.settings.engine)
                    lookup.table()
            return self._engine

    @property
    def loaded(self) -> Loaded:
        """The weights in use."""
        return self.engine.loaded

    def warm_up(self) -> None:
        """Loads the weights before the first request; returns at once."""
        self.interactive.submit(lambda: self.loaded)

    def use_weights(self, name: str) -> dict[str, Any]:
        """Changes the weights; returns their card."""
        engine = self.engine
        with self.interactive.doing("loading the network"):
            engine.use(name)
            self._open.clear()
        return engine.card(name)

    def open(self, id: str) -> dict[str, Any]:
        """Opens a photo: predicts its colors, and restores its session; returns it as JSON."""
        entry = self.album[id]
        stored = entry.journal.read()
        state, editor = (stored.state, stored.editor) if stored else (None, None)
        notes = ""
        if stored and stored.weights.digest != self.loaded.source.digest:
            notes = (
                f"This photo was corrected with the weights {stored.weights.name}; with "
                f"{self.loaded.source.name} its colors differ."
            )
        try:
            photo = self.photo(id, state or State())
        except errors.Refused as error:
            if "reference" not in error.extra:
                raise
            photo = self.photo(id, State())
            notes += f" {error}"
        with contextlib.suppress(errors.Refused):  # many thumbnails wait
            self.small.submit(photo.warm_up)
        return entry.to_json() | {
            "width": photo.width,
            "height": photo.height,
            "preview": dict(zip(("width", "height"), photo.size, strict=True)),
            "state": None if state is None else state.to_json() | {"editor": editor},
            "weights_differ": notes.strip(),
            "has_colors": photo.has_colors,
            "can": self.loaded.can,
        }

    def photo(self, id: str, state: State) -> OpenPhoto:
        """Returns an open photo with the reference of a state; opens it if needed."""
        entry, loaded = self.album[id], self.loaded
        reference = self._reference(state)
        key = (id, loaded.source.digest, reference.digest if reference else "")
        if key not in self._open:
            with self.interactive.doing("reading the photo"):
                content = entry.read(self.settings.max_pixels)
            with self.interactive.doing("looking at the photo"):
                srgb = reference.srgb if reference else None
                self._open[key] = OpenPhoto(loaded.colorizer, content, srgb)
            while len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(key)
        return self._open[key]

    def any_photo(self, id: str) -> OpenPhoto:
        """Returns an open photo, whatever its reference: for what does not depend on its colors."""
        known = (photo for key, photo in self._open.items() if key[0] == id)
        return next(known, None) or self.photo(id, State())

    def full(self, id: str) -> FullPhoto:
        """Returns a photo at full size; one is in memory at a time."""
        if self._full is None or self._full[0] != id:
            self._full = None
            self._full = id, FullPhoto(self.album[id].read(self.settings.max_pixels))
        return self._full[1]

    def thumbnail(self, id: str, side: int) -> bytes:
        """Returns a small JPEG of a photo as it is; on the jobs `small`."""
        key = id, side
        if key not in self._thumbnails:
            photo = self.album[id].read(self.settings.max_pixels)
            self._thumbnails[key] = thumbnail(photo, side)
            while len(self._thumbnails) > _MOST_THUMBNAILS:
                self._thumbnails.popitem(last=False)
        return self._thumbnails[key]

    def store(self, id: str, state: State, editor: Any, client: str, number: int | None) -> str:
        """Writes the session of a photo; returns the file's name. On the jobs `journals`."""
        entry = self.album[id]
        photo = entry.about(self.settings.max_pixels)
        content = Session(photo, self.loaded.source, state, editor)
        entry.journal.write(content, client, number)
        return entry.journal.path.name

    def save(self, id: str, state: State, *, overwrite: bool) -> dict[str, Any]:
        """Writes the result beside the photo; on the jobs `saving`."""
        entry = self.album[id]
        loaded = self.loaded
        work = self._work(id, state, loaded, overwrite=overwrite)
        with self.saving.doing("saving"):
            notes = save(entry.job, work, overwrite=overwrite)
        stored = entry.journal.read()
        photo = entry.about(self.settings.max_pixels)
        editor = stored.editor if stored else None
        entry.journal.write(Session(photo, loaded.source, state, editor))
        return {"file": entry.result.name, "folder": str(entry.result.parent), "notes": [*notes]}

    def download(self, id: str, state: State) -> tuple[bytes, str]:
        """Returns the result of a photo and its name; on the jobs `saving`."""
        entry = self.album[id]
        work = self._work(id, state, self.loaded)
        with self.saving.doing("saving"):
            content, _ = finished(entry.job.source, entry.name, work, self.settings.private)
        return content, entry.result.name

    def colorize(
        self, source: Path, coloring: dict[str, Any], *, recolor: bool
    ) -> tuple[bytes, str]:
        """Returns a photo colorized for a program, and its suffix; on the jobs `saving`."""
        is_wish = recolor or coloring.get("strength", 1) < 1 or bool(coloring.get("hints"))
        work = self._plain_work(self.loaded, coloring, keeps_color_photos=not is_wish)
        with self.saving.doing("saving"):
            return finished(source, "The photo", work, self.settings.private)

    def start_batch(
        self, state: State, ids: Sequence[str] | None, colors_of: str | None, *, overwrite: bool
    ) -> dict[str, Any]:
        """Colorizes the photos of the strip; returns the progress."""
        if self._batch is not None and self._batch.is_running:
            raise errors.Refused(409, "The folder is being colorized already.", running=True)
        entries = self.album.all() if ids is None else [self.album[id] for id in ids]
        loaded = self.loaded
        plain = dataclasses.replace(state, strokes=(), variant=None)
        reference: Any = None
        if colors_of is not None:
            reference = self.photo(colors_of, state).picture(state)
        elif (given := self._reference(state)) is not None:
            reference = given.srgb
        if reference is not None and not loaded.can["reference"]:
            raise errors.Refused(422, loaded.can["why_not"]["reference"])
        coloring = plain.coloring((), reference)
        work = self._plain_work(loaded, coloring, overwrite=overwrite)
        self._batch = Batch(entries, work, overwrite=overwrite)
        return self._batch.to_json()

    def batch(self, *, stop: bool = False) -> dict[str, Any]:
        """Returns the progress of the folder; from any thread."""
        if self._batch is None:
            raise errors.missing("run")
        if stop:
            self._batch.stop()
        return self._batch.to_json()

    def stop(self) -> None:
        """Ends all jobs; the running ones finish their file."""
        if self._batch is not None:
            self._batch.stop()
        for jobs in (self.interactive, self.small, self.saving, self.journals):
            jobs.stop()
        if self._batch is not None:
            self._batch.join(60)

    def new_file(self, suffix: str = "") -> Path:
        """Returns the path of a new file in the private folder."""
        return self.settings.private / f"{secrets.token_hex(8)}{suffix}"

    def _work(self, id: str, state: State, loaded: Loaded, *, overwrite: bool = False) -> PhotoWork:
        photo = self.album[id].about(self.settings.max_pixels)
        reference = self._reference(state)
        srgb = reference.srgb if reference else None
        return self._plain_work(
            loaded,
            state.coloring(state.hints(photo.height, photo.width), srgb),
            overwrite=overwrite,
        )

    def _plain_work(
        self,
        loaded: Loaded,
        coloring: dict[str, Any],
        *,
        overwrite: bool = False,
        keeps_color_photos: bool = False,
    ) -> PhotoWork:
        return work_of(
            loaded.colorizer,
            loaded.source.name,
            coloring,
            max_pixels=self.settings.max_pixels,
            keeps_color_photos=keeps_color_photos,
            overwrite=overwrite,
        )

    def _reference(self, state: State) -> Reference | None:
        wanted = state.reference
        if wanted is None:
            return None
        if wanted.digest not in self.references:
            for entry in self.album.all():  # after a restart: a photo of the strip
                if entry.name == wanted.name and entry.digest == wanted.digest:
                    self.references.add(entry.job.source, entry.name, self.settings.max_pixels)
        return self.references[wanted.digest]
