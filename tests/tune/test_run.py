import json
import os
import runpy
import signal
import threading
import time
from pathlib import Path

import pytest
from helpers import tune_fakes
from PIL import Image

from colorjax.errors import Interrupted, RequestError
from colorjax.tune import report, run, trial
from colorjax.tune.ledger import Ledger
from configs import default

pytestmark = pytest.mark.usefixtures("fakes")


@pytest.fixture
def no_pictures(monkeypatch):
    """Skips drawing, which is slow."""
    monkeypatch.setattr(report, "_draw", lambda *_: {})


def url_of(root):
    """Returns a storage that is faster to create than the default, WORKDIR/study.db."""
    root.mkdir(exist_ok=True)
    return f"journal:{root / 'study.log'}"


def tune(request, root, trials, **options):
    return run.tune(request, root, trials, **({"storage": url_of(root)} | options))


def stored(root, request):
    trials = Ledger(request, root, url_of(root)).study.get_trials()
    return {each.number: each for each in trials if each.state.name != "WAITING"}


def starts(root, number):
    return len((root / "trials" / f"{number:04d}" / "starts.txt").read_text().splitlines())


def test_a_study_from_beginning_to_end(request_for, tmp_path, capsys):
    request = request_for(evaluations=5, pruner="none")
    result = tune(request, tmp_path, 6)
    trials = stored(tmp_path, request)
    assert [t.state.name for t in trials.values()] == ["COMPLETE"] * 6
    for each in trials.values():
        rate = each.params["optimizer.learning_rate"]
        assert each.value == pytest.approx(tune_fakes.value_at(rate, 10))  # 40 photos by 4
        assert set(each.intermediate_values) == {1, 2, 3, 4, 5}
        assert each.user_attrs["ended"]["step"] == 10
    best = min(trials.values(), key=lambda t: t.value)
    assert best.number != 0
    content = json.loads((tmp_path / "best.json").read_text())
    assert (content["trial"], content["value"]) == (best.number, best.value)
    compared = content["compared"]
    assert compared["default"]["trial"] == 0
    expected = 0.2**2 - (best.params["optimizer.learning_rate"] - 0.3) ** 2
    assert compared["eval"]["advantage"]["mae_ab"]["better_by"] == pytest.approx(expected)
    assert compared["eval"]["verdict"] == "better, by mae_ab"
    assert compared["looks"] == 1
    for name in ("history.png", "parallel.png", "importance.png"):
        assert Image.open(tmp_path / name).width > 600
        assert f"({name})" in (tmp_path / "report.md").read_text()
    assert f"best: trial {best.number}" in result.summary
    assert "20 test photos, best against default: MAE of ab -0.0" in result.summary
    page = (tmp_path / "report.md").read_text()
    assert page.count("| done") == 6
    assert "| done, the default |" in page
    # Again: nothing runs; more trials extend the study.
    capsys.readouterr()
    assert tune(request, tmp_path, 6).summary == result.summary
    assert "trial" not in capsys.readouterr().err
    tune(request, tmp_path, 7)
    assert [starts(tmp_path, number) for number in range(7)] == [1] * 7


def test_the_best_config_has_absolute_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cifar").mkdir()
    (tmp_path / "labels.txt").write_text("")
    (tmp_path / "folder").mkdir()
    config = default.get_config()
    config.data.update(name="cifar10", path="cifar", labels="labels.txt")
    for name in ("data.path", "data.labels", "data.eval_path", "init_from"):
        report._make_absolute(config, name)
    assert config.data.path == str(tmp_path / "cifar")
    assert config.data.labels == str(tmp_path / "labels.txt")
    assert (config.data.eval_path, config.init_from) == ("", "")
    config.data.labels = "folder"
    report._make_absolute(config, "data.labels", Path.is_file)
    assert config.data.labels == "folder"


def test_the_best_config_is_a_file_of_its_own(no_pictures, request_for, tmp_path):
    request = request_for("model.filters=x1,x2", pruner="none")
    tune(request, tmp_path, 2)
    config = runpy.run_path(str(tmp_path / "best.py"))["get_config"]()
    best = Ledger(request, tmp_path, url_of(tmp_path)).study.best_trial
    expected = request.trial_config(best.params)
    expected.evaluation.report = True
    assert config.to_dict() == expected.to_dict()
    assert type(config.model.filters) is tuple
    docstring = runpy.run_path(str(tmp_path / "best.py"))["__doc__"]
    assert f"Trial {best.number}, with the lowest validation mae_ab" in docstring
    with pytest.raises(ValueError, match="takes no argument"):
        runpy.run_path(str(tmp_path / "best.py"))["get_config"]("size=3")


def test_hopeless_trials_are_pruned(no_pictures, request_for, tmp_path):
    """Halving continues only the best third of the trials at each rung."""
    request = request_for(evaluations=9, pruner="halving", photos=36 * 4, pause_ms=30)
    tune(request, tmp_path, 5)
    trials = stored(tmp_path, request)
    states = [t.state.name for t in trials.values()]
    assert set(states) == {"COMPLETE", "PRUNED"}
    assert states[0] == "COMPLETE"  # the default is never pruned
    pruned = next(t for t in trials.values() if t.state.name == "PRUNED")
    assert max(pruned.intermediate_values) < 9
    assert pruned.user_attrs["ended"]["steps"] < 36
    assert "| pruned" in (tmp_path / "report.md").read_text()


