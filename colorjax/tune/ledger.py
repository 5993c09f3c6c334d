"""Assigns trials to processes: a study in a storage shared by processes and machines."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from colorjax.errors import RequestError
from colorjax.runtime.locks import alone, lock_of
from colorjax.tune.request import StudyRequest
from colorjax.tune.space import Value

if TYPE_CHECKING:
    import optuna

LOST_AFTER = 300.0  # seconds without a heartbeat: another machine's trial is taken over
_BEAT_EVERY = 30.0  # seconds between heartbeats
_MIND_CHANGES = 2.0  # seconds in which two machines notice that both claim a trial
_FIRST_AT_RANDOM = 10  # random trials before the sampler uses results (Optuna's default)
REQUEST, REPORTED = "request", "reported"  # attributes of a study
DEFAULT, OWNER, BEAT, ENDED = "is_default", "place", "beat", "ended"  # attributes of a trial


def require_optuna() -> None:
    """Raises a RequestError that names the extra if Optuna or matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
        import optuna
    except ImportError:
        raise RequestError(
            "tuning needs Optuna and matplotlib: pip install 'colorjax[tune]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclasses.dataclass
class Claim:
    """A trial that this process runs while it holds the lock.

    Attributes:
        trial: of Optuna.
        folder: its workdir.
        lock: an open file. The trial's program inherits it, so that no other process takes the
            trial over while the program is still saving.
        values: field -> choice or number.
        is_default: whether it is the default config.
    """

    trial: optuna.Trial
    folder: Path
    lock: IO[bytes]
    values: dict[str, Value]
    is_default: bool
    _beaten: float = 0.0

    @property
    def number(self) -> int:
        """Number of the trial within its study."""
        return self.trial.number

    def beat(self) -> None:
        """Sends other machines a heartbeat, at most every `_BEAT_EVERY` seconds."""
        if time.monotonic() - self._beaten > _BEAT_EVERY:
            self._beaten = time.monotonic()
            self.trial.set_user_attr(BEAT, time.time())


class Ledger:
    """The study of a request; hands out trials to run."""

    def __init__(self, request: StudyRequest, root: Path, storage: str = "", name: str = "tune"):
        """Opens or creates the study.

        Args:
            request: defines the study.
            root: folder of the study on this machine; trials are in its `trials/`.
            storage: URL of an Optuna storage, or journal:FILE; empty: `root/study.db`.
            name: of the study in the storage.

        Raises:
            RequestError: the storage cannot be used, or holds another request under this name.
        """
        require_optuna()
        self._request = request
        self._is_private = not storage
        self.root = root.resolve()
        self._here = f"{socket.gethostname()}:{self.root}"
        self._seen: dict[int, tuple[Any, float]] = {}
        try:
            (self.root / "trials").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RequestError(
                f"--workdir {str(root)!r} cannot be written ({error.strerror}); give another"
            ) from None
        with alone(self.root / "study.lock"):  # no other process claims a trial meanwhile
            self.study = self._open(storage, name)
            self._check_request(storage or f"{root}/study.db")
            if not self.study.get_trials(deepcopy=False) and request.default_values is not None:
                self.study.enqueue_trial(request.default_values, user_attrs={DEFAULT: True})

    def _open(self, storage: str, name: str) -> optuna.Study:
        import optuna

        direction = "maximize" if self._request.higher_is_better else "minimize"
        try:
            return optuna.create_study(
                storage=_open_storage(storage or f"sqlite:///{self.root / 'study.db'}"),
                study_name=name,
                direction=direction,
                load_if_exists=True,
                pruner=_pruner(self._request),
            )
        except Exception as error:  # of any database, its driver, or Optuna
            reason = str(error).strip().splitlines() or [type(error).__name__]
            url = f"--storage {_without_password(storage)!r}"
            if not storage:
                url = repr(str(self.root / "study.db"))
            raise RequestError(
                f"{url} cannot be used as a storage: {_shortened(reason[0])}"
            ) from None

    def _check_request(self, storage: str) -> None:
        record = self._request.record()
        known = self.study.user_attrs.get(REQUEST)
        if known is None and not self.study.get_trials(deepcopy=False):
            self.study.set_user_attr(REQUEST, record)
            known = record
        if known is None:
            raise RequestError(
                f"{_without_password(storage)!r} holds another study named "
                f"{self.study.study_name!r}; give another --study or --storage"
            )
        old, new = dict(_flat(known)), dict(_flat(record))
        names = [name for name in old | new if old.get(name) != new.get(name)]
        if names:
            more = f" and {len(names) - 4} more" if len(names) > 4 else ""
            raise RequestError(
                f"{_without_password(storage)!r} holds a study with another "
                f"{', '.join(names[:4])}{more}; use the same options, or another --workdir"
                + ("" if self._is_private else " and --study")
            )

    def next(self, wanted: int) -> Claim | None:
        """Returns a trial to run, an abandoned or a new one; None if there is none at present."""
        with alone(self.root / "study.lock"):  # no other process claims a trial meanwhile
            return self._take_over() or self._begin(wanted)

    def is_done(self, wanted: int) -> bool:
        """Whether the wanted number of trials is finished, and none runs."""
        counts = self.counts()
        return counts["RUNNING"] == 0 and sum(counts.values()) >= wanted

    def counts(self) -> dict[str, int]:
        """Returns the number of trials by state: RUNNING, COMPLETE, PRUNED, FAIL."""
        states = [trial.state.name for trial in self.study.get_trials(deepcopy=False)]
        return {name: states.count(name) for name in ("RUNNING", "COMPLETE", "PRUNED", "FAIL")}

    def folder_of(self, number: int) -> Path:
        """Returns the workdir of a trial on this machine."""
        return self.root / "trials" / f"{number:04d}"

    def _take_over(self) -> Claim | None:
        from optuna.trial import Trial, TrialState

        for frozen in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if not self._is_abandoned(frozen.number, frozen.user_attrs):
                continue
            lock = lock_of(self.folder_of(frozen.number) / "lock")
            if lock is None:
                continue
            self._seed_sampler(frozen.number)
            trial = Trial(self.study, frozen._trial_id)
            is_elsewhere = frozen.user_attrs.get(OWNER) != self._here and not self._is_private
            if is_elsewhere and not self._wins(trial):
                lock.close()
                continue
            return self._claim(trial, lock)
        return None

    def _wins(self, trial: optuna.Trial) -> bool:
        """Claims another machine's trial; returns False if a third one claims it too."""
        trial.set_user_attr(OWNER, self._here)
        time.sleep(_MIND_CHANGES)
        return trial.user_attrs.get(OWNER) == self._here

    def _is_abandoned(self, number: int, attributes: Mapping[str, Any]) -> bool:
        """Whether no process seems to run a trial; on this machine the lock decides."""
        if self._is_private or attributes.get(OWNER) == self._here:
            return True
        sign = attributes.get(BEAT)
        known, since = self._seen.get(number, (None, 0.0))
        if number not in self._seen or known != sign:
            self._seen[number] = sign, time.monotonic()
            return False
        return time.monotonic() - since > LOST_AFTER

    def _begin(self, wanted: int) -> Claim | None:
        number = sum(self.counts().values())
        if number >= wanted:
            return None
        self._seed_sampler(number)
        trial = self.study.ask()
        lock = lock_of(self.folder_of(trial.number) / "lock")
        assert lock is not None, "a new trial is unknown to other processes"
        return self._claim(trial, lock)

    def _claim(self, trial: optuna.Trial, lock: IO[bytes]) -> Claim:
        trial.set_user_attr(OWNER, self._here)
        values = {knob.field: knob.suggest(trial) for knob in self._request.knobs}
        is_default = bool(trial.user_attrs.get(DEFAULT))
        claim = Claim(trial, self.folder_of(trial.number), lock, values, is_default)
        claim.beat()
        return claim

    def _seed_sampler(self, number: int) -> None:
        """Seeds the sampler by the trial, so that restarts do not change the values."""
        from optuna.samplers import TPESampler

        seed = (100_003 * self._request.seed + number) % 2**32
        self.study.sampler = TPESampler(seed=seed, n_startup_trials=_FIRST_AT_RANDOM)


def _open_storage(url: str) -> optuna.storages.BaseStorage:
    from optuna import storages
    from optuna.storages.journal import JournalFileBackend

    if url.startswith("journal:"):
        file = Path(url.removeprefix("journal:")).expanduser()
        return storages.JournalStorage(JournalFileBackend(os.fspath(file)))
    options = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    return storages.RDBStorage(url, engine_kwargs=options)


def _pruner(request: StudyRequest) -> optuna.pruners.BasePruner:
    from optuna import pruners

    if request.pruner == "median":
        return pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)
    if request.pruner == "halving":
        return pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    return pruners.NopPruner()


def _without_password(url: str) -> str:
    """Returns a URL with the password masked.

    >>> _without_password("mysql://user:secret@host/db")
    'mysql://user:***@host/db'
    """
    scheme, has_scheme, rest = url.partition("://")
    user, has_user, host = rest.rpartition("@")
    if not (has_scheme and has_user and ":" in user):
        return url
    return f"{scheme}://{user.partition(':')[0]}:***@{host}"


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "..."


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(value)
