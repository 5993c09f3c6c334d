import sys
import types

from colorjax.runtime import jax_setup


def test_only_the_messages_after_a_failed_save_are_dropped(monkeypatch):
    printed = []
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    jax_setup.quiet_library_logs()
    monkeypatch.setattr(sys, "__unraisablehook__", printed.append)

    def unraisable(text, file=None):
        code = types.SimpleNamespace(co_filename=file)
        coroutine = types.SimpleNamespace(cr_code=code) if file else None
        return types.SimpleNamespace(exc_value=RuntimeError(text), object=coroutine)

    others = [unraisable("another"), unraisable("another", "/site-packages/anyio/a.py")]
    sys.unraisablehook(unraisable("Event loop is closed"))
    sys.unraisablehook(unraisable("another", "/site-packages/orbax/checkpoint/a.py"))
    for other in others:
        sys.unraisablehook(other)
    assert printed == others
