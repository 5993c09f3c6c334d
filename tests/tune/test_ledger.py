import time

import optuna
import pytest

from colorjax.errors import RequestError
from colorjax.tune import ledger as ledgers
from colorjax.tune.ledger import Ledger


def values_of(ledger):
    return {t.number: dict(t.params) for t in ledger.study.get_trials() if t.params}


def test_the_default_is_the_first_trial(request_for, tmp_path):
    ledger = Ledger(request_for(), tmp_path)
    first, second = ledger.next(3), ledger.next(3)
    assert (first.number, first.is_default, first.values) == (
        0,
        True,
        {"optimizer.learning_rate": 0.5},
    )
    assert not second.is_default
    assert second.folder == tmp_path / "trials" / "0001"
    assert ledger.counts() == {"RUNNING": 2, "COMPLETE": 0, "PRUNED": 0, "FAIL": 0}
    third = ledger.next(3)
    assert ledger.next(3) is None  # as many as wanted
    assert not ledger.is_done(3)
    for claim in (first, second, third):
        ledger.study.tell(claim.number, 1.0)
    assert ledger.is_done(3)
    assert not ledger.is_done(4)


def test_a_space_without_the_default_begins_at_random(request_for, tmp_path):
    ledger = Ledger(request_for("optimizer.learning_rate=0.6..0.8"), tmp_path)
    assert not ledger.next(1).is_default


def test_an_abandoned_trial_is_taken_over(request_for, tmp_path):
    request = request_for()
    one, other = Ledger(request, tmp_path), Ledger(request, tmp_path)
    held = [one.next(9), one.next(9)]
    new = other.next(9)
    assert new.number == 2  # the first two are held
    before = values_of(one)
    held[0].lock.close()  # as the kernel does when a process is killed
    held[1].lock.close()
    third = Ledger(request, tmp_path)
    again = [third.next(9), third.next(9), third.next(9)]
    assert [claim.number for claim in again] == [0, 1, 3]
    assert [claim.is_default for claim in again] == [True, False, False]
    assert {number: values_of(third)[number] for number in before} == before


def test_a_trial_that_was_killed_before_its_values_were_drawn(request_for, tmp_path):
    ledger = Ledger(request_for("optimizer.learning_rate=0.1..0.8", "batch_size=4,8"), tmp_path)
    ledger.study.ask()  # and nothing else
    claim = ledger.next(9)
    assert claim.number == 0
    assert set(claim.values) == {"optimizer.learning_rate", "batch_size"}


def test_values_do_not_depend_on_the_number_of_starts(request_for, tmp_path):
    request = request_for()
    ledger = Ledger(request, tmp_path / "at once", f"journal:{tmp_path / 'at once.log'}")
    for number in range(4):
        ledger.study.tell(ledger.next(9).number, float(number))
    for number in range(4):
        again = Ledger(request, tmp_path / "by starts", f"journal:{tmp_path / 'by starts.log'}")
        again.study.tell(again.next(9).number, float(number))
    assert values_of(ledger) == values_of(again)
    assert len({str(values) for values in values_of(ledger).values()}) == 4
    other = Ledger(request_for(seed=1), tmp_path / "other", f"journal:{tmp_path / 'other.log'}")
    other.next(9), other.next(9)
    assert values_of(other)[1] != values_of(ledger)[1]


def test_the_trial_of_a_lost_machine(request_for, tmp_path, monkeypatch):
    """Another machine's trial is taken over after a long time without a heartbeat."""
    url = f"journal:{tmp_path / 'shared.log'}"
    request = request_for()
    there = Ledger(request, tmp_path / "there", url)
    lost = there.next(9)
    here = Ledger(request, tmp_path / "here", url)
    first = here.next(9)
    assert first.number == 1
    monkeypatch.setattr(ledgers, "LOST_AFTER", 0.2)
    monkeypatch.setattr(ledgers, "_MIND_CHANGES", 0.0)
    monkeypatch.setattr(ledgers, "_BEAT_EVERY", 0.0)
    time.sleep(0.3)
    lost.beat()
    second = here.next(9)
    assert second.number == 2  # it lives
    time.sleep(0.3)
    again = here.next(9)
    assert (again.number, again.values) == (0, lost.values)
    assert again.folder == tmp_path / "here" / "trials" / "0000"


def test_another_request_is_refused(request_for, tmp_path):
    Ledger(request_for(), tmp_path)
    Ledger(request_for(), tmp_path)
    with pytest.raises(RequestError, match=r"with another config.chroma_alarm; use the same"):
        Ledger(request_for(pause_ms=1), tmp_path)
    with pytest.raises(RequestError, match=r"with another space.optimizer.learning_rate"):
        Ledger(request_for("optimizer.learning_rate=0.1..0.7"), tmp_path)
    with pytest.raises(RequestError, match=r"with another photos, pruner;"):
        Ledger(request_for(photos=44, pruner="none"), tmp_path)


def test_a_study_of_something_else_is_refused(request_for, tmp_path):
    url = f"sqlite:///{tmp_path / 'other.db'}"
    study = optuna.create_study(storage=url, study_name="tune")
    study.ask()
    with pytest.raises(RequestError, match="holds another study named 'tune'; give another"):
        Ledger(request_for(), tmp_path, url)
    assert Ledger(request_for(), tmp_path, url, "mine").next(1).number == 0


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "'nonsense' cannot be used as a storage"),
        ("sqlite:////no/such/folder/study.db", "cannot be used as a storage"),
        ("nosuch://user:secret@host/db", r"'nosuch://user:\*\*\*@host/db' cannot be used"),
    ],
)
def test_a_storage_that_cannot_be_used(request_for, tmp_path, url, message):
    with pytest.raises(RequestError, match=message) as error:
        Ledger(request_for(), tmp_path, url)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


def test_a_damaged_study(request_for, tmp_path):
    (tmp_path / "study.db").write_text("no database" * 100)
    with pytest.raises(RequestError, match=r"study\.db' cannot be used as a storage"):
        Ledger(request_for(), tmp_path)
    with pytest.raises(RequestError, match="cannot be written"):
        Ledger(request_for(), tmp_path / "study.db" / "below")


def test_pruners(request_for, tmp_path):
    def pruner(name):
        url = f"journal:{tmp_path / name}.log"
        return Ledger(request_for(pruner=name), tmp_path / name, url).study.pruner

    assert isinstance(pruner("median"), optuna.pruners.MedianPruner)
    assert isinstance(pruner("halving"), optuna.pruners.SuccessiveHalvingPruner)
    assert isinstance(pruner("none"), optuna.pruners.NopPruner)


def test_without_optuna_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(RequestError, match=r"pip install 'colorjax\[tune\]'"):
        ledgers.require_optuna()