def test_a_trial_that_diverges_fails_and_the_study_continues(
    no_pictures, request_for, tmp_path, capsys
):
    request = request_for("optimizer.learning_rate=0.5,0.95", pruner="none")
    tune(request, tmp_path, 5)
    failed = [t for t in stored(tmp_path, request).values() if t.state.name == "FAIL"]
    assert failed
    assert failed[0].user_attrs["ended"]["why"] == "step 1: the loss is nan"
    assert "failed (step 1: the loss is nan)" in capsys.readouterr().err
    assert "failed: step 1: the loss is nan" in (tmp_path / "report.md").read_text()


def test_a_study_in_which_all_trials_fail_ends(no_pictures, request_for, tmp_path):
    request = request_for("optimizer.learning_rate=0.95..0.99")
    with pytest.raises(RequestError, match="the first 3 trials failed; the last: step 1"):
        tune(request, tmp_path, 9)


def test_what_no_trial_can_do_ends_the_study(no_pictures, request_for, tmp_path):
    request = request_for("optimizer.b1=0.0,0.5")
    with pytest.raises(RequestError, match=r"trial \d: there is no photo"):
        tune(request, tmp_path, 9)
    assert (
        Ledger(request, tmp_path, url_of(tmp_path)).counts()["FAIL"] == 0
    )  # it continues once the cause is fixed


def test_minutes_end_a_trial_where_it_is_evaluated(no_pictures, request_for, tmp_path):
    request = request_for(photos=400, pause_ms=50, minutes=0.02, evaluations=2, pruner="none")
    tune(request, tmp_path, 1)
    (only,) = stored(tmp_path, request).values()
    cut = only.user_attrs["ended"]["cut_at"]
    assert 5 < cut < 50  # 1.2 s of 50 ms per step, far from the first of two evaluations
    assert only.user_attrs["ended"]["step"] == only.user_attrs["ended"]["steps"] == cut
    assert only.value == pytest.approx(tune_fakes.value_at(0.5, cut))
    assert only.intermediate_values == {}
    assert starts(tmp_path, 0) == 2
    config = runpy.run_path(str(tmp_path / "best.py"))["get_config"]()
    assert config.total_steps == cut


def interrupt_when(condition, number):
    """Sends this process a signal as soon as the condition is true."""

    def wait():
        while not condition():
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    threading.Thread(target=wait, daemon=True).start()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_study_continues(no_pictures, request_for, tmp_path, number):
    request = request_for(photos=100, pause_ms=40, evaluations=5, pruner="none")
    folder = tmp_path / "trials" / "0001"
    interrupt_when(lambda: len(trial.validations(folder, "mae_ab")) >= 2, number)
    with pytest.raises(Interrupted) as error:
        tune(request, tmp_path, 2)
    message = str(error.value)
    assert message.startswith("trial 1 at step ")
    assert f"was stopped by {number.name}; 1 of 2 trials are finished; the same command" in message
    step = trial.saved_step(folder)
    assert f"at step {step} " in message
    assert step >= 10
    tune(request, tmp_path, 2)
    assert [starts(tmp_path, n) for n in (0, 1)] == [1, 2]
    trials = stored(tmp_path, request)
    assert set(trials[1].intermediate_values) == {1, 2, 3, 4, 5}
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [5, 10, 15, 20, 25]


def test_the_time_limit_of_a_study(no_pictures, request_for, tmp_path):
    request = request_for(photos=4000, pause_ms=20)
    with pytest.raises(Interrupted, match="was stopped by the time limit; 0 of 2 trials"):
        tune(request, tmp_path, 2, time_limit=1.5)


def test_a_default_outside_of_the_space_is_trained_for_the_comparison(
    no_pictures, request_for, tmp_path
):
    request = request_for("optimizer.learning_rate=0.1..0.4", pruner="none")
    tune(request, tmp_path, 1)
    compared = json.loads((tmp_path / "best.json").read_text())["compared"]
    assert compared["default"] == {"trial": None, "folder": "trials/default"}
    assert compared["eval"]["default"]["mae_ab"] == 0.5


def test_the_best_trial_of_another_machine_is_retrained(no_pictures, request_for, tmp_path):
    request = request_for(pruner="none")
    url = f"journal:{tmp_path / 'shared.log'}"
    there = Ledger(request, tmp_path / "there", url)
    for value in (3.0, 1.0):
        run._record(there, there.next(2), trial.Ended("COMPLETE", value=value, step=5, steps=10))
    tune(request, tmp_path / "here", 2, storage=url)
    assert starts(tmp_path / "here", 1) == 1
    assert json.loads((tmp_path / "here" / "best.json").read_text())["trial"] == 1
    # The third machine uses the stored result: the photos are not measured again.
    tune(request, tmp_path / "third", 2, storage=url)
    assert not list((tmp_path / "third" / "trials").iterdir())
    assert json.loads((tmp_path / "third" / "best.json").read_text())["compared"]["looks"] == 1


def test_two_processes_share_a_study(no_pictures, request_for, tmp_path):
    """Each trial runs once; a thread acts as the second process, as locks are per open file."""
    request = request_for(pause_ms=20, pruner="none")
    claimed = []

    def work(ledger):
        while (claim := ledger.next(6)) is not None:
            claimed.append(claim.number)
            ended = trial.Runner(claim, request, lambda: False).run()
            ledger.study.tell(claim.number, ended.value)
            claim.lock.close()

    ledgers = [Ledger(request, tmp_path, url_of(tmp_path)) for _ in range(2)]
    threads = [threading.Thread(target=work, args=(each,)) for each in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == [0, 1, 2, 3, 4, 5]
    assert Ledger(request, tmp_path, url_of(tmp_path)).is_done(6)
