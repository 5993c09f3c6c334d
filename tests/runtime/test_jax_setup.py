import sys
import types
from pathlib import Path

import jax

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


def test_programs_that_paint_a_photo_are_cached(tmp_path, monkeypatch):
    """They take from 0.1 to 0.5 s to compile, and JAX's default caches from 1 s."""
    given = {}
    monkeypatch.setattr(jax.config, "update", given.__setitem__)
    jax_setup.use_compilation_cache(str(tmp_path))
    assert given["jax_persistent_cache_min_compile_time_secs"] <= 0.1
    assert Path(given["jax_compilation_cache_dir"]).parent == tmp_path
