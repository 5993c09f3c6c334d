import json

from colorjax.tune.trial import Clock


def test_the_newest_step_is_that_of_the_heartbeat(tmp_path):
    clock = Clock(tmp_path)
    assert clock.newest_step == 0
    (tmp_path / "heartbeat.json").write_text('{"st')
    assert clock.newest_step == 0
    (tmp_path / "heartbeat.json").write_text(json.dumps({"step": 37, "saved": 20}))
    assert clock.newest_step == 37
