import sys
import types

from colorjax.runtime import jax_setup


def test_only_the_messages_after_a_failed_save_are_dropped(monkeypatch):
    printed = []
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    jax_setup.quiet_library_logs()
    monkeypatch.setattr(sys, "__unraisablehook__", printed.append)
    late = types.SimpleNamespace(exc_value=RuntimeError("Event loop is closed"))
    other = types.SimpleNamespace(exc_value=RuntimeError("another"))
    sys.unraisablehook(late)
    sys.unraisablehook(other)
    assert printed == [other]
