import shutil

import pytest
from helpers.synthetic import tiny_config

from colorjax.errors import RequestError
from colorjax.train import loop
from colorjax.train.log import profiling


@pytest.mark.slow
def test_steps_are_traced(photos, tmp_path):
    config = tiny_config(photos, total_steps=4, eval_every=0)
    assert loop.train_and_evaluate(config, str(tmp_path / "w"), profile=(2, 3)) == loop.DONE
    names = [path.name for path in (tmp_path / "w/profile").rglob("*") if path.is_file()]
    assert "perfetto_trace.json.gz" in names  # https://ui.perfetto.dev
    assert any(name.endswith(".xplane.pb") for name in names)  # TensorBoard's profile plugin


@pytest.mark.slow
def test_a_heartbeat_says_where_the_run_is(photos, tmp_path):
    import json
    import time

    config = tiny_config(photos, total_steps=2, eval_every=0)
    assert loop.train_and_evaluate(config, str(tmp_path)) == loop.DONE
    beat = json.loads((tmp_path / "heartbeat.json").read_text())
    assert time.time() - beat["time"] < 600
    assert beat["step"] == 1
    assert beat["metrics"]["loss"] > 0
    assert 0.1 < beat["host_memory_gib"] < 100


@pytest.mark.slow
def test_a_run_whose_checkpoints_are_gone_is_not_begun_anew(photos, tmp_path):
    config = tiny_config(photos, total_steps=3, eval_every=0)
    assert loop.train_and_evaluate(config, str(tmp_path)) == loop.DONE
    (tmp_path / "heartbeat.json").write_text('{"saved": 3}')  # it writes every five seconds
    before = (tmp_path / "metrics.jsonl").read_text()
    shutil.rmtree(tmp_path / "checkpoints/3")
    with pytest.raises(RequestError, match="had saved step 3, but its checkpoints are"):
        loop.train_and_evaluate(config, str(tmp_path))
    assert (tmp_path / "metrics.jsonl").read_text() == before


@pytest.mark.parametrize("wrong", ["5", "5:4", "a:b", "0:3", ":"])
def test_spans_that_mean_nothing(wrong):
    with pytest.raises(RequestError, match="--profile must be START:STOP"):
        profiling.parse_steps(wrong)
    assert profiling.parse_steps("") is None
