import pytest
from helpers import tune_fakes
from helpers.synthetic import tiny_config

from colorjax.runtime import child_process
from colorjax.tune.request import StudyRequest
from colorjax.tune.space import read_space


@pytest.fixture
def fakes(monkeypatch):
    """Runs the fake trials and measurements of tests/helpers/tune_fakes.py in this process."""
    monkeypatch.setattr(child_process, "run_module", tune_fakes.run_module)


@pytest.fixture
def request_for():
    def build(*space, pause_ms=0, photos=40, **options):
        changes = {"optimizer.learning_rate": 0.5, "chroma_alarm": pause_ms}
        config = tiny_config("", **changes)
        knobs = read_space(space or ["optimizer.learning_rate=0.1..0.8"], config)
        return StudyRequest(config, knobs, "mae_ab", photos, **options)

    return build
