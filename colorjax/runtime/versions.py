"""The versions that a result depends on."""

from __future__ import annotations

import importlib.metadata
import platform

from colorjax.version import __version__

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "pillow")


def versions() -> dict[str, str]:
    """Returns the versions that a result depends on."""
    own = {"colorjax": __version__, "python": platform.python_version()}
    return own | {name: importlib.metadata.version(name) for name in _PACKAGES}
