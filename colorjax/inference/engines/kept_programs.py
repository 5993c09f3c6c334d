"""Lowered programs kept on disk, so that later processes need not trace them again.

Tracing a network takes several times as long as loading its compiled program from JAX's cache. The
lowered programs lie in the folder `programs` of that cache, as `jax.export` writes them. Without
JAX's cache nothing is kept.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import flax
import jax
import jaxlib
from jax import export

import colorjax
from colorjax.color.hint_spreading import Keys
from colorjax.runtime import atomic, paths
from colorjax.version import __version__

log = logging.getLogger(__name__)

_DIGEST = hashlib.sha256().digest_size
# Settings of JAX that name files or only choose what is printed.
_IRRELEVANT = ("cache", "dir", "log", "traceback", "profile", "dump")

export.register_namedtuple_serialization(Keys, serialized_name="colorjax.Keys")


def compiled(
    function: Callable[..., Any], arguments: tuple[Any, ...], about: str
) -> jax.stages.Compiled:
    """Returns a function compiled for the shapes of its arguments.

    Args:
        function: of arrays.
        arguments: example values.
        about: text that differs between functions of one version of colorjax; empty: the lowered
            program is not kept.
    """
    file = _file(about, arguments) if about else None
    if file is None:
        return jax.jit(function).lower(*arguments).compile()
    exported = _read(file)
    if exported is not None:
        try:
            return jax.jit(exported.call).lower(*arguments).compile()
        except Exception as error:  # of any type: a program of another JAX under this name
            log.debug("%s: %s", file, error)
    exported = export.export(jax.jit(function))(*arguments)
    _write(file, exported)
    return jax.jit(exported.call).lower(*arguments).compile()


def _file(about: str, arguments: tuple[Any, ...]) -> Path | None:
    """Returns the file of a program; None: it is not kept."""
    folder = jax.config.values["jax_compilation_cache_dir"]
    is_address = " at 0x" in about  # of an object, which another process has elsewhere
    if not folder or paths.is_remote(folder) or is_address:
        return None
    shapes = jax.tree.map(lambda x: (x.shape, str(x.dtype)), arguments)
    key = "\n".join((about, repr(shapes), jax.default_backend(), _settings(), _versions()))
    return Path(folder, "programs", hashlib.sha256(key.encode()).hexdigest())


def _settings() -> str:
    """Returns the settings of JAX that may change a program."""
    values = sorted(jax.config.values.items())
    return repr([pair for pair in values if not any(word in pair[0] for word in _IRRELEVANT)])


@functools.cache
def _versions() -> str:
    """Returns the versions of the packages that make programs, and of colorjax's files."""
    root = Path(colorjax.__file__).parent
    files = []
    for folder, _, names in os.walk(root):
        for name in names:
            if name.endswith(".py"):
                about = os.stat(os.path.join(folder, name))
                files.append(
                    (os.path.relpath(folder, root), name, about.st_size, about.st_mtime_ns)
                )
    numpy = version("numpy")
    return repr(
        (__version__, sorted(files), jax.__version__, jaxlib.__version__, flax.__version__, numpy)
    )


def _read(file: Path) -> export.Exported | None:
    """Returns a kept program; None: there is none, or it is damaged."""
    try:
        content = file.read_bytes()
        if _sum(file, content[_DIGEST:]) != content[:_DIGEST]:
            return None
        return export.deserialize(bytearray(content[_DIGEST:]))
    except FileNotFoundError:
        return None
    except Exception as error:  # of any type: from the reader of another format
        log.debug("%s: %s", file, error)
        return None


def _write(file: Path, exported: export.Exported) -> None:
    """Keeps a program, if it can be written."""
    try:
        content = bytes(exported.serialize())
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        atomic.write_bytes(file, _sum(file, content) + content)
    except (OSError, ValueError, ImportError) as error:
        # No room; a result of a type that is not registered; flatbuffers is not installed.
        log.debug("%s: %s", file, error)


def _sum(file: Path, content: bytes) -> bytes:
    return hashlib.sha256(file.name.encode() + content).digest()
