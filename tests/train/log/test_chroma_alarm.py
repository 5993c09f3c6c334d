import logging

from colorjax.train.log.chroma_alarm import ChromaAlarm


def test_warns_once_for_each_long_stay_near_gray(caplog):
    alarm = ChromaAlarm(3)
    ratios = [0.1, 0.1, 0.5, 0.1, 0.1, 0.1, 0.1, 0.3, 0.0, 0.0, 0.0]
    with caplog.at_level(logging.WARNING, "colorjax"):
        warned = [alarm.update(step, ratio) for step, ratio in enumerate(ratios, 1)]
    assert [step for step, did in enumerate(warned, 1) if did] == [6, 11]
    assert "less than a fifth of the truth's chroma (now 0.10)" in caplog.text


def test_never_at_zero():
    alarm = ChromaAlarm(0)
    assert not any(alarm.update(step, 0.0) for step in range(1000))


def test_a_fifth_itself_is_enough():
    assert not any(ChromaAlarm(1).update(step, 0.2) for step in range(3))
    assert ChromaAlarm(1).update(1, 0.1999)
